"""Losses and metrics as per-example functions ``(outputs, targets) -> value``.

The caller averages. What optax has is optax's: these only fix the calling convention, compute
in float32, and say what is wrong when shapes disagree. ``distillation`` takes a teacher's logits
for targets ("Distilling the Knowledge in a Neural Network", 2015). Those of rates, counts,
membranes and first spikes take traces in time ("Training Spiking Neural Networks Using Lessons From
Deep Learning", 2023). ``stablemax_cross_entropy`` learns on where the softmax's gradient has
rounded to zero, which ``softmax_collapse`` counts ("Grokking at the Edge of Numerical Stability",
2025). ``harmonic_loss`` takes distances ("Harmonic Loss Trains Interpretable AI Models", 2025).
``encouraging_loss`` adds a bonus for what is classified well ("Well-classified Examples are
Underestimated in Classification with Deep Neural Networks", 2021), ``squared_hinge`` is that of
support vector machines (CNN-SVM, 2017). ``spherical_z_loss`` and its siblings need of many outputs
only sums ("The Z-loss", 2016). ``triplet_ratio_loss`` and its siblings of three and two
take embeddings ("Deep metric learning using Triplet network", 2014); ``normalized_softmax_loss``
takes cosines ("Hyperspherical embedding for novel class classification", 2021).
``bias_loss`` weighs examples by the variance of their features ("Bias Loss for Mobile Neural
Networks", 2021). ``multi_digit_loss`` scores a sequence and its length ("Multi-digit Number
Recognition from Street View Imagery using Deep Convolutional Neural Networks", 2013).
"""

from jaxnn.train.losses._bias import bias_loss as bias_loss
from jaxnn.train.losses._classification import accuracy as accuracy
from jaxnn.train.losses._classification import cross_entropy as cross_entropy
from jaxnn.train.losses._contrastive import contrastive_loss as contrastive_loss
from jaxnn.train.losses._contrastive import info_nce as info_nce
from jaxnn.train.losses._distillation import distillation as distillation
from jaxnn.train.losses._encouraging import encouraging_loss as encouraging_loss
from jaxnn.train.losses._encouraging import halted_focal_loss as halted_focal_loss
from jaxnn.train.losses._harmonic import harmonic_loss as harmonic_loss
from jaxnn.train.losses._hyperspherical import normalized_softmax_loss as normalized_softmax_loss
from jaxnn.train.losses._hyperspherical import prototype_spread as prototype_spread
from jaxnn.train.losses._multi_digit import Coverage as Coverage
from jaxnn.train.losses._multi_digit import Sequence as Sequence
from jaxnn.train.losses._multi_digit import coverage_at_accuracy as coverage_at_accuracy
from jaxnn.train.losses._multi_digit import decode_multi_digit as decode_multi_digit
from jaxnn.train.losses._multi_digit import multi_digit_loss as multi_digit_loss
from jaxnn.train.losses._regression import absolute_error as absolute_error
from jaxnn.train.losses._regression import squared_error as squared_error
from jaxnn.train.losses._spherical import SphericalFactors as SphericalFactors
from jaxnn.train.losses._spherical import factored_z_loss as factored_z_loss
from jaxnn.train.losses._spherical import spherical_cross_entropy as spherical_cross_entropy
from jaxnn.train.losses._spherical import spherical_factors as spherical_factors
from jaxnn.train.losses._spherical import spherical_z_loss as spherical_z_loss
from jaxnn.train.losses._spherical import taylor_cross_entropy as taylor_cross_entropy
from jaxnn.train.losses._spiking import count_cross_entropy as count_cross_entropy
from jaxnn.train.losses._spiking import first_spike_cross_entropy as first_spike_cross_entropy
from jaxnn.train.losses._spiking import first_spike_squared_error as first_spike_squared_error
from jaxnn.train.losses._spiking import membrane_cross_entropy as membrane_cross_entropy
from jaxnn.train.losses._spiking import membrane_squared_error as membrane_squared_error
from jaxnn.train.losses._spiking import rate_cross_entropy as rate_cross_entropy
from jaxnn.train.losses._spiking import rate_squared_error as rate_squared_error
from jaxnn.train.losses._squared_hinge import squared_hinge as squared_hinge
from jaxnn.train.losses._stablemax import log_stablemax as log_stablemax
from jaxnn.train.losses._stablemax import softmax_collapse as softmax_collapse
from jaxnn.train.losses._stablemax import stablemax_cross_entropy as stablemax_cross_entropy
from jaxnn.train.losses._triplet import Negatives as Negatives
from jaxnn.train.losses._triplet import pairwise_distances as pairwise_distances
from jaxnn.train.losses._triplet import semi_hard_negatives as semi_hard_negatives
from jaxnn.train.losses._triplet import semi_hard_triplet_loss as semi_hard_triplet_loss
from jaxnn.train.losses._triplet import triplet_margin_loss as triplet_margin_loss
from jaxnn.train.losses._triplet import triplet_ratio_loss as triplet_ratio_loss

__all__ = [
    "Coverage",
    "Negatives",
    "Sequence",
    "SphericalFactors",
    "absolute_error",
    "accuracy",
    "bias_loss",
    "contrastive_loss",
    "count_cross_entropy",
    "coverage_at_accuracy",
    "cross_entropy",
    "decode_multi_digit",
    "distillation",
    "encouraging_loss",
    "factored_z_loss",
    "first_spike_cross_entropy",
    "first_spike_squared_error",
    "halted_focal_loss",
    "harmonic_loss",
    "info_nce",
    "log_stablemax",
    "membrane_cross_entropy",
    "membrane_squared_error",
    "multi_digit_loss",
    "normalized_softmax_loss",
    "pairwise_distances",
    "prototype_spread",
    "rate_cross_entropy",
    "rate_squared_error",
    "semi_hard_negatives",
    "semi_hard_triplet_loss",
    "softmax_collapse",
    "spherical_cross_entropy",
    "spherical_factors",
    "spherical_z_loss",
    "squared_error",
    "squared_hinge",
    "stablemax_cross_entropy",
    "taylor_cross_entropy",
    "triplet_margin_loss",
    "triplet_ratio_loss",
]
