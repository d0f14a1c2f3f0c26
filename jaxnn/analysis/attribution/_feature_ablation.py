r"""Attribution by leaving out: the fall in output when a feature is replaced by the baseline.

Source: "Visualizing and Understanding Convolutional Networks" (2014), section 4.2, for one
feature at a time in place of a sliding window.

=======  ====================================================
f        the function, one example to one number
x, x'    the example and ``baseline``, any shape
g        a feature: the entries that share a number in ``feature_mask``
=======  ====================================================
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxnn.analysis._function import chunked_map
from jaxnn.analysis.attribution._game import game


def feature_ablation(
    f: Callable[[jax.Array], jax.Array],
    x: Float[Array, "*shape"],
    *,
    baseline: Float[Array, "*shape"] | float | int | None = None,
    feature_mask: Int[Array | np.ndarray, "..."] | None = None,
    num_features: int | None = None,
    batch_size: int | None = None,
) -> Float[Array, "*shape"]:
    r"""Attribute by the fall in output when a feature is left out.

    .. math:: a_g = f(x) - f(x \text{ with } x_g = x'_g)

    Args:
      f: one example to one number.
      x: the example.
      baseline: what replaces a feature: an array like ``x`` or a number; zeros if ``None``.
      feature_mask: integers, equal for the entries that make one feature; of the shape of
        ``x`` or of its leading axes (the pixels of a ``(height, width, channels)`` image).
        Every entry is a feature of its own if ``None``.
      num_features: how many there are, where ``feature_mask`` is traced by jit or vmap; it
        then counts from 0 to ``num_features - 1``.
      batch_size: changed copies held at once; ``None`` takes 5.

    Returns:
      An array like ``x``; the entries of a feature all have its attribution.

    Raises:
      TypeError: ``x``, ``baseline`` or the output of ``f`` is not an array of floats, or
        ``feature_mask`` not one of integers.
      ValueError: ``f`` returns more than one number, shapes disagree, or ``num_features`` is
        missing.

    Example:
      >>> groups = np.array([0, 0, 1])
      >>> feature_ablation(lambda x: x.prod(), 2 * jnp.ones(3), feature_mask=groups).tolist()
      [8.0, 8.0, 8.0]
      >>> feature_ablation(lambda x: x.sum(), 2 * jnp.ones(3), feature_mask=groups).tolist()
      [4.0, 4.0, 2.0]
    """
    where = "feature_ablation"
    play = game(where, f, x, baseline, feature_mask, num_features)
    places = play.spread(jnp.arange(play.features))

    def without(feature: jax.Array) -> jax.Array:
        return play.value(places != feature)

    falls = play.full - chunked_map(where, without, jnp.arange(play.features), batch_size)
    return play.spread(falls).astype(x.dtype)
