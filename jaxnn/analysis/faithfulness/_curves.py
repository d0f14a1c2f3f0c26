r"""The output as entries are removed from an example, or inserted, most attributed first.

Source: "RISE: Randomized Input Sampling for Explanation of Black-box Models" (2018),
section 4.3.

=======  ====================================================
f        the function, one example to one number
x, x'    the example and ``baseline``, any shape
a        ``attributions``, of the shape of x or of its leading axes
=======  ====================================================
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxnn._check import require_array, require_positive
from jaxnn.analysis._function import chunked_map, fill, scalar
from jaxnn.analysis.faithfulness._entries import beside, check_attributions, places


def deletion_curve(
    f: Callable[[jax.Array], jax.Array],
    x: Float[Array, "*shape"],
    attributions: Float[Array, "..."],
    *,
    baseline: Float[Array, "*shape"] | float | int | None = None,
    steps: int = 20,
    batch_size: int | None = None,
) -> Float[Array, " fractions"]:
    r"""Trace the output while the most attributed entries are replaced by the baseline.

    .. math:: c_j = f(x \text{ with its } \mathrm{round}(j n / \text{steps})
       \text{ most attributed of } n \text{ entries replaced})

    A small area under the curve speaks for the attributions, if it is smaller than that of a
    random order; ``jnp.trapezoid(curve, dx=1 / steps)`` gives it. With ``steps=x.size`` this is
    pixel flipping, entry by entry, of "On Pixel-Wise Explanations for Non-Linear Classifier
    Decisions by Layer-Wise Relevance Propagation" (2015).

    Args:
      f: one example to one number, best a probability.
      x: the example.
      attributions: like ``x``, or like its leading axes, whose entries then go with all that
        lies behind them (the pixels of a ``(height, width, channels)`` image). Among equals
        the earlier goes first.
      baseline: what replaces an entry: an array like ``x`` or a number; zeros if ``None``.
      steps: intervals of the curve.
      batch_size: changed copies held at once; ``None`` takes 5.

    Returns:
      ``steps + 1`` outputs, from ``f(x)`` to ``f(baseline)``.

    Raises:
      TypeError: an argument or the output of ``f`` is not an array of floats.
      ValueError: ``f`` returns more than one number, or shapes disagree.

    Gradient: flows to ``x`` and ``baseline``; the order is a constant of ``attributions``.

    Example:
      >>> deletion_curve(jnp.sum, jnp.array([1.0, 4.0]), jnp.array([0.0, 9.0]), steps=2).tolist()
      [5.0, 1.0, 0.0]
    """
    where = "deletion_curve"
    require_array(where, x=x)
    removed = fill(where, x, baseline)
    return _curve(where, f, x, removed, attributions, steps, batch_size)


def insertion_curve(
    f: Callable[[jax.Array], jax.Array],
    x: Float[Array, "*shape"],
    attributions: Float[Array, "..."],
    *,
    baseline: Float[Array, "*shape"] | float | int | None = None,
    steps: int = 20,
    batch_size: int | None = None,
) -> Float[Array, " fractions"]:
    """Trace the output while the most attributed entries are put into the baseline.

    A large area under the curve speaks for the attributions. Arguments, errors and gradients
    are those of :func:`deletion_curve`.

    Returns:
      ``steps + 1`` outputs, from ``f(baseline)`` to ``f(x)``.

    Example:
      >>> insertion_curve(jnp.sum, jnp.array([1.0, 4.0]), jnp.array([0.0, 9.0]), steps=2).tolist()
      [0.0, 4.0, 5.0]
    """
    where = "insertion_curve"
    require_array(where, x=x)
    start = fill(where, x, baseline)
    return _curve(where, f, start, x, attributions, steps, batch_size)


def _curve(
    where: str,
    f: Callable[[jax.Array], jax.Array],
    before: jax.Array,
    after: jax.Array,
    attributions: jax.Array,
    steps: int,
    batch_size: int | None,
) -> jax.Array:
    """Evaluate f while entries of ``before`` become those of ``after`` in the order given."""
    size = check_attributions(where, before.shape, attributions)
    require_positive(where, steps=steps)
    rank = beside(places(attributions), before.ndim)
    counts = np.rint(np.arange(steps + 1) * size / steps).astype(np.int32)
    f = scalar(where, f)

    def changed(count: jax.Array) -> jax.Array:
        return f(jnp.where(rank < count, after, before))

    return chunked_map(where, changed, jnp.asarray(counts), batch_size)
