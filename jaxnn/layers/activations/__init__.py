"""Non-linearities, fixed and trained, for the ``activation`` slots of blocks and networks.

``CATALOGUE`` holds the named functions of one number, each an ``Activation`` with its formula,
range and source, after "Three Decades of Activations: A Comprehensive Survey of 400 Activation
Functions for Neural Networks" (2024); ``activation`` gives one by name, ``Adaptive`` trains its
parameters. Among them are ``crrelu`` of "A Method on Searching Better Activation Functions"
(2024) and ``cauchy`` of "Cauchy activation function and XNet" (2024). ``concatenated_relu``,
``maxout``, ``gated_linear_unit`` and ``randomized_leaky_relu`` are no functions of one number.
``poly_relu`` and ``poly_norm`` are the polynomial compositions of "Polynomial Composition
Activations: Unleashing the Dynamics of Large Language Models" (2024).
"""

from jaxnn.layers.activations._catalogue import CATALOGUE as CATALOGUE
from jaxnn.layers.activations._catalogue import Adaptive as Adaptive
from jaxnn.layers.activations._catalogue import activation as activation
from jaxnn.layers.activations._entry import Activation as Activation
from jaxnn.layers.activations._polynomial import PolyNorm as PolyNorm
from jaxnn.layers.activations._polynomial import PolyReLU as PolyReLU
from jaxnn.layers.activations._polynomial import poly_norm as poly_norm
from jaxnn.layers.activations._polynomial import poly_relu as poly_relu
from jaxnn.layers.activations._several import concatenated_relu as concatenated_relu
from jaxnn.layers.activations._several import gated_linear_unit as gated_linear_unit
from jaxnn.layers.activations._several import maxout as maxout
from jaxnn.layers.activations._several import randomized_leaky_relu as randomized_leaky_relu

__all__ = [
    "CATALOGUE",
    "Activation",
    "Adaptive",
    "PolyNorm",
    "PolyReLU",
    "activation",
    "concatenated_relu",
    "gated_linear_unit",
    "maxout",
    "poly_norm",
    "poly_relu",
    "randomized_leaky_relu",
]
