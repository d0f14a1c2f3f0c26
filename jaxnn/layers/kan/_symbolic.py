r"""Replace a learned curve by a formula, up to affine maps of its input and output.

.. math:: y \approx c\,f(a x + b) + d

c and d are the closed form of linear regression for given a and b, which are found by a search
over a grid that is narrowed several times around the best point. All points of a grid are
computed at once.

Source: "KAN: Kolmogorov-Arnold Networks" (2024), section 2.5.1 (symbolification).
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require, require_array
from jaxnn._numeric import accumulation_dtype

Function = Callable[[jax.Array], jax.Array]


class SymbolicFit(NamedTuple):
    """An affine fit c f(a x + b) + d, and its share of explained variance."""

    a: Float[Array, ""]
    b: Float[Array, ""]
    c: Float[Array, ""]
    d: Float[Array, ""]
    r2: Float[Array, ""]


class Symbol(NamedTuple):
    """A function of the library, and how much simpler ones are preferred to it."""

    function: Function
    complexity: int


# A function with a simpler one as a limit (sin(εx) is a line, cos(εx) a parabola) is dearer.
SYMBOLIC_LIBRARY: Mapping[str, Symbol] = MappingProxyType(
    {
        "x": Symbol(lambda x: x, 0),
        "x^2": Symbol(jnp.square, 1),
        "exp": Symbol(jnp.exp, 1),
        "log": Symbol(jnp.log, 1),
        "sqrt": Symbol(jnp.sqrt, 1),
        "1/x": Symbol(lambda x: 1 / x, 1),
        "abs": Symbol(jnp.abs, 1),
        "x^3": Symbol(lambda x: x**3, 2),
        "sin": Symbol(jnp.sin, 2),
        "tanh": Symbol(jnp.tanh, 2),
        "gaussian": Symbol(lambda x: jnp.exp(-(x**2)), 2),
        "x^4": Symbol(lambda x: x**4, 3),
    }
)


def fit_symbolic(
    x: Float[Array, " points"],
    y: Float[Array, " points"],
    function: Function,
    *,
    reach: float = 10.0,
    resolution: int = 41,
    rounds: int = 4,
) -> SymbolicFit:
    r"""Fit one function, stretched and shifted on both sides, to a curve.

    Args:
      x: where the curve was sampled.
      y: its values, e.g. ``ys[i, j]`` of :func:`edge_curves`.
      function: f, element by element; where it is not finite a fit is not considered.
      reach: largest \|a\| and \|b\| searched, for ``x`` scaled to [-1, 1].
      resolution: points of the search along a and along b, per round.
      rounds: each narrows the search to the neighbours of the best point so far.

    Returns:
      a, b, c, d for ``x`` as given, and R²; for a constant curve R² is 0. In the dtype of ``y``.

    Raises:
      TypeError: ``x`` or ``y`` is not a floating-point array.
      ValueError: they are not two vectors of one length.

    Gradient: none flows through the search for a and b.
    """
    require_array("fit_symbolic", x=x, y=y)
    require(x.ndim == 1 and x.shape[0] > 1, "fit_symbolic", "x", x, "shape (points,)")
    require(y.shape == x.shape, "fit_symbolic", "y", y, f"the shape {x.shape} of `x`")
    wide = accumulation_dtype(y.dtype)
    low, high = jnp.min(x).astype(wide), jnp.max(x).astype(wide)
    middle, half = (low + high) / 2, jnp.maximum((high - low) / 2, jnp.finfo(wide).tiny)
    z, target = (x.astype(wide) - middle) / half, y.astype(wide)
    offsets = jnp.linspace(-1.0, 1.0, resolution, dtype=wide)

    def score(a: jax.Array, b: jax.Array) -> jax.Array:
        return _regress(function(a * z + b), target)[2]

    every = jax.vmap(jax.vmap(score, in_axes=(None, 0)), in_axes=(0, None))

    def narrow(carry, _):
        a, b, width = carry
        tried_a, tried_b = a + width * offsets, b + width * offsets
        best = jnp.argmax(every(tried_a, tried_b))
        a, b = tried_a[best // resolution], tried_b[best % resolution]
        return (a, b, width * (2 / (resolution - 1))), None

    start = (jnp.zeros((), wide), jnp.zeros((), wide), jnp.asarray(reach, wide))
    (a, b, _), _ = jax.lax.scan(narrow, start, length=rounds)
    a, b = jax.lax.stop_gradient((a, b))
    c, d, r2 = _regress(function(a * z + b), target)
    fit = SymbolicFit(a / half, b - a * middle / half, c, d, r2)
    return SymbolicFit(*(value.astype(y.dtype) for value in fit))


def _regress(values: jax.Array, target: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Fit target = c values + d; R² is -1 where a value is not finite."""
    finite = jnp.all(jnp.isfinite(values))
    values = jnp.where(finite, values, 0)
    size = jnp.maximum(jnp.max(jnp.abs(values)), 1)  # squares must not overflow
    scaled = values / size
    v, t = scaled - jnp.mean(scaled), target - jnp.mean(target)
    power, tiny = jnp.sum(v * v), 1e-9 * v.shape[0]
    slope = jnp.where(power > tiny, jnp.sum(v * t) / jnp.maximum(power, tiny), 0)
    total = jnp.sum(t * t)
    rest = jnp.sum((t - slope * v) ** 2)
    r2 = jnp.where(total > 0, 1 - rest / jnp.where(total > 0, total, 1), 0)
    return slope / size, jnp.mean(target) - slope * jnp.mean(scaled), jnp.where(finite, r2, -1)


@partial(jax.jit, static_argnames="functions")
def _fit_all(x: jax.Array, y: jax.Array, functions: tuple[Function, ...]) -> list[SymbolicFit]:
    return [fit_symbolic(x, y, function) for function in functions]


def suggest_symbolic(
    x: Float[Array, " points"],
    y: Float[Array, " points"],
    *,
    library: Mapping[str, Symbol] = SYMBOLIC_LIBRARY,
    floor: float = 1e-5,
) -> list[tuple[str, SymbolicFit]]:
    r"""Rank the functions of a library by how well, and how simply, they give a curve.

    .. math:: \log_2(1 - R^2 + \mathrm{floor}) + 2\,\mathrm{complexity}

    from small to large: a unit of complexity must cut the unexplained variance to a quarter.

    Args:
      x: where the curve was sampled.
      y: its values.
      library: names to functions with their complexity.
      floor: unexplained variance taken for noise.

    Returns:
      Pairs of name and fit, the best first. Runs eagerly: names depend on values.

    Raises:
      TypeError: ``x`` or ``y`` is not a floating-point array.
      ValueError: they are not two vectors of one length.
    """
    symbols = list(library.values())
    fits = _fit_all(x, y, tuple(symbol.function for symbol in symbols))

    def rank(item: tuple[tuple[str, SymbolicFit], Symbol]) -> float:
        (_, fit), symbol = item
        return math.log2(max(1 - float(fit.r2), 0.0) + floor) + 2 * symbol.complexity

    ranked = sorted(zip(zip(library, fits, strict=True), symbols, strict=True), key=rank)
    return [named for named, _ in ranked]
