r"""The Kolmogorov-Arnold layer: a learned function on every edge, and sums on the nodes.

.. math::
    y_j = \sum_i \phi_{ij}(x_i), \quad
    \phi_{ij}(x) = w_{ij}\,\mathrm{silu}(x) + \sum_b c_{bij} B_b(x)

The sum over inputs and functions together is one product: the values of the basis, flattened to
(functions * inputs), times the coefficients, stored basis-major so that flattening them moves
nothing. The paper's scale w_s of the spline stands before a sum that is linear in c; it is
folded into the coefficients (c is the paper's w_s c) and gets its start from the initialiser.

===========  ===============================================================
x            input, ``(*batch, inputs)``
c            ``coefficients``, ``(functions, inputs, outputs)``
w            ``base_kernel``, ``(inputs, outputs)``, the paper's w_b
B            ``basis``: ``(*batch, inputs)`` to ``(*batch, functions, inputs)``
===========  ===============================================================

Source: "KAN: Kolmogorov-Arnold Networks" (2024), equations 2.5 and 2.10 to 2.12.
"""

import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_positive, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.kan._basis import bspline_basis, require_grid, uniform_bspline_basis
from jaxnn.layers.kan._families import BasisName, make_basis
from jaxnn.layers.kan._penalty import coefficient_penalty, edge_gains, edge_norms, regularization

Basis = Callable[[jax.Array], jax.Array]


def kan_layer(
    x: Float[Array, "*batch inputs"],
    coefficients: Float[Array, "functions inputs outputs"],
    base_kernel: Float[Array, "inputs outputs"] | None = None,
    *,
    basis: Basis = uniform_bspline_basis,
    base: Callable[[jax.Array], jax.Array] = jax.nn.silu,
) -> Float[Array, "*batch outputs"]:
    r"""Apply a Kolmogorov-Arnold layer to the last axis.

    .. math:: y_j = \sum_i w_{ij}\,\beta(x_i) + \sum_{b,i} c_{bij} B_b(x_i)

    Args:
      x: any leading axes, then features.
      coefficients: c, one per basis function and edge.
      base_kernel: w, the weights of the fixed function; without it edges are pure splines.
      basis: takes rows ``(n, inputs)`` to the values ``(n, functions, inputs)``; by default
        the cubic splines of five intervals on [-1, 1]. Close over a grid or other options.
      base: the fixed function β.

    Returns:
      An array in the dtype of ``x``; products accumulate in float32 or wider.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.

    Example:
      >>> x = jnp.array([[-0.5, 0.25]])  # equal coefficients: a partition of unity
      >>> kan_layer(x, jnp.ones((8, 2, 1))).round(4).tolist()
      [[2.0]]
    """
    require_layer("kan_layer", x, coefficients, base_kernel)
    functions, inputs, outputs = coefficients.shape
    wide = accumulation_dtype(x.dtype)
    rows = x.reshape(math.prod(x.shape[:-1]), inputs)
    values = _values("kan_layer", basis, rows, coefficients)
    weights = coefficients
    if base_kernel is not None:
        # One more function of the basis: one product takes 0.75 of the time of two.
        values = jnp.concatenate([values, base(rows)[:, None, :]], axis=1)
        weights = jnp.concatenate([weights, base_kernel[None]])
        functions += 1
    y = jnp.dot(
        values.reshape(rows.shape[0], functions * inputs),
        weights.reshape(functions * inputs, outputs),
        preferred_element_type=wide,
    )
    return y.astype(x.dtype).reshape(*x.shape[:-1], outputs)


def edge_functions(
    x: Float[Array, "*batch inputs"],
    coefficients: Float[Array, "functions inputs outputs"],
    base_kernel: Float[Array, "inputs outputs"] | None = None,
    *,
    basis: Basis = uniform_bspline_basis,
    base: Callable[[jax.Array], jax.Array] = jax.nn.silu,
) -> Float[Array, "*batch inputs outputs"]:
    r"""Evaluate the function of every edge, φ_ij(x_i), before they are summed over the inputs.

    Takes the arguments of :func:`kan_layer`, which is this summed over the axis ``inputs`` but
    never makes the array of all edges.

    Returns:
      An array in the dtype of ``x``, with one entry per example and edge.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.
    """
    require_layer("edge_functions", x, coefficients, base_kernel)
    _, inputs, outputs = coefficients.shape
    wide = accumulation_dtype(x.dtype)
    rows = x.reshape(math.prod(x.shape[:-1]), inputs)
    values = _values("edge_functions", basis, rows, coefficients)
    edges = jnp.einsum("nbi,bio->nio", values, coefficients, preferred_element_type=wide)
    if base_kernel is not None:
        edges = edges + base(rows).astype(wide)[:, :, None] * base_kernel.astype(wide)[None]
    return edges.astype(x.dtype).reshape(*x.shape[:-1], inputs, outputs)


def require_layer(
    where: str, x: jax.Array, coefficients: jax.Array, base_kernel: jax.Array | None
) -> None:
    """Raise unless the arrays are an input and the parameters of one layer for it."""
    require_array(where, x=x, coefficients=coefficients)
    require_rank(where, "x", x, 1, "(*batch, inputs)")
    require(
        coefficients.ndim == 3 and coefficients.shape[1] == x.shape[-1],
        where,
        "coefficients",
        coefficients,
        f"shape (functions, {x.shape[-1]}, outputs), for the last axis of `x`",
        "Was an axis left unflattened?",
    )
    if base_kernel is not None:
        require_array(where, base_kernel=base_kernel)
        needs = coefficients.shape[1:]
        require(base_kernel.shape == needs, where, "base_kernel", base_kernel, f"shape {needs}")


def _values(where: str, basis: Basis, rows: jax.Array, coefficients: jax.Array) -> jax.Array:
    values = basis(rows)
    require(
        values.shape == (rows.shape[0], *coefficients.shape[:2]),
        where,
        "coefficients",
        coefficients,
        f"first axes {values.shape[1:]}, the functions and inputs of `basis`",
        "Do the grid and the degree match? A grid of G intervals has G + degree functions.",
    )
    return values


class KANLayer(nn.Module):
    """The layer with its parameters ``coefficients`` and ``base_kernel``; see :func:`kan_layer`.

    The parameters alone suffice: the grid is then uniform on ``grid_range`` and the closed form
    of the splines is used. Two optional collections, which no initialiser makes, change that:

    - ``grid``: ``knots`` (inputs, G + 2k + 1) of splines adapted to data; see
      :func:`update_grid`;
    - ``mask``: ``edges`` (inputs, outputs), 1 or 0; edges at 0 are removed and get no gradient;
      see :func:`prune_edges`.

    At the start outputs have the second moment of inputs spread evenly over ``grid_range``, the
    part ``spline_share`` of it from the splines and the rest from the base function.

    Attributes:
      features: size of the output's last axis.
      grid: number of intervals G.
      degree: degree k of the splines.
      grid_range: where the uniform grid begins and ends. Outside, splines fade to 0 within k
        intervals and the base function alone is left.
      basis: the functions on the edges: a name for :func:`make_basis`, which takes ``grid``,
        ``degree`` and ``grid_range``, or a function of rows ``(n, inputs)`` to values
        ``(n, functions, inputs)``, which has its own options.
      spline_share: part of the output's variance that the basis has at the start.
      regularization: λ; above zero, λ (L1 + entropy) of the edges on the batch is sown into the
        collection ``losses``; see :func:`regularization`.
      entropy: weight of the entropy against the L1 norm in it.
      measure: of an edge, in both: ``"norm"``, see :func:`edge_norms`, or ``"gain"``, see
        :func:`edge_gains`.
      coefficient_l1: weight in it of the coefficients' sizes, divided by ``features``; see
        :func:`coefficient_penalty`.
      coefficient_difference: the same of the steps between neighbouring coefficients.
      base: the fixed function beside the spline.
      dtype: compute in this dtype; ``None`` promotes input and parameters.
      param_dtype: dtype the parameters are kept in.
      coefficients_init: initialiser of ``coefficients``; variance-keeping if ``None``.
      base_kernel_init: initialiser of ``base_kernel``; variance-keeping if ``None``.
    """

    features: int
    grid: int = 5
    degree: int = 3
    grid_range: tuple[float, float] = (-1.0, 1.0)
    basis: BasisName | Basis = "bspline"
    spline_share: float = 0.5
    regularization: float = 0.0
    entropy: float = 1.0
    measure: Literal["norm", "gain"] = "norm"
    coefficient_l1: float = 0.0
    coefficient_difference: float = 0.0
    base: Callable[[jax.Array], jax.Array] = jax.nn.silu
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    coefficients_init: Initializer | None = None
    base_kernel_init: Initializer | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        """Map ``(*batch, inputs)`` to ``(*batch, features)``."""
        require_array("KANLayer", x=x)
        require_positive("KANLayer", features=self.features)
        require_grid("KANLayer", self.grid, self.degree)
        require(
            0 <= self.spline_share <= 1,
            "KANLayer",
            "spline_share",
            self.spline_share,
            "a number from 0 to 1",
        )
        basis = self.edge_basis()
        row = jax.ShapeDtypeStruct((1, x.shape[-1]), x.dtype)
        shape = (jax.eval_shape(basis, row).shape[-2], x.shape[-1], self.features)
        coefficients_init, base_kernel_init = edge_inits(
            basis,
            self.base,
            fan_in=x.shape[-1],
            grid_range=self.grid_range,
            spline_share=self.spline_share,
            power=spline_power(self.degree) if self.basis == "bspline" else None,
        )
        coefficients = self.param(
            "coefficients", self.coefficients_init or coefficients_init, shape, self.param_dtype
        )
        base_kernel = self.param(
            "base_kernel", self.base_kernel_init or base_kernel_init, shape[1:], self.param_dtype
        )
        if self.has_variable("mask", "edges"):
            edges = self.get_variable("mask", "edges").astype(coefficients.dtype)
            coefficients = coefficients * edges[None]
            base_kernel = base_kernel * edges
        x, coefficients, base_kernel = promote_dtype(x, coefficients, base_kernel, dtype=self.dtype)
        options = {"basis": basis, "base": self.base}
        # `init` would keep what is sown as if it were state.
        if self.regularization and not self.is_initializing():
            wide = accumulation_dtype(x.dtype)
            edges = edge_functions(x, coefficients, base_kernel, **options).astype(wide)
            known = "one of norm, gain"
            require(self.measure in ("norm", "gain"), "KANLayer", "measure", self.measure, known)
            norm = self.measure == "norm"
            scores = edge_norms(edges) if norm else edge_gains(edges, x.astype(wide))
            penalty = regularization(scores, entropy=self.entropy)
            if self.coefficient_l1 or self.coefficient_difference:
                penalty += coefficient_penalty(
                    coefficients.astype(penalty.dtype),
                    l1=self.coefficient_l1,
                    difference=self.coefficient_difference,
                )
            self.sow("losses", "regularization", self.regularization * penalty)
        return kan_layer(x, coefficients, base_kernel, **options)

    def edge_basis(self) -> Basis:
        """Give the basis as a function: of the collection ``grid`` if it is there."""
        if self.basis == "bspline" and self.has_variable("grid", "knots"):
            knots = self.get_variable("grid", "knots")
            return lambda x: bspline_basis(x, knots, degree=self.degree)
        return named_or_own(self.basis, self.grid, self.degree, self.grid_range)


def named_or_own(
    basis: BasisName | Basis, grid: int, degree: int, grid_range: tuple[float, float]
) -> Basis:
    """Give the basis of a name, or the function that was given instead of one."""
    if callable(basis):
        return basis
    low, high = grid_range
    return make_basis(basis, grid=grid, degree=degree, low=low, high=high)


def edge_inits(
    basis: Basis,
    base: Callable[[jax.Array], jax.Array],
    *,
    fan_in: int,
    grid_range: tuple[float, float],
    spline_share: float,
    power: float | None = None,
) -> tuple[Initializer, Initializer]:
    """Make initialisers of coefficients and base weights that share out E[x²] between them.

    The powers are means over the range: whatever the functions are, their squares' sum is known.
    ``power`` says it, if it has a closed form.
    """

    def drawn(share: float, values: Callable[[], jax.Array]) -> Initializer:
        def init(key: jax.Array, shape: tuple[int, ...], dtype: Dtype) -> jax.Array:
            wanted = share * _moment(grid_range) / fan_in
            std = jnp.sqrt(wanted / jnp.maximum(values(), 1e-6))
            return std.astype(dtype) * jax.random.normal(key, shape, dtype)

        return init

    def functions() -> jax.Array:
        if power is not None:
            return jnp.asarray(power)
        values = basis(jnp.linspace(*grid_range, 257)[:, None])
        return jnp.mean(jnp.sum(jnp.square(values), axis=1))

    def fixed() -> jax.Array:
        return jnp.mean(base(jnp.linspace(*grid_range, 257)) ** 2)

    return drawn(spline_share, functions), drawn(1 - spline_share, fixed)


def _moment(span: tuple[float, float]) -> float:
    """Give E[x²] for x spread evenly over an interval."""
    low, high = span
    return (low * low + low * high + high * high) / 3


def spline_power(degree: int) -> float:
    """Integrate the square of the cardinal spline: the mean of Σ_b B_b(x)² over the grid."""
    # The autocorrelation of the spline of degree k at 0 is that of degree 2k + 1 at its centre.
    order = 2 * degree + 2
    terms = [
        (-1) ** r * math.comb(order, r) * (degree + 1 - r) ** (order - 1) for r in range(degree + 1)
    ]
    return sum(terms) / math.factorial(order - 1)
