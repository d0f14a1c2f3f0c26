"""Measures on learning curves.

``grokking_steps`` tells when training and when held-out data are mastered, long after: "Grokking:
Generalization Beyond Overfitting on Small Algorithmic Datasets" (2022).
"""

from jaxnn.analysis.dynamics._grokking import GrokkingSteps as GrokkingSteps
from jaxnn.analysis.dynamics._grokking import grokking_steps as grokking_steps

__all__ = ["GrokkingSteps", "grokking_steps"]
