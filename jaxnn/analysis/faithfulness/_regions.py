r"""The output as whole regions are replaced, most attributed first.

Sources: "Evaluating the visualization of what a Deep Neural Network has learned" (2015), region
perturbation; "Methods for Interpreting and Understanding Deep Neural Networks" (2018),
selectivity; "IROF: a low resource evaluation metric for explanation methods" (2020).

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
from jaxtyping import Array, Float, Int

from jaxnn._check import require_array
from jaxnn._numeric import accumulation_dtype
from jaxnn.analysis._function import chunked_map, fill, scalar
from jaxnn.analysis.attribution._game import grouping
from jaxnn.analysis.faithfulness._entries import beside, check_attributions, places


def region_perturbation(
    f: Callable[[jax.Array], jax.Array],
    x: Float[Array, "*shape"],
    attributions: Float[Array, "..."],
    feature_mask: Int[Array | np.ndarray, "..."],
    *,
    num_features: int | None = None,
    baseline: Float[Array, "*shape"] | float | int | None = None,
    batch_size: int | None = None,
) -> Float[Array, " removed"]:
    r"""Trace the output while regions are replaced, by their mean attribution, largest first.

    .. math:: c_j = f(x \text{ with its } j \text{ most attributed regions replaced})

    Region perturbation is the mean of ``curve[0] - curve``, the larger the better; the area
    under the curve is selectivity; ``jnp.mean(1 - curve / curve[0])`` with superpixels as regions
    and their mean colour as the baseline is IROF. Least relevant first: ``-attributions``.

    Args:
      f: one example to one number, best a probability.
      x: the example.
      attributions: like ``x``, or like its leading axes.
      feature_mask: integers, equal for the entries that make one region (a square, a
        superpixel); of the shape of ``x`` or of its leading axes.
      num_features: how many regions there are, where ``feature_mask`` is traced by jit or
        vmap; it then counts from 0 to ``num_features - 1``.
      baseline: what replaces a region: an array like ``x`` or a number; zeros if ``None``.
      batch_size: changed copies held at once; ``None`` takes 5.

    Returns:
      One output more than there are regions, from ``f(x)`` to ``f(baseline)``.

    Raises:
      TypeError: ``x``, ``attributions``, ``baseline`` or the output of ``f`` is not an array of
        floats, or ``feature_mask`` not one of integers.
      ValueError: ``f`` returns more than one number, shapes disagree, or ``num_features`` is
        missing.

    Gradient: flows to ``x`` and ``baseline``; the order is a constant of ``attributions``.

    Differs: quantus' curves leave ``f(x)`` out, and its area of IROF adds up to the number of
    regions in place of one.

    Example:
      >>> halves = np.array([0, 0, 1])
      >>> region_perturbation(jnp.sum, jnp.array([1.0, 2.0, 4.0]), jnp.ones(3), halves).tolist()
      [7.0, 4.0, 0.0]
    """
    where = "region_perturbation"
    require_array(where, x=x)
    removed = fill(where, x, baseline)
    check_attributions(where, x.shape, attributions)
    regions, spread = grouping(where, x.shape, feature_mask, num_features)
    region = spread(jnp.arange(regions)).reshape(-1)
    wide = accumulation_dtype(attributions.dtype)
    each = jnp.broadcast_to(beside(attributions, x.ndim), x.shape).astype(wide).reshape(-1)
    totals, counts = (
        jax.ops.segment_sum(values, region, regions) for values in (each, jnp.ones_like(each))
    )
    place = spread(places(totals / jnp.maximum(counts, 1)))
    f = scalar(where, f)

    def changed(count: jax.Array) -> jax.Array:
        return f(jnp.where(place < count, removed, x))

    return chunked_map(where, changed, jnp.arange(regions + 1, dtype=jnp.int32), batch_size)
