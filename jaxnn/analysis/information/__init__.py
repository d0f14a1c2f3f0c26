"""Information in activations, estimated from samples. Everything is in nats: divide by ln 2.

By counting: ``discrete_states``, ``discrete_entropy`` and ``discrete_mutual_information``, of
values put into bins by ``bin_uniform`` or ``bin_quantile``. By distances: ``mixture_information``
bounds what noisy activations tell, of "Estimating Mixture Entropy with Pairwise Distances"
(2017); ``knn_entropy``, ``knn_mutual_information`` and ``knn_label_information`` count
neighbours, "Estimating mutual information" (2004), for a few dimensions or, after compression,
for many: "Information Bottleneck Analysis of Deep Neural Networks via Lossy Compression" (2023).

``information_plane`` takes a dictionary of activations and one of four estimators:
``binned_information`` of "Opening the Black Box of Deep Neural Networks via Information" (2017),
``kde_information``, and both made adaptive, ``adaptive_binned_information`` and
``adaptive_kde_information``, of "Adaptive Estimators Show Information Compression in Deep Neural
Networks" (2019).
"""

from jaxnn.analysis.information._discrete import bin_quantile as bin_quantile
from jaxnn.analysis.information._discrete import bin_uniform as bin_uniform
from jaxnn.analysis.information._discrete import discrete_entropy as discrete_entropy
from jaxnn.analysis.information._discrete import (
    discrete_mutual_information as discrete_mutual_information,
)
from jaxnn.analysis.information._discrete import discrete_states as discrete_states
from jaxnn.analysis.information._mixture import Bounds as Bounds
from jaxnn.analysis.information._mixture import mixture_information as mixture_information
from jaxnn.analysis.information._neighbours import knn_entropy as knn_entropy
from jaxnn.analysis.information._neighbours import knn_label_information as knn_label_information
from jaxnn.analysis.information._neighbours import knn_mutual_information as knn_mutual_information
from jaxnn.analysis.information._plane import Information as Information
from jaxnn.analysis.information._plane import (
    adaptive_binned_information as adaptive_binned_information,
)
from jaxnn.analysis.information._plane import adaptive_kde_information as adaptive_kde_information
from jaxnn.analysis.information._plane import binned_information as binned_information
from jaxnn.analysis.information._plane import information_plane as information_plane
from jaxnn.analysis.information._plane import kde_information as kde_information

__all__ = [
    "Bounds",
    "Information",
    "adaptive_binned_information",
    "adaptive_kde_information",
    "bin_quantile",
    "bin_uniform",
    "binned_information",
    "discrete_entropy",
    "discrete_mutual_information",
    "discrete_states",
    "information_plane",
    "kde_information",
    "knn_entropy",
    "knn_label_information",
    "knn_mutual_information",
    "mixture_information",
]
