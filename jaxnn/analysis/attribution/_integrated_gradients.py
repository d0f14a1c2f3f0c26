r"""Attribution by the gradient integrated along the straight line from a baseline.

The attributions add up to the difference in output between example and baseline
(completeness), which the slope at the example alone cannot: it is zero where f has saturated.

Source: "Axiomatic Attribution for Deep Networks" (2017), equation 1; equation 3 is
``method="riemann_right"``.

=======  ====================================================
f        the function, one example to one number
x, x'    the example and ``baseline``, any shape
α, w     the quadrature's points in [0, 1] and weights, ``steps`` of each
=======  ====================================================
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_positive
from jaxnn._numeric import accumulation_dtype
from jaxnn.analysis._function import chunked_sum, fill, scalar

Method = Literal[
    "gausslegendre", "riemann_left", "riemann_right", "riemann_middle", "riemann_trapezoid"
]


def integrated_gradients(
    f: Callable[[jax.Array], jax.Array],
    x: Float[Array, "*shape"],
    baseline: Float[Array, "*shape"] | float | int | None = None,
    *,
    steps: int = 50,
    method: Method = "gausslegendre",
    batch_size: int | None = None,
) -> Float[Array, "*shape"]:
    r"""Attribute by integrated gradients.

    .. math:: a_i = (x_i - x'_i) \int_0^1 \frac{\partial f(x' + α (x - x'))}{\partial x_i} dα
       \approx (x_i - x'_i) \sum_k w_k \, \partial_i f(x' + α_k (x - x'))

    Args:
      f: one example to one number.
      x: the example.
      baseline: the x' that means "nothing there": an array like ``x``, or a number for all
        entries; zeros if ``None``.
      steps: gradients evaluated; see :func:`completeness_residual` for whether they suffice.
      method: the quadrature. Gauss-Legendre is exact where f is a polynomial along the path
        of degree up to ``2 * steps``; across a kink all are of first order or little better.
      batch_size: gradients held at once; ``None`` takes 5, which was as fast as any.

    Returns:
      An array like ``x`` whose sum approximates ``f(x) - f(baseline)``. The gradients are
      added in float32 or wider.

    Raises:
      TypeError: ``x``, ``baseline`` or the output of ``f`` is not an array of floats.
      ValueError: ``f`` returns more than one number; shapes disagree; ``steps`` is too small;
        or, outside ``jit`` and ``vmap``, a given ``baseline`` equals ``x`` everywhere.

    Differs: captum's ``riemann_trapezoid`` spaces n points over n - 1 intervals but weighs
    them 1/n, so that its attributions come out short by that ratio; here they do not.

    Example:
      >>> integrated_gradients(lambda x: x[0] * x[1], jnp.array([2.0, 3.0])).round(4).tolist()
      [3.0, 3.0]
    """
    where = "integrated_gradients"
    require_array(where, x=x)
    start = fill(where, x, baseline)
    if baseline is not None and not isinstance(x - start, Tracer):
        require(
            x.size == 0 or bool((x != start).any()),
            where,
            "baseline",
            baseline,
            "to differ from `x` in some entry, or all attributions are zero",
            "Pass another reference, e.g. the mean of the data.",
        )
    points, weights = quadrature(where, method, steps)
    slope = jax.grad(scalar(where, f))
    wide = accumulation_dtype(x.dtype)
    origin, path = start.astype(wide), x.astype(wide) - start.astype(wide)

    def slope_at(point: jax.Array) -> jax.Array:
        return slope((origin + point * path).astype(x.dtype))

    mean = chunked_sum(where, slope_at, points, weights, x, batch_size)
    return (path * mean).astype(x.dtype)


def completeness_residual(
    f: Callable[[jax.Array], jax.Array],
    x: Float[Array, "*shape"],
    attributions: Float[Array, "*shape"],
    baseline: Float[Array, "*shape"] | float | int | None = None,
) -> Float[Array, ""]:
    r"""Measure by how much attributions fail to add up to the change in output.

    .. math:: \sum_i a_i - (f(x) - f(x'))

    Args:
      f: one example to one number.
      x: the example.
      attributions: what a method gave for ``f`` and ``x``.
      baseline: the x' it was given, as in :func:`integrated_gradients`.

    Returns:
      One number, positive where too much was attributed, in the dtype of ``x``.

    Raises:
      TypeError: an argument or the output of ``f`` is not an array of floats.
      ValueError: ``f`` returns more than one number, or shapes disagree.

    Example:
      >>> x = jnp.array([2.0, 3.0])
      >>> completeness_residual(lambda x: x[0] * x[1], x, jnp.array([3.0, 4.0])).item()
      1.0
    """
    where = "completeness_residual"
    require_array(where, x=x, attributions=attributions)
    require(
        attributions.shape == x.shape,
        where,
        "attributions",
        attributions,
        f"the shape {x.shape} of `x`",
    )
    f = scalar(where, f)
    wide = accumulation_dtype(x.dtype)
    change = f(x).astype(wide) - f(fill(where, x, baseline)).astype(wide)
    return (jnp.sum(attributions.astype(wide)) - change).astype(x.dtype)


def quadrature(where: str, method: str, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Give the points in [0, 1] and weights of a quadrature rule; the weights add up to one."""
    require_positive(where, steps=steps)
    needs = "a whole number"
    require(isinstance(steps, int), where, "steps", steps, needs)
    equal = np.full(steps, 1 / steps)
    if method == "gausslegendre":
        points, weights = np.polynomial.legendre.leggauss(steps)
        return (points + 1) / 2, weights / 2
    if method == "riemann_trapezoid":
        require(steps > 1, where, "steps", steps, "at least 2 for the trapezoid rule")
        weights = np.full(steps, 1 / (steps - 1))
        weights[[0, -1]] /= 2
        return np.linspace(0, 1, steps), weights
    offsets = {"riemann_left": 0.0, "riemann_middle": 0.5, "riemann_right": 1.0}
    known = "one of gausslegendre, riemann_left, riemann_right, riemann_middle, riemann_trapezoid"
    require(method in offsets, where, "method", method, known)
    return (np.arange(steps) + offsets[method]) / steps, equal
