"""Neural operators: layers that map functions to functions, on any grid they are sampled on.

``multigrid_cycle``, ``poisson_levels`` and ``MgConv`` are the linear V-cycle and the layer of
"MgNO: Efficient Parameterization of Linear Operators via Multigrid" (2024).
"""

from jaxnn.layers.operator._multigrid import MgConv as MgConv
from jaxnn.layers.operator._multigrid import MultigridLevel as MultigridLevel
from jaxnn.layers.operator._multigrid import multigrid_cycle as multigrid_cycle
from jaxnn.layers.operator._multigrid import poisson_levels as poisson_levels

__all__ = ["MgConv", "MultigridLevel", "multigrid_cycle", "poisson_levels"]
