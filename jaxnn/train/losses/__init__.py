"""Losses and metrics as per-example functions ``(outputs, targets) -> value``.

The caller averages. What optax has is optax's: these only fix the calling convention, compute
in float32, and say what is wrong when shapes disagree. ``distillation`` takes a teacher's logits
for targets ("Distilling the Knowledge in a Neural Network", 2015).
"""

from jaxnn.train.losses._classification import accuracy as accuracy
from jaxnn.train.losses._classification import cross_entropy as cross_entropy
from jaxnn.train.losses._distillation import distillation as distillation
from jaxnn.train.losses._regression import absolute_error as absolute_error
from jaxnn.train.losses._regression import squared_error as squared_error

__all__ = ["absolute_error", "accuracy", "cross_entropy", "distillation", "squared_error"]
