"""Neural collapse: how a classifier's last features gather around their class means.

Of "Prevalence of Neural Collapse during the terminal phase of deep learning training" (2020):
``class_means``; NC1, ``within_class_variability``; NC2, ``equinorm``, ``equiangularity`` and
``frame_distance``, from a ``simplex_etf`` or any other frame; NC3, ``self_duality``; NC4,
``nearest_centre_agreement``.

``class_distance_variance`` tells how well new classes can be told apart from a few samples, by
``nearest_centre``: "On the Role of Neural Collapse in Transfer Learning" (2021).
``linear_network_collapse`` is the closed form for linear networks and unequal classes of
"Neural Collapse in Deep Linear Networks: From Balanced to Imbalanced Data" (2023).
``unconstrained_features`` are what a classifier that stays asks for, one-hot or mixed targets:
"Pushing Boundaries: Mixup's Influence on Neural Collapse" (2024).
``stable_rank`` and ``effective_rank`` count the dimensions that activations fill.
"""

from jaxnn.analysis.collapse._frames import equiangularity as equiangularity
from jaxnn.analysis.collapse._frames import equinorm as equinorm
from jaxnn.analysis.collapse._frames import frame_distance as frame_distance
from jaxnn.analysis.collapse._frames import self_duality as self_duality
from jaxnn.analysis.collapse._frames import simplex_etf as simplex_etf
from jaxnn.analysis.collapse._linear_network import LinearCollapse as LinearCollapse
from jaxnn.analysis.collapse._linear_network import (
    linear_network_collapse as linear_network_collapse,
)
from jaxnn.analysis.collapse._means import ClassMeans as ClassMeans
from jaxnn.analysis.collapse._means import class_distance_variance as class_distance_variance
from jaxnn.analysis.collapse._means import class_means as class_means
from jaxnn.analysis.collapse._means import nearest_centre as nearest_centre
from jaxnn.analysis.collapse._means import nearest_centre_agreement as nearest_centre_agreement
from jaxnn.analysis.collapse._means import within_class_variability as within_class_variability
from jaxnn.analysis.collapse._rank import effective_rank as effective_rank
from jaxnn.analysis.collapse._rank import stable_rank as stable_rank
from jaxnn.analysis.collapse._unconstrained import (
    unconstrained_features as unconstrained_features,
)

__all__ = [
    "ClassMeans",
    "LinearCollapse",
    "class_distance_variance",
    "class_means",
    "effective_rank",
    "equiangularity",
    "equinorm",
    "frame_distance",
    "linear_network_collapse",
    "nearest_centre",
    "nearest_centre_agreement",
    "self_duality",
    "simplex_etf",
    "stable_rank",
    "unconstrained_features",
    "within_class_variability",
]
