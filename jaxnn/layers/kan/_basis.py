r"""B-spline bases: functions with local support that sum to one on the grid.

A grid divides [low, high] into G intervals; its knots are extended by k on either side, so
that G + k functions of degree k overlap it. On any knots they follow the recursion of Cox and
de Boor; on equally spaced ones all are shifts of one even function, which has a closed form
without branches. Both give the values basis-major, ``(*batch, functions, features)``, so that
flattening the last two axes gives the rows of the one product in :func:`kan_layer`.

===========  =====================================================================
x            input, ``(*batch, features)``
k            ``degree`` of the piecewise polynomials; 3 is cubic
G            ``grid``, number of intervals
t            ``knots``, G + 2k + 1 of them, increasing; t_k is low, t_{G+k} is high
B_b          basis function b = 0 .. G+k-1, non-zero on [t_b, t_{b+k+1})
===========  =====================================================================

Source: "KAN: Kolmogorov-Arnold Networks" (2024), section 2.2; the recursion is in de Boor,
"On calculating with B-splines" (1972), equation 6; the closed form is Schoenberg's (1946).
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_rank
from jaxnn._numeric import accumulation_dtype

# batch: any leading axes; features: inputs of the layer; functions: G + k of each input.


def require_grid(where: str, grid: int, degree: int) -> None:
    """Raise ``ValueError`` unless ``grid`` and ``degree`` are integers that make a spline."""
    require(isinstance(grid, int) and grid >= 1, where, "grid", grid, "a positive integer")
    require(isinstance(degree, int) and degree >= 0, where, "degree", degree, "an integer >= 0")


def uniform_knots(
    low: Float[Array, "*features"],
    high: Float[Array, "*features"],
    *,
    grid: int = 5,
    degree: int = 3,
) -> Float[Array, "*features knots"]:
    r"""Make equally spaced knots, extended by ``degree`` steps on either side.

    .. math:: t_m = \mathrm{low} + (m - k)\,(\mathrm{high} - \mathrm{low})/G,
              \quad m = 0 \dots G + 2k

    Args:
      low: where the grid begins; a scalar array, or one entry per feature.
      high: where it ends, above ``low``.
      grid: number of intervals G.
      degree: k.

    Returns:
      G + 2k + 1 knots for each entry of ``low``.

    Raises:
      TypeError: ``low`` or ``high`` is not a floating-point array.
      ValueError: their shapes differ, or ``grid`` or ``degree`` is out of range.

    Example:
      >>> uniform_knots(jnp.array(-1.0), jnp.array(1.0), grid=2, degree=1).tolist()
      [-2.0, -1.0, 0.0, 1.0, 2.0]
    """
    require_array("uniform_knots", low=low, high=high)
    require_grid("uniform_knots", grid, degree)
    require(
        low.shape == high.shape, "uniform_knots", "high", high, f"the shape {low.shape} of `low`"
    )
    steps = jnp.arange(-degree, grid + degree + 1, dtype=low.dtype) / grid
    steps = steps.reshape((1,) * low.ndim + (-1,))
    # Convex combination: the end of the grid is exactly `high`.
    return low[..., None] * (1 - steps) + high[..., None] * steps


def bspline_basis(
    x: Float[Array, "*batch features"],
    knots: Float[Array, " knots"] | Float[Array, "features knots"],
    *,
    degree: int = 3,
) -> Float[Array, "*batch functions features"]:
    r"""Evaluate every B-spline of any knots by the recursion of Cox and de Boor.

    .. math::
        B_b^0(x) = [t_b \le x < t_{b+1}], \quad
        B_b^k(x) = \frac{x - t_b}{t_{b+k} - t_b} B_b^{k-1}(x)
                 + \frac{t_{b+k+1} - x}{t_{b+k+1} - t_{b+1}} B_{b+1}^{k-1}(x)

    Intervals are closed on the left and open on the right. So with degree 0, or with repeated
    knots at the right end, all functions are 0 at the last knot itself. A quotient over
    coincident knots counts as 0.

    Args:
      x: points; any leading axes, then features.
      knots: non-decreasing; one row for all features, or one row per feature.
      degree: k; the number of functions is the number of knots - k - 1.

    Returns:
      Basis-major values in the dtype of ``x``: non-negative to rounding, and of sum 1 between
      ``knots[..., k]`` and ``knots[..., -k - 1]``.

    Raises:
      TypeError: an argument is not a floating-point array.
      ValueError: there are fewer than k + 2 knots, or their rows are not the features of ``x``.

    Example:
      >>> bspline_basis(jnp.array([0.5]), jnp.array([0.0, 1.0, 2.0, 3.0]), degree=1).tolist()
      [[0.5], [0.0]]
    """
    require_array("bspline_basis", x=x, knots=knots)
    require_rank("bspline_basis", "x", x, 1, "(*batch, features)")
    require_grid("bspline_basis", 1, degree)
    require(
        knots.shape[:-1] in ((), x.shape[-1:]) and knots.ndim > 0,
        "bspline_basis",
        "knots",
        knots,
        f"shape (knots,), or ({x.shape[-1]}, knots) for the features of `x`",
    )
    require(
        knots.shape[-1] >= degree + 2,
        "bspline_basis",
        "knots",
        knots,
        f"at least degree + 2 = {degree + 2} knots",
    )
    return _recursion(x, knots, degree)


# Compiled as one program when called eagerly; inlined when the caller is being compiled.
@partial(jax.jit, static_argnames="degree", inline=True)
def _recursion(x: jax.Array, knots: jax.Array, degree: int) -> jax.Array:
    wide = accumulation_dtype(x.dtype)
    table = jnp.atleast_2d(knots.astype(wide)).T  # (knots, features or 1)
    t = table.reshape((1,) * (x.ndim - 1) + table.shape)
    z = x.astype(wide)[..., None, :]
    values = ((z >= t[..., :-1, :]) & (z < t[..., 1:, :])).astype(wide)
    for k in range(1, degree + 1):
        # The second quotient is 1 less the first of the next function; a function over
        # coincident knots is 0 already, so that any number will do for its quotient.
        width = t[..., k:, :] - t[..., :-k, :]
        share = jnp.where(width > 0, 1 / jnp.where(width > 0, width, 1), 0)
        rising = (z - t[..., :-k, :]) * share * values
        values = rising[..., :-1, :] + (values - rising)[..., 1:, :]
    return values.astype(x.dtype)


def uniform_bspline_basis(
    x: Float[Array, "*batch features"],
    *,
    grid: int = 5,
    degree: int = 3,
    low: float = -1.0,
    high: float = 1.0,
) -> Float[Array, "*batch functions features"]:
    r"""Evaluate every B-spline of an equally spaced grid, without branches or gathers.

    .. math::
        B_b(x) = \frac{1}{k!} \sum_{r < (k+1)/2} (-1)^r \binom{k+1}{r}
                 \Bigl(\tfrac{k+1}{2} - r - |u - c_b|\Bigr)_+^k,
        \quad u = G \frac{x - \mathrm{low}}{\mathrm{high} - \mathrm{low}},
        \quad c_b = b + \tfrac{1 - k}{2}

    The functions of :func:`bspline_basis` on :func:`uniform_knots`; for cubic splines the sum
    has two terms, ((2 - s)₊³ - 4 (1 - s)₊³) / 6 with ``s = |u - c_b|``. Each function is computed
    as an array of its own: XLA writes the stack in one pass, which one broadcast over all of
    them does not get.

    Args:
      x: points; any leading axes, then features. Outside the extended knots all values are 0.
      grid: number of intervals G.
      degree: k.
      low: where the grid begins.
      high: where it ends.

    Returns:
      Basis-major values of the G + k functions, in the dtype of ``x``.

    Raises:
      TypeError: ``x`` is not a floating-point array.
      ValueError: ``grid``, ``degree`` or the range is out of range.

    Example:
      >>> uniform_bspline_basis(jnp.array([0.0]), grid=2, degree=1).tolist()
      [[0.0], [1.0], [0.0]]
    """
    require_array("uniform_bspline_basis", x=x)
    require_rank("uniform_bspline_basis", "x", x, 1, "(*batch, features)")
    require_grid("uniform_bspline_basis", grid, degree)
    require(low < high, "uniform_bspline_basis", "low", low, f"a number below `high`, {high!r}")
    return _closed_form(x, grid, degree, float(low), float(high))


@partial(jax.jit, static_argnums=(1, 2, 3, 4), inline=True)
def _closed_form(x: jax.Array, grid: int, degree: int, low: float, high: float) -> jax.Array:
    wide = accumulation_dtype(x.dtype)
    u = (x.astype(wide) - low) * (grid / (high - low))
    if degree == 0:  # 0⁰ has no branch-free form.
        values = [((u >= b) & (u < b + 1)).astype(x.dtype) for b in range(grid)]
        return jnp.stack(values, axis=-2)
    terms = [
        ((degree + 1) / 2 - r, (-1) ** r * math.comb(degree + 1, r) / math.factorial(degree))
        for r in range((degree + 2) // 2)
    ]
    values = []
    for b in range(grid + degree):
        s = jnp.abs(u - (b + (1 - degree) / 2))
        value = sum(weight * jnp.maximum(reach - s, 0) ** degree for reach, weight in terms)
        values.append(jnp.asarray(value).astype(x.dtype))
    return jnp.stack(values, axis=-2)
