"""Non-linearities with parameters, for the ``activation`` slots of blocks and networks.

``poly_relu`` and ``poly_norm`` are the polynomial compositions of "Polynomial Composition
Activations: Unleashing the Dynamics of Large Language Models" (2024).
"""

from jaxnn.layers.activations._polynomial import PolyNorm as PolyNorm
from jaxnn.layers.activations._polynomial import PolyReLU as PolyReLU
from jaxnn.layers.activations._polynomial import poly_norm as poly_norm
from jaxnn.layers.activations._polynomial import poly_relu as poly_relu

__all__ = ["PolyNorm", "PolyReLU", "poly_norm", "poly_relu"]
