"""How well labelled activations lie apart, without a classifier.

``generalized_discrimination_value`` compares distances within and between classes, as "Word class
representations spontaneously emerge in a deep neural network trained on next word prediction"
(2023) does layer by layer; ``silhouette`` is the usual score of a clustering.
"""

from jaxnn.analysis.separability._distances import (
    generalized_discrimination_value as generalized_discrimination_value,
)
from jaxnn.analysis.separability._distances import silhouette as silhouette

__all__ = ["generalized_discrimination_value", "silhouette"]
