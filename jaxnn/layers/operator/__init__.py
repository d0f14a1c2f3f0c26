"""Neural operators: layers that map functions to functions, on any grid they are sampled on.

``multigrid_cycle``, ``poisson_levels`` and ``MgConv`` are the linear V-cycle and the layer of
"MgNO: Efficient Parameterization of Linear Operators via Multigrid" (2024),
``spectral_convolution`` and ``SpectralConv`` those of "Fourier Neural Operator for Parametric
Partial Differential Equations" (2021), ``deep_onet`` the head of "Learning nonlinear operators
via DeepONet based on the universal approximation theorem of operators" (2021).
"""

from jaxnn.layers.operator._deep_onet import deep_onet as deep_onet
from jaxnn.layers.operator._multigrid import MgConv as MgConv
from jaxnn.layers.operator._multigrid import MultigridLevel as MultigridLevel
from jaxnn.layers.operator._multigrid import multigrid_cycle as multigrid_cycle
from jaxnn.layers.operator._multigrid import poisson_levels as poisson_levels
from jaxnn.layers.operator._spectral import SpectralConv as SpectralConv
from jaxnn.layers.operator._spectral import spectral_convolution as spectral_convolution

__all__ = [
    "MgConv",
    "MultigridLevel",
    "SpectralConv",
    "deep_onet",
    "multigrid_cycle",
    "poisson_levels",
    "spectral_convolution",
]
