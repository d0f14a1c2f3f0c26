r"""Replace a learned curve by a formula, up to affine maps of its input and output.

.. math:: y \approx c\,f(a x + b) + d

c and d are the closed form of linear regression for given a and b, which are found by a search
over a grid that is narrowed several times around the best point. All points of a grid are
computed at once.

Source: "KAN: Kolmogorov-Arnold Networks" (2024), section 2.5.1 (symbolification).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
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
    """A function of the library.

    Attributes:
      function: element by element; not finite where it is not defined.
      complexity: how much simpler ones are preferred to it.
      expression: what sympy reads, of ``z``, e.g. ``"sin(z)"``; the name as a function if empty.
    """

    function: Function
    complexity: int
    expression: str = ""


def _power(exponent: float) -> Function:
    return lambda x: jnp.power(x, exponent)


# A function with a simpler one as a limit (sin(εx) is a line, cos(εx) a parabola) is dearer.
_LIBRARY = {
    "x": Symbol(lambda x: x, 0, "z"),
    "x^2": Symbol(jnp.square, 1, "z**2"),
    "exp": Symbol(jnp.exp, 1, "exp(z)"),
    "log": Symbol(jnp.log, 1, "log(z)"),
    "sqrt": Symbol(jnp.sqrt, 1, "sqrt(z)"),
    "1/x": Symbol(lambda x: 1 / x, 1, "1/z"),
    "abs": Symbol(jnp.abs, 1, "Abs(z)"),
    "x^3": Symbol(lambda x: x**3, 2, "z**3"),
    "sin": Symbol(jnp.sin, 2, "sin(z)"),
    "tanh": Symbol(jnp.tanh, 2, "tanh(z)"),
    "gaussian": Symbol(lambda x: jnp.exp(-(x**2)), 2, "exp(-z**2)"),
    "x^4": Symbol(lambda x: x**4, 3, "z**4"),
}
_FURTHER = {
    "1/x^2": Symbol(lambda x: 1 / x**2, 2, "1/z**2"),
    "1/sqrt": Symbol(jax.lax.rsqrt, 2, "1/sqrt(z)"),
    "x^1.5": Symbol(_power(1.5), 2, "z**(3/2)"),
    "sign": Symbol(jnp.sign, 2, "sign(z)"),
    "cosh": Symbol(jnp.cosh, 3, "cosh(z)"),
    "tan": Symbol(jnp.tan, 3, "tan(z)"),
    "arctan": Symbol(jnp.arctan, 3, "atan(z)"),
    "arcsin": Symbol(jnp.arcsin, 3, "asin(z)"),
    "arctanh": Symbol(jnp.arctanh, 3, "atanh(z)"),
    "1/x^3": Symbol(lambda x: 1 / x**3, 3, "1/z**3"),
    "x^5": Symbol(lambda x: x**5, 4, "z**5"),
    "1/x^4": Symbol(lambda x: 1 / x**4, 4, "1/z**4"),
    "1/x^5": Symbol(lambda x: 1 / x**5, 4, "1/z**5"),
    "erf": Symbol(jax.lax.erf, 4, "erf(z)"),
}


def symbolic_library(size: Literal["small", "full"] = "small") -> dict[str, Symbol]:
    """Give the functions that :func:`suggest_symbolic` tries, by name, to be added to.

    A cosine is a shifted sine, and an inverse cosine a mirrored inverse sine: a and b make them.

    Args:
      size: the dozen that most formulas are made of, or these and rarer ones.

    Example:
      >>> {**symbolic_library(), "cosh": Symbol(jnp.cosh, 2)}["cosh"].complexity
      2
    """
    return dict(_LIBRARY) if size == "small" else {**_LIBRARY, **_FURTHER}


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
    _require_curve("fit_symbolic", x, y)
    fits = search(x, y, (function,), float(reach), resolution, rounds)
    return SymbolicFit(*(value[0] for value in fits))


@partial(jax.jit, static_argnums=(2, 3, 4, 5), inline=True)
def search(
    x: jax.Array,
    y: jax.Array,
    functions: tuple[Function, ...],
    reach: float,
    resolution: int,
    rounds: int,
) -> SymbolicFit:
    """Fit several functions at once; the results have a first axis for them."""
    wide = accumulation_dtype(y.dtype)
    low, high = jnp.min(x).astype(wide), jnp.max(x).astype(wide)
    middle, half = (low + high) / 2, jnp.maximum((high - low) / 2, jnp.finfo(wide).tiny)
    z, target = (x.astype(wide) - middle) / half, y.astype(wide)
    offsets = jnp.linspace(-1.0, 1.0, resolution, dtype=wide)

    def values(a: jax.Array, b: jax.Array) -> jax.Array:
        """Map (functions, n) to (functions, n, points)."""
        inner = a[..., None] * z[None, None] + b[..., None]
        return jnp.stack([function(inner[i]) for i, function in enumerate(functions)])

    def narrow(carry, _):
        a, b, width = carry
        shape = (len(functions), resolution, resolution)
        tried_a, tried_b = (v[:, None] + width * offsets[None] for v in (a, b))
        tried_a = jnp.broadcast_to(tried_a[:, :, None], shape).reshape(len(functions), -1)
        tried_b = jnp.broadcast_to(tried_b[:, None, :], shape).reshape(len(functions), -1)
        best = jnp.argmax(_regress(values(tried_a, tried_b), target)[2], axis=1)[:, None]
        a, b = (jnp.take_along_axis(v, best, axis=1)[:, 0] for v in (tried_a, tried_b))
        return (a, b, width * (2 / (resolution - 1))), None

    nought = jnp.zeros(len(functions), wide)
    start = (nought, nought, jnp.asarray(reach, wide))
    (a, b, _), _ = jax.lax.scan(narrow, start, length=rounds)
    a, b = jax.lax.stop_gradient((a, b))
    c, d, r2 = (v[:, 0] for v in _regress(values(a[:, None], b[:, None]), target))
    fits = SymbolicFit(a / half, b - a * middle / half, c, d, r2)
    return SymbolicFit(*(value.astype(y.dtype) for value in fits))


def _require_curve(where: str, x: jax.Array, y: jax.Array) -> None:
    require_array(where, x=x, y=y)
    require(x.ndim == 1 and x.shape[0] > 1, where, "x", x, "shape (points,)")
    require(y.shape == x.shape, where, "y", y, f"the shape {x.shape} of `x`")


def _regress(values: jax.Array, target: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Fit target = c values + d along the last axis; R² is -1 where a value is not finite."""
    finite = jnp.all(jnp.isfinite(values), axis=-1)
    values = jnp.where(finite[..., None], values, 0)
    size = jnp.maximum(jnp.max(jnp.abs(values), axis=-1), 1)  # squares must not overflow
    scaled = values / size[..., None]
    mean = jnp.mean(scaled, axis=-1)
    v, t = scaled - mean[..., None], target - jnp.mean(target)
    power, tiny = jnp.sum(v * v, axis=-1), 1e-9 * v.shape[-1]
    t = jnp.broadcast_to(t, v.shape)
    slope = jnp.where(power > tiny, jnp.sum(v * t, axis=-1) / jnp.maximum(power, tiny), 0)
    total = jnp.sum(t * t, axis=-1)
    rest = jnp.sum((t - slope[..., None] * v) ** 2, axis=-1)
    r2 = jnp.where(total > 0, 1 - rest / jnp.where(total > 0, total, 1), 0)
    return slope / size, jnp.mean(target) - slope * mean, jnp.where(finite, r2, -1)


def suggest_symbolic(
    x: Float[Array, " points"],
    y: Float[Array, " points"],
    *,
    library: Mapping[str, Symbol] | None = None,
    floor: float = 1e-5,
    reach: float = 10.0,
    resolution: int = 41,
    rounds: int = 4,
) -> list[tuple[str, SymbolicFit]]:
    r"""Rank the functions of a library by how well, and how simply, they give a curve.

    .. math:: \log_2(1 - R^2 + \mathrm{floor}) + 2\,\mathrm{complexity}

    from small to large: a unit of complexity must cut the unexplained variance to a quarter.

    Args:
      x: where the curve was sampled.
      y: its values.
      library: names to functions with their complexity; :func:`symbolic_library` if ``None``.
      floor: unexplained variance taken for noise.
      reach: see :func:`fit_symbolic`, as for the other two.
      resolution: of the search.
      rounds: of the search.

    Returns:
      Pairs of name and fit, the best first. Runs eagerly: names depend on values.

    Raises:
      TypeError: ``x`` or ``y`` is not a floating-point array.
      ValueError: they are not two vectors of one length.
    """
    _require_curve("suggest_symbolic", x, y)
    library = _LIBRARY if library is None else library
    symbols = list(library.values())
    functions = tuple(symbol.function for symbol in symbols)
    every = search(x, y, functions, reach, resolution, rounds)
    fits = [SymbolicFit(*(value[i] for value in every)) for i in range(len(symbols))]

    ranked = rank_symbols(np.asarray(every.r2), symbols, floor)
    names = list(library)
    return [(names[i], fits[i]) for i in ranked]


def rank_symbols(r2: np.ndarray, symbols: Sequence[Symbol], floor: float) -> np.ndarray:
    """Order functions (last axis) from the best, by what they explain and how simple they are."""
    complexity = np.array([symbol.complexity for symbol in symbols])
    cost = np.log2(np.maximum(1 - r2.astype(float), 0.0) + floor) + 2.0 * complexity
    return np.argsort(cost, axis=-1, kind="stable")
