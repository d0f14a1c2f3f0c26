"""Kolmogorov-Arnold networks: learned functions on edges, sums on nodes.

``kan_layer`` is the one edge layer; it takes any basis, a function from inputs to the values
of basis functions. The bases, layer, grids, sparsity and formulas here are those of
"KAN: Kolmogorov-Arnold Networks" (2024).
"""

from jaxnn.layers.kan._basis import bspline_basis as bspline_basis
from jaxnn.layers.kan._basis import uniform_bspline_basis as uniform_bspline_basis
from jaxnn.layers.kan._basis import uniform_knots as uniform_knots
from jaxnn.layers.kan._edges import edge_curves as edge_curves
from jaxnn.layers.kan._edges import edge_scores as edge_scores
from jaxnn.layers.kan._edges import prune_edges as prune_edges
from jaxnn.layers.kan._edges import prune_nodes as prune_nodes
from jaxnn.layers.kan._grid import adapt_knots as adapt_knots
from jaxnn.layers.kan._grid import extend_grid as extend_grid
from jaxnn.layers.kan._grid import fit_coefficients as fit_coefficients
from jaxnn.layers.kan._grid import refine_knots as refine_knots
from jaxnn.layers.kan._grid import refit_coefficients as refit_coefficients
from jaxnn.layers.kan._grid import update_grid as update_grid
from jaxnn.layers.kan._layer import KANLayer as KANLayer
from jaxnn.layers.kan._layer import edge_functions as edge_functions
from jaxnn.layers.kan._layer import kan_layer as kan_layer
from jaxnn.layers.kan._penalty import edge_norms as edge_norms
from jaxnn.layers.kan._penalty import regularization as regularization
from jaxnn.layers.kan._symbolic import Symbol as Symbol
from jaxnn.layers.kan._symbolic import SymbolicFit as SymbolicFit
from jaxnn.layers.kan._symbolic import fit_symbolic as fit_symbolic
from jaxnn.layers.kan._symbolic import suggest_symbolic as suggest_symbolic
from jaxnn.layers.kan._symbolic import symbolic_library as symbolic_library

__all__ = [
    "KANLayer",
    "Symbol",
    "SymbolicFit",
    "adapt_knots",
    "bspline_basis",
    "edge_curves",
    "edge_functions",
    "edge_norms",
    "edge_scores",
    "extend_grid",
    "fit_coefficients",
    "fit_symbolic",
    "kan_layer",
    "prune_edges",
    "prune_nodes",
    "refine_knots",
    "refit_coefficients",
    "regularization",
    "suggest_symbolic",
    "symbolic_library",
    "uniform_bspline_basis",
    "uniform_knots",
    "update_grid",
]
