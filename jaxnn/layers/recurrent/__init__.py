"""Recurrences beside the spiking ones.

``linear_recurrence`` is what the family is made of: a diagonal linear recurrence, step by step
or by an associative scan.
"""

from jaxnn.layers.recurrent._linear import linear_recurrence as linear_recurrence
from jaxnn.layers.recurrent._linear import linear_recurrence_step as linear_recurrence_step

__all__ = ["linear_recurrence", "linear_recurrence_step"]
