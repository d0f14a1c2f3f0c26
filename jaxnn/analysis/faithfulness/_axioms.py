"""Axioms: what does not matter gets nothing, and a shift that a model undoes changes nothing.

Sources: "On quantitative aspects of model interpretability" (2020), non-sensitivity; "The
(Un)reliability of Saliency Methods" (2019), input invariance. Completeness is
``attribution.completeness_residual``.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxnn._check import require, require_array
from jaxnn._numeric import accumulation_dtype
from jaxnn.analysis._function import chunked_map, fill, scalar
from jaxnn.analysis.faithfulness._entries import beside, check_attributions


def non_sensitivity(
    f: Callable[[jax.Array], jax.Array],
    x: Float[Array, "*shape"],
    attributions: Float[Array, "..."],
    *,
    threshold: float = 1e-5,
    baseline: Float[Array, "*shape"] | float | int | None = None,
    batch_size: int | None = None,
) -> Int[Array, ""]:
    r"""Count the entries that matter but are attributed nothing, or the other way round.

    .. math:: \sum_i [\,|a_i| \le \epsilon\,] \oplus
       [\,|f(x) - f(x \text{ with } x_i = x'_i)| \le \epsilon\,]

    Args:
      f: one example to one number.
      x: the example.
      attributions: like ``x``, or like its leading axes.
      threshold: up to which an attribution or a change is nothing.
      baseline: what replaces an entry: an array like ``x`` or a number; zeros if ``None``.
      batch_size: changed copies held at once; ``None`` takes 5.

    Returns:
      From 0, the axiom holds, to the number of attributions.

    Raises:
      TypeError: an argument or the output of ``f`` is not an array of floats.
      ValueError: ``f`` returns more than one number, shapes disagree, or ``threshold`` is below
        zero.

    Gradient: none.

    Example:
      >>> x = jnp.ones(3)
      >>> non_sensitivity(lambda x: x[0] + x[1], x, jnp.array([2.0, 0.0, 2.0])).item()
      2
    """
    where = "non_sensitivity"
    require_array(where, x=x)
    removed = fill(where, x, baseline)
    size = check_attributions(where, x.shape, attributions)
    require(threshold >= 0, where, "threshold", threshold, "zero or more")
    f = scalar(where, f)
    entries = jnp.arange(size).reshape(attributions.shape)

    def change(entry: jax.Array) -> jax.Array:
        return f(x) - f(jnp.where(beside(entries == entry, x.ndim), removed, x))

    changes = chunked_map(where, change, jnp.arange(size), batch_size)
    idle = jnp.abs(changes) <= threshold
    return jnp.sum(idle ^ (jnp.abs(attributions).reshape(size) <= threshold))


def input_invariance(
    method: Callable[[Callable[[jax.Array], jax.Array], jax.Array], jax.Array],
    f: Callable[[jax.Array], jax.Array],
    x: Float[Array, "*shape"],
    shift: Float[Array, "*shape"] | float | int,
) -> Float[Array, ""]:
    r"""Give the largest change of attributions when data and model are shifted alike.

    .. math:: \max_i |e(f, x)_i - e(f(\cdot - s), x + s)_i|

    The two models give equal outputs, so that a method that explains outputs gives zero.

    Args:
      method: function and example to attributions, as the methods of ``attribution`` do.
      f: one example to one number.
      x: the example.
      shift: s, an array like ``x`` or a number.

    Returns:
      A number in float32 or wider; exactly zero only up to rounding.

    Raises:
      TypeError: an argument is not an array of floats.
      ValueError: ``shift`` has another shape than ``x``.

    Example:
      >>> slope = lambda f, x: jax.grad(f)(x)
      >>> input_invariance(slope, jnp.sum, jnp.ones(2), 1.0).item()
      0.0
      >>> input_invariance(lambda f, x: x * jax.grad(f)(x), jnp.sum, jnp.ones(2), 1.0).item()
      1.0
    """
    where = "input_invariance"
    require_array(where, x=x)
    if not isinstance(shift, float | int):
        require_array(where, shift=shift)
        require(shift.shape == x.shape, where, "shift", shift, f"a number or shape {x.shape}")
        shift = shift.astype(x.dtype)
    here, there = method(f, x), method(lambda z: f(z - shift), x + shift)
    return jnp.max(jnp.abs((here - there).astype(accumulation_dtype(x.dtype))))
