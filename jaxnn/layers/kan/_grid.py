r"""Fit, move and refine the grids of splines while the functions stay what they are.

Coefficients are linear in a function's values, so every change of grid is a least-squares
problem with one small matrix per input feature and all its edges as right-hand sides:

.. math:: \min_c \sum_s \Bigl( \sum_b c_{bij} B_b(x_s) - y_{sij} \Bigr)^2

A refit to other knots samples the old spline at 2 (k + 1) points in each new interval, so that
its matrix has full rank however the data lie; the paper samples at the data, which leaves the
coefficients of empty intervals undetermined.

===========  ==========================================================
x, y         samples ``(samples, inputs)``, and ``(samples, inputs, outputs)``
c            ``coefficients``, ``(functions, inputs, outputs)``
t            ``knots``, ``(knots,)`` shared or ``(inputs, knots)``
===========  ==========================================================

Source: "KAN: Kolmogorov-Arnold Networks" (2024), section 2.2 (grid updates) and 2.4 (grid
extension, equation 2.16); ``grid_eps`` is that of its published code.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, PyTree

from jaxnn._check import require, require_array
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.kan._basis import bspline_basis, require_grid
from jaxnn.layers.kan._observe import Seen, Variables, find, observe, replaced

Knots = Float[Array, " knots"] | Float[Array, "inputs knots"]


def fit_coefficients(
    x: Float[Array, "samples inputs"],
    y: Float[Array, "samples inputs outputs"],
    knots: Knots,
    *,
    degree: int = 3,
) -> Float[Array, "functions inputs outputs"]:
    r"""Fit the splines of all edges to values at samples, by least squares.

    .. math:: c_{\cdot ij} = \arg\min_c \sum_s (B(x_{si}) \cdot c - y_{sij})^2

    Args:
      x: where each feature was sampled.
      y: what each edge should be there.
      knots: of all features, or of each.
      degree: k.

    Returns:
      Coefficients in the dtype of ``y``; functions that the samples leave undetermined, as in
      an interval without any, get 0.

    Raises:
      TypeError: an argument is not a floating-point array.
      ValueError: shapes disagree.
    """
    require_array("fit_coefficients", x=x, y=y, knots=knots)
    require(x.ndim == 2, "fit_coefficients", "x", x, "shape (samples, inputs)")
    require(
        y.ndim == 3 and y.shape[:2] == x.shape,
        "fit_coefficients",
        "y",
        y,
        f"shape {(*x.shape, 'outputs')}, for the samples and inputs of `x`",
    )
    return _fit(x, y, knots, degree)


# Compiled as one program when called eagerly; inlined when the caller is being compiled.
@partial(jax.jit, static_argnames="degree", inline=True)
def _fit(x: jax.Array, y: jax.Array, knots: jax.Array, degree: int) -> jax.Array:
    wide = accumulation_dtype(y.dtype)
    values = bspline_basis(x.astype(wide), knots.astype(wide), degree=degree)
    solve = jax.vmap(least_squares, in_axes=(2, 1), out_axes=1)
    return solve(values, y.astype(wide)).astype(y.dtype)


def least_squares(matrix: jax.Array, target: jax.Array) -> jax.Array:
    """Solve by modified Gram-Schmidt, one column at a time.

    Below [matrix, target] stands [identity, 0]; the steps that make the columns above orthogonal
    to each other leave there what was taken from the target, minus the solution.

    ``jnp.linalg.lstsq`` is not used: with jaxlib 0.10.2 on two cores, two batched LAPACK calls
    that run side by side wait for each other's threads for ever.
    """
    samples, columns = matrix.shape
    identity = jnp.eye(columns, columns + target.shape[1], dtype=matrix.dtype)
    table = jnp.concatenate([jnp.concatenate([matrix, target], axis=1), identity])
    powers = jnp.sum(matrix * matrix, axis=0)
    least = 1e-10 * jnp.maximum(powers, 1e-6 * jnp.max(powers))

    def step(table: jax.Array, j: jax.Array) -> tuple[jax.Array, None]:
        column = table[:, j]
        above = column[:samples]
        power = jnp.sum(above * above)
        # A column that the ones before it span adds nothing but rounding.
        used = power > least[j]
        row = jnp.dot(above, table[:samples], precision=jax.lax.Precision.HIGHEST)
        row = jnp.where(used, row / jnp.where(used, power, 1), 0)
        row = jnp.where(jnp.arange(table.shape[1]) > j, row, 0)
        return table - column[:, None] * row[None], None

    table, _ = jax.lax.scan(step, table, jnp.arange(columns))
    return -table[samples:, columns:]


def refit_coefficients(
    coefficients: Float[Array, "functions inputs outputs"],
    knots: Knots,
    new_knots: Float[Array, " new_knots"] | Float[Array, "inputs new_knots"],
    *,
    degree: int = 3,
) -> Float[Array, "new_functions inputs outputs"]:
    """Express splines on other knots: least squares over the interval of the new ones.

    Exact, to rounding, between ``new_knots[..., k]`` and ``new_knots[..., -k - 1]`` where the
    old inner knots are among the new ones; otherwise the best approximation. Beyond that
    interval, where splines fade out, it is another function.

    Args:
      coefficients: of the old splines.
      knots: the old knots, shared or of each feature.
      new_knots: the knots to go to, likewise.
      degree: k of both.

    Returns:
      Coefficients of the new splines in the dtype of ``coefficients``.

    Raises:
      TypeError: an argument is not a floating-point array.
      ValueError: shapes disagree.
    """
    require_array("refit_coefficients", coefficients=coefficients, knots=knots, new_knots=new_knots)
    require(
        coefficients.ndim == 3 and coefficients.shape[0] == knots.shape[-1] - degree - 1,
        "refit_coefficients",
        "coefficients",
        coefficients,
        f"shape ({knots.shape[-1] - degree - 1}, inputs, outputs), "
        f"for {knots.shape[-1]} knots and degree {degree}",
    )
    return _refit(coefficients, knots, new_knots, degree)


@partial(jax.jit, static_argnames="degree", inline=True)
def _refit(coefficients: jax.Array, knots: jax.Array, new_knots: jax.Array, degree: int):
    wide = accumulation_dtype(coefficients.dtype)
    inputs = coefficients.shape[1]
    old, new = (
        jnp.broadcast_to(t.astype(wide).reshape(-1, t.shape[-1]), (inputs, t.shape[-1]))
        for t in (knots, new_knots)
    )
    points = _points(new, degree).T
    values = bspline_basis(points, old, degree=degree)
    edges = jnp.einsum("sbi,bio->sio", values, coefficients.astype(wide))
    fitted = fit_coefficients(points, edges, new, degree=degree)
    return fitted.astype(coefficients.dtype)


def _points(knots: jax.Array, degree: int) -> jax.Array:
    """Spread 2 (degree + 1) points evenly inside each interval of the grid."""
    ends = knots[..., degree : knots.shape[-1] - degree]
    steps = (jnp.arange(2 * degree + 2, dtype=knots.dtype) + 0.5) / (2 * degree + 2)
    steps = steps.reshape((1,) * knots.ndim + (-1,))
    points = ends[..., :-1, None] * (1 - steps) + ends[..., 1:, None] * steps
    return points.reshape(*knots.shape[:-1], -1)


def adapt_knots(
    x: Float[Array, "samples inputs"],
    knots: Knots,
    *,
    degree: int = 3,
    grid_eps: float = 0.02,
) -> Float[Array, "inputs knots"]:
    r"""Place knots by the quantiles of data, mixed with a uniform grid over their range.

    .. math:: t = \epsilon\,t^{\mathrm{uniform}} + (1 - \epsilon)\,t^{\mathrm{quantile}}

    and beyond the data k steps of the mean width on either side.

    Args:
      x: the data, one column per feature.
      knots: the present knots, which give the number of intervals. A feature whose data span
        less than a thousandth of its present grid keeps it.
      degree: k.
      grid_eps: ε; 1 is a uniform grid, 0 puts as many samples into every interval. Ties in the
        data need ε > 0 to keep the knots apart.

    Returns:
      Knots for each feature, in the dtype of ``x``.

    Raises:
      TypeError: an argument is not a floating-point array.
      ValueError: shapes disagree, or ``grid_eps`` is not in [0, 1].
    """
    require_array("adapt_knots", x=x, knots=knots)
    require(x.ndim == 2 and x.shape[0] > 0, "adapt_knots", "x", x, "shape (samples, inputs)")
    require(0 <= grid_eps <= 1, "adapt_knots", "grid_eps", grid_eps, "a number from 0 to 1")
    grid = knots.shape[-1] - 2 * degree - 1
    require(
        grid >= 1, "adapt_knots", "knots", knots, f"more than 2 * degree + 1 = {2 * degree + 1}"
    )
    return _adapt(x, knots, degree, float(grid_eps))


@partial(jax.jit, static_argnums=(2, 3), inline=True)
def _adapt(x: jax.Array, knots: jax.Array, degree: int, grid_eps: float) -> jax.Array:
    grid = knots.shape[-1] - 2 * degree - 1
    wide = accumulation_dtype(x.dtype)
    old = knots.astype(wide).reshape(-1, knots.shape[-1])
    old = jnp.broadcast_to(old, (x.shape[1], knots.shape[-1]))
    steps = jnp.arange(grid + 1, dtype=wide) / grid
    quantiles = jnp.quantile(x.astype(wide), steps, axis=0).T
    low, high = quantiles[:, :1], quantiles[:, -1:]
    uniform = low * (1 - steps)[None] + high * steps[None]
    inner = grid_eps * uniform + (1 - grid_eps) * quantiles
    new = _extended(inner, degree)
    old_span = old[:, -degree - 1] - old[:, degree]
    spread = (high - low)[:, 0] > 1e-3 * old_span
    return jnp.where(spread[:, None], new, old).astype(x.dtype)


def _extended(inner: jax.Array, degree: int) -> jax.Array:
    """Add k knots on either side, at the mean distance of those inside."""
    step = (inner[..., -1:] - inner[..., :1]) / (inner.shape[-1] - 1)
    away = jnp.arange(1, degree + 1, dtype=inner.dtype).reshape((1,) * (inner.ndim - 1) + (-1,))
    return jnp.concatenate(
        [inner[..., :1] - step * away[..., ::-1], inner, inner[..., -1:] + step * away], axis=-1
    )


def refine_knots(knots: Knots, *, grid: int, degree: int = 3) -> Array:
    """Divide a grid into more intervals, as dense as before wherever it was dense.

    Args:
      knots: the present knots, shared or of each feature.
      grid: the new number of intervals. For a multiple of the present one all present knots
        are kept, so that :func:`refit_coefficients` is exact.
      degree: k.

    Returns:
      The knots of the new grid over the same interval; of a uniform grid they are uniform.

    Raises:
      TypeError: ``knots`` is not a floating-point array.
      ValueError: ``grid`` or ``degree`` is out of range.

    Example:
      >>> refine_knots(jnp.array([0.0, 1.0, 4.0]), grid=4, degree=0).tolist()
      [0.0, 0.5, 1.0, 2.5, 4.0]
    """
    require_array("refine_knots", knots=knots)
    require_grid("refine_knots", grid, degree)
    present = knots.shape[-1] - 2 * degree - 1
    require(
        present >= 1, "refine_knots", "knots", knots, f"more than 2 * degree + 1 = {2 * degree + 1}"
    )
    return _refine(knots, grid, degree)


@partial(jax.jit, static_argnums=(1, 2), inline=True)
def _refine(knots: jax.Array, grid: int, degree: int) -> jax.Array:
    present = knots.shape[-1] - 2 * degree - 1
    inner = knots[..., degree : degree + present + 1]
    # Positions in units of the present intervals, exact where a new knot falls on an old one.
    whole, part = divmod(jnp.arange(grid + 1) * present, grid)
    part = (part / grid).astype(knots.dtype).reshape((1,) * (knots.ndim - 1) + (-1,))
    left = jnp.take(inner, whole, axis=-1)
    right = jnp.take(inner, jnp.minimum(whole + 1, present), axis=-1)
    return _extended(left * (1 - part) + right * part, degree)


def update_grid(
    model: nn.Module,
    variables: Variables,
    x: Array,
    *,
    grid_eps: float = 0.02,
    **options: Any,
) -> dict[str, Any]:
    """Fit the grid of every KAN layer to the data it sees, keeping its functions.

    Args:
      model: a :class:`KANLayer`, or any linen module with such layers inside.
      variables: its variables; those of a layer are refitted, all others pass through.
      x: a batch of its inputs.
      grid_eps: share of the uniform grid; see :func:`adapt_knots`.
      **options: passed on to ``model.apply``.

    Returns:
      The variables, with ``knots`` in the collection ``grid``. The number of intervals stays,
      so optimiser states still fit; moments of the coefficients then belong to the old basis.

    Raises:
      TypeError: ``x`` is not a floating-point array.
      ValueError: the model has no KAN layer, or one whose basis is not of splines.
    """
    changes = {}
    layers = observe("update_grid", model, variables, x, **options)
    _require_splines("update_grid", model, (seen for seen, _ in layers.values()))
    for path, (seen, inputs) in layers.items():
        degree, coefficients = seen.layer.degree, seen.parameters["coefficients"]
        inputs = inputs.astype(seen.knots.dtype)
        knots = adapt_knots(inputs, seen.knots, degree=degree, grid_eps=grid_eps)
        fitted = refit_coefficients(coefficients, seen.knots, knots, degree=degree)
        changes["params", *path, "coefficients"] = fitted
        changes["grid", *path, "knots"] = knots
    return replaced(variables, changes)


def extend_grid(
    model: nn.Module, variables: Variables, x: Array, *, grid: int, **options: Any
) -> dict[str, Any]:
    """Give every KAN layer a finer grid over the same interval, keeping its functions.

    Exact, to rounding, when ``grid`` is a multiple of the present number of intervals; see
    :func:`refit_coefficients`. Uniform grids stay uniform and need no variables.

    Args:
      model: a :class:`KANLayer`, or any linen module with such layers inside.
      variables: its variables.
      x: an input of the model; only its shape and dtype matter.
      grid: the new number of intervals.
      **options: passed on to ``model.apply``.

    Returns:
      Variables for the same model made with ``grid=grid``, e.g. ``model.clone(grid=grid)``.

    Raises:
      TypeError: ``x`` is not a floating-point array.
      ValueError: the model has no KAN layer, or one whose basis is not of splines, or ``grid``
        is coarser than a present one.
    """
    changes = {}
    layers = find("extend_grid", model, variables, x, **options)
    _require_splines("extend_grid", model, layers.values())
    for path, seen in layers.items():
        degree, coefficients = seen.layer.degree, seen.parameters["coefficients"]
        present = coefficients.shape[0] - degree
        require(grid >= present, "extend_grid", "grid", grid, f"at least the present {present}")
        knots = refine_knots(seen.knots, grid=grid, degree=degree)
        fitted = refit_coefficients(coefficients, seen.knots, knots, degree=degree)
        changes["params", *path, "coefficients"] = fitted
        if seen.adaptive:
            changes["grid", *path, "knots"] = knots
    return replaced(variables, changes)


def extend_moments(tx: Any, opt_state: Any, params: PyTree[Array], *, degree: int = 3) -> Any:
    r"""Bring what an optimiser remembers of coarse coefficients to those of a finer grid.

    Function b of a grid of G intervals has its centre at (b - (k - 1) / 2) / G of the interval.
    Running means are interpolated linearly between the centres, so that a step goes the way that
    it would have gone at each place. Counts and all other parameters' means stay.

    Args:
      tx: the optax transformation that made ``opt_state``.
      opt_state: its state, for the coefficients before :func:`extend_grid`.
      params: the parameters after it.
      degree: k.

    Returns:
      A state for ``params``.

    Raises:
      ValueError: a mean differs from its parameter in more than the number of functions.

    Source: ``adam_transition`` of the jaxKAN library has the same purpose.
    """

    def resized(mean: jax.Array, parameter: jax.Array) -> jax.Array:
        if mean.shape == parameter.shape:
            return mean
        where, needs = "extend_moments", f"shapes that fit parameters {parameter.shape}"
        fits = mean.ndim == 3 and mean.shape[1:] == parameter.shape[1:]
        require(fits and len(mean) > degree, where, "opt_state", mean, needs)
        old, new = (_centres(len(x), degree) for x in (mean, parameter))
        rows = mean.reshape(len(mean), -1)
        spread = jax.vmap(lambda row: jnp.interp(new, old, row), in_axes=1, out_axes=1)(rows)
        return spread.reshape(parameter.shape).astype(mean.dtype)

    return optax.tree_utils.tree_map_params(tx, resized, opt_state, params)


def _centres(functions: int, degree: int) -> jax.Array:
    return (jnp.arange(functions) - (degree - 1) / 2) / (functions - degree)


def _require_splines(where: str, model: nn.Module, layers: Iterable[Seen]) -> None:
    """Raise unless every layer has splines, the only basis here whose grid is data."""
    others = {seen.layer.basis for seen in layers} - {"bspline"}
    needs = f"KAN layers of splines alone, not of {others}"
    require(not others, where, "model", type(model).__name__, needs)
