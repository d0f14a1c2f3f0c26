"""Kolmogorov-Arnold networks: learned functions on edges, sums on nodes.

``kan_layer`` is the one edge layer; it takes any basis, a function from inputs to the values
of basis functions: splines on even and uneven grids, orthogonal polynomials, waves, wavelets,
bumps, quotients. The splines, layer, grids, sparsity and formulas here are those of
"KAN: Kolmogorov-Arnold Networks" (2024). ``SelectableKANLayer`` mixes a pool of bases and keeps
the best of each node: "Activation Space Selectable Kolmogorov-Arnold Networks" (2024). ``MLPKAN``
mixes perceptrons and KANs token by token: "MLP-KAN: Unifying Deep Representation and Function
Learning" (2024).
"""

from jaxnn.layers.kan._basis import bspline_basis as bspline_basis
from jaxnn.layers.kan._basis import uniform_bspline_basis as uniform_bspline_basis
from jaxnn.layers.kan._basis import uniform_knots as uniform_knots
from jaxnn.layers.kan._convolution import KANConv as KANConv
from jaxnn.layers.kan._edges import edge_curves as edge_curves
from jaxnn.layers.kan._edges import edge_scores as edge_scores
from jaxnn.layers.kan._edges import prune_edges as prune_edges
from jaxnn.layers.kan._edges import prune_inputs as prune_inputs
from jaxnn.layers.kan._edges import prune_nodes as prune_nodes
from jaxnn.layers.kan._families import BasisName as BasisName
from jaxnn.layers.kan._families import chebyshev_basis as chebyshev_basis
from jaxnn.layers.kan._families import fourier_basis as fourier_basis
from jaxnn.layers.kan._families import gaussian_basis as gaussian_basis
from jaxnn.layers.kan._families import hermite_basis as hermite_basis
from jaxnn.layers.kan._families import jacobi_basis as jacobi_basis
from jaxnn.layers.kan._families import legendre_basis as legendre_basis
from jaxnn.layers.kan._families import make_basis as make_basis
from jaxnn.layers.kan._families import rational_basis as rational_basis
from jaxnn.layers.kan._families import relu_power_basis as relu_power_basis
from jaxnn.layers.kan._families import sine_basis as sine_basis
from jaxnn.layers.kan._families import switch_basis as switch_basis
from jaxnn.layers.kan._families import wavelet_basis as wavelet_basis
from jaxnn.layers.kan._formula import EdgeFits as EdgeFits
from jaxnn.layers.kan._formula import SymbolicLayer as SymbolicLayer
from jaxnn.layers.kan._formula import formula as formula
from jaxnn.layers.kan._formula import symbolic_table as symbolic_table
from jaxnn.layers.kan._formula import symbolize as symbolize
from jaxnn.layers.kan._grid import adapt_knots as adapt_knots
from jaxnn.layers.kan._grid import extend_grid as extend_grid
from jaxnn.layers.kan._grid import extend_moments as extend_moments
from jaxnn.layers.kan._grid import fit_coefficients as fit_coefficients
from jaxnn.layers.kan._grid import refine_knots as refine_knots
from jaxnn.layers.kan._grid import refit_coefficients as refit_coefficients
from jaxnn.layers.kan._grid import update_grid as update_grid
from jaxnn.layers.kan._layer import Basis as Basis
from jaxnn.layers.kan._layer import KANLayer as KANLayer
from jaxnn.layers.kan._layer import edge_functions as edge_functions
from jaxnn.layers.kan._layer import kan_layer as kan_layer
from jaxnn.layers.kan._mlp_kan import MLPKAN as MLPKAN
from jaxnn.layers.kan._mlp_kan import switch_kan as switch_kan
from jaxnn.layers.kan._mlp_kan import top_k_gates as top_k_gates
from jaxnn.layers.kan._penalty import coefficient_penalty as coefficient_penalty
from jaxnn.layers.kan._penalty import edge_gains as edge_gains
from jaxnn.layers.kan._penalty import edge_norms as edge_norms
from jaxnn.layers.kan._penalty import regularization as regularization
from jaxnn.layers.kan._selectable import SelectableKANConv as SelectableKANConv
from jaxnn.layers.kan._selectable import SelectableKANLayer as SelectableKANLayer
from jaxnn.layers.kan._selectable import basis_scores as basis_scores
from jaxnn.layers.kan._selectable import select_bases as select_bases
from jaxnn.layers.kan._selectable import selectable_kan_layer as selectable_kan_layer
from jaxnn.layers.kan._symbolic import Symbol as Symbol
from jaxnn.layers.kan._symbolic import SymbolicFit as SymbolicFit
from jaxnn.layers.kan._symbolic import fit_symbolic as fit_symbolic
from jaxnn.layers.kan._symbolic import suggest_symbolic as suggest_symbolic
from jaxnn.layers.kan._symbolic import symbolic_library as symbolic_library

__all__ = [
    "MLPKAN",
    "EdgeFits",
    "KANConv",
    "KANLayer",
    "SelectableKANConv",
    "SelectableKANLayer",
    "Symbol",
    "SymbolicFit",
    "SymbolicLayer",
    "adapt_knots",
    "basis_scores",
    "bspline_basis",
    "chebyshev_basis",
    "coefficient_penalty",
    "edge_curves",
    "edge_functions",
    "edge_gains",
    "edge_norms",
    "edge_scores",
    "extend_grid",
    "extend_moments",
    "fit_coefficients",
    "fit_symbolic",
    "formula",
    "fourier_basis",
    "gaussian_basis",
    "hermite_basis",
    "jacobi_basis",
    "kan_layer",
    "legendre_basis",
    "make_basis",
    "prune_edges",
    "prune_inputs",
    "prune_nodes",
    "rational_basis",
    "refine_knots",
    "refit_coefficients",
    "regularization",
    "relu_power_basis",
    "select_bases",
    "selectable_kan_layer",
    "sine_basis",
    "suggest_symbolic",
    "switch_basis",
    "switch_kan",
    "symbolic_library",
    "symbolic_table",
    "symbolize",
    "top_k_gates",
    "uniform_bspline_basis",
    "uniform_knots",
    "update_grid",
    "wavelet_basis",
]
