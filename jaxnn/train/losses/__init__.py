"""Losses and metrics as per-example functions ``(outputs, targets) -> value``.

The caller averages. What optax has is optax's: these only fix the calling convention, compute
in float32, and say what is wrong when shapes disagree. ``distillation`` takes a teacher's logits
for targets ("Distilling the Knowledge in a Neural Network", 2015). Those of rates, counts,
membranes and first spikes take traces in time ("Training Spiking Neural Networks Using Lessons From
Deep Learning", 2023). ``stablemax_cross_entropy`` learns on where the softmax's gradient has
rounded to zero, which ``softmax_collapse`` counts ("Grokking at the Edge of Numerical Stability",
2025). ``harmonic_loss`` takes distances ("Harmonic Loss Trains Interpretable AI Models", 2025).
"""

from jaxnn.train.losses._classification import accuracy as accuracy
from jaxnn.train.losses._classification import cross_entropy as cross_entropy
from jaxnn.train.losses._distillation import distillation as distillation
from jaxnn.train.losses._harmonic import harmonic_loss as harmonic_loss
from jaxnn.train.losses._regression import absolute_error as absolute_error
from jaxnn.train.losses._regression import squared_error as squared_error
from jaxnn.train.losses._spiking import count_cross_entropy as count_cross_entropy
from jaxnn.train.losses._spiking import first_spike_cross_entropy as first_spike_cross_entropy
from jaxnn.train.losses._spiking import first_spike_squared_error as first_spike_squared_error
from jaxnn.train.losses._spiking import membrane_cross_entropy as membrane_cross_entropy
from jaxnn.train.losses._spiking import membrane_squared_error as membrane_squared_error
from jaxnn.train.losses._spiking import rate_cross_entropy as rate_cross_entropy
from jaxnn.train.losses._spiking import rate_squared_error as rate_squared_error
from jaxnn.train.losses._stablemax import log_stablemax as log_stablemax
from jaxnn.train.losses._stablemax import softmax_collapse as softmax_collapse
from jaxnn.train.losses._stablemax import stablemax_cross_entropy as stablemax_cross_entropy

__all__ = [
    "absolute_error",
    "accuracy",
    "count_cross_entropy",
    "cross_entropy",
    "distillation",
    "first_spike_cross_entropy",
    "first_spike_squared_error",
    "harmonic_loss",
    "log_stablemax",
    "membrane_cross_entropy",
    "membrane_squared_error",
    "rate_cross_entropy",
    "rate_squared_error",
    "softmax_collapse",
    "squared_error",
    "stablemax_cross_entropy",
]
