"""How alike representations are, and units within them.

Whole representations, two arrays ``(examples, units)`` of the same examples: ``linear_cka``,
``kernel_cka`` and ``cka_init``, ``cka_update``, ``cka_value`` over batches ("Similarity of Neural
Network Representations Revisited" (2019)); ``cca``, ``svcca``, ``pwcca`` and ``procrustes``;
``rsa`` by dissimilarities; ``mutual_knn``, ``cknna``, ``cycle_knn``, ``lcs_knn`` and ``edit_knn``
by neighbours ("The Platonic Representation Hypothesis" (2024)). ``layer_map`` compares all layers
of two networks with any of them.

``geo_topological`` and ``geodesics`` turn dissimilarities to neighbourhoods ("The Topology and
Geometry of Neural Representations" (2023)); ``accessibility`` and ``order_agreement`` compare what
models learn first ("Let's Agree to Agree: Neural Networks Share Classification Order on Real
Datasets" (2020)).

Units: ``unit_correlation``, ``match_units``, ``semi_match`` ("Convergent Learning: Do different
neural networks learn the same representations?" (2016)), ``best_buddies``, ``rosetta_units``
("Rosetta Neurons: Mining the Common Units in a Model Zoo" (2023)) and ``merge_features`` ("Going
Beyond Neural Network Feature Similarity: The Network Feature Complexity and Its Interpretation
Using Category Theory" (2023)); ``variance_inflation`` tells how well each is a weighted sum of the
others, whose rise from layer to layer "Polynomial Regression As an Alternative to Neural Nets"
(2018) reports.
"""

from jaxnn.analysis.similarity._cca import cca as cca
from jaxnn.analysis.similarity._cca import procrustes as procrustes
from jaxnn.analysis.similarity._cca import pwcca as pwcca
from jaxnn.analysis.similarity._cca import svcca as svcca
from jaxnn.analysis.similarity._cka import CKAState as CKAState
from jaxnn.analysis.similarity._cka import cka_init as cka_init
from jaxnn.analysis.similarity._cka import cka_update as cka_update
from jaxnn.analysis.similarity._cka import cka_value as cka_value
from jaxnn.analysis.similarity._cka import hsic as hsic
from jaxnn.analysis.similarity._cka import kernel_cka as kernel_cka
from jaxnn.analysis.similarity._cka import linear_cka as linear_cka
from jaxnn.analysis.similarity._cka import rbf_kernel as rbf_kernel
from jaxnn.analysis.similarity._layers import layer_map as layer_map
from jaxnn.analysis.similarity._matching import Matching as Matching
from jaxnn.analysis.similarity._matching import best_buddies as best_buddies
from jaxnn.analysis.similarity._matching import match_units as match_units
from jaxnn.analysis.similarity._matching import rosetta_units as rosetta_units
from jaxnn.analysis.similarity._matching import semi_match as semi_match
from jaxnn.analysis.similarity._matching import unit_correlation as unit_correlation
from jaxnn.analysis.similarity._merging import MergedFeatures as MergedFeatures
from jaxnn.analysis.similarity._merging import merge_features as merge_features
from jaxnn.analysis.similarity._neighbours import cknna as cknna
from jaxnn.analysis.similarity._neighbours import cycle_knn as cycle_knn
from jaxnn.analysis.similarity._neighbours import edit_knn as edit_knn
from jaxnn.analysis.similarity._neighbours import lcs_knn as lcs_knn
from jaxnn.analysis.similarity._neighbours import mutual_knn as mutual_knn
from jaxnn.analysis.similarity._neighbours import nearest as nearest
from jaxnn.analysis.similarity._order import OrderAgreement as OrderAgreement
from jaxnn.analysis.similarity._order import accessibility as accessibility
from jaxnn.analysis.similarity._order import order_agreement as order_agreement
from jaxnn.analysis.similarity._rsa import compare_dissimilarities as compare_dissimilarities
from jaxnn.analysis.similarity._rsa import dissimilarity as dissimilarity
from jaxnn.analysis.similarity._rsa import rsa as rsa
from jaxnn.analysis.similarity._topology import geo_topological as geo_topological
from jaxnn.analysis.similarity._topology import geodesics as geodesics
from jaxnn.analysis.similarity._variance_inflation import variance_inflation as variance_inflation

__all__ = [
    "CKAState",
    "Matching",
    "MergedFeatures",
    "OrderAgreement",
    "accessibility",
    "best_buddies",
    "cca",
    "cka_init",
    "cka_update",
    "cka_value",
    "cknna",
    "compare_dissimilarities",
    "cycle_knn",
    "dissimilarity",
    "edit_knn",
    "geo_topological",
    "geodesics",
    "hsic",
    "kernel_cka",
    "layer_map",
    "lcs_knn",
    "linear_cka",
    "match_units",
    "merge_features",
    "mutual_knn",
    "nearest",
    "order_agreement",
    "procrustes",
    "pwcca",
    "rbf_kernel",
    "rosetta_units",
    "rsa",
    "semi_match",
    "svcca",
    "unit_correlation",
    "variance_inflation",
]
