r"""Attribution by hiding: the fall in output when a window of the input is covered.

Source: "Visualizing and Understanding Convolutional Networks" (2014), section 4.2.

=======  ====================================================
f        the function, one example to one number
x        the example, any shape
W        the entries under one position of the window
=======  ====================================================
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.analysis._function import chunked_map, fill, scalar


def occlusion(
    f: Callable[[jax.Array], jax.Array],
    x: Float[Array, "*shape"],
    *,
    window: int | tuple[int, ...],
    stride: int | tuple[int, ...] = 1,
    baseline: Float[Array, "*shape"] | float | int | None = None,
    batch_size: int | None = None,
) -> Float[Array, "*shape"]:
    r"""Attribute by the mean fall in output over the windows that cover an entry.

    .. math:: a_i = \mathrm{mean}_{W \ni i} \; f(x) - f(x \text{ with } x_W = x'_W)

    Args:
      f: one example to one number.
      x: the example, of one axis or more.
      window: extent along each axis, or one for all; e.g. ``(3, 3, channels)`` for an image.
      stride: step along each axis, or one for all, at most the window's extent there.
      baseline: what is put in the window's place: an array like ``x`` or a number; zeros if
        ``None``.
      batch_size: covered copies held at once; ``None`` takes 5.

    Returns:
      An array like ``x``. The last window of an axis may overhang, as captum's does; each
      entry is covered at least once.

    Raises:
      TypeError: ``x``, ``baseline`` or the output of ``f`` is not an array of floats.
      ValueError: ``f`` returns more than one number; window, stride and shape disagree.

    Example:
      >>> occlusion(lambda x: x[0] + 3 * x[2], jnp.ones(3), window=1).tolist()
      [1.0, 0.0, 3.0]
    """
    where = "occlusion"
    require_array(where, x=x)
    require_rank(where, "x", x, 1, "of one axis or more")
    replacement = fill(where, x, baseline)
    windows = _per_axis(where, "window", window, x)
    strides = _per_axis(where, "stride", stride, x)
    for size, extent, step in zip(x.shape, windows, strides, strict=True):
        require(extent <= size, where, "window", window, f"at most the shape {x.shape} of `x`")
        needs = f"at most the window {windows}, or entries would be skipped"
        require(step <= extent, where, "stride", stride, needs)
    covers = [_cover(*axis) for axis in zip(x.shape, windows, strides, strict=True)]
    grid = tuple(len(cover) for cover in covers)
    f = scalar(where, f)
    wide = accumulation_dtype(x.dtype)

    def covered(position: jax.Array) -> jax.Array:
        under = jnp.ones((), bool)
        for axis, cover in enumerate(covers):
            under = under[..., None] & jnp.asarray(cover)[position[axis]][(None,) * axis]
        return f(jnp.where(under, replacement, x)).astype(wide)

    positions = np.stack(np.unravel_index(np.arange(math.prod(grid)), grid), -1)
    falls = f(x).astype(wide) - chunked_map(where, covered, jnp.asarray(positions), batch_size)
    # Each axis in turn: from window positions to the entries under them.
    falls, counts = falls.reshape(grid), np.ones(())
    for cover in covers:
        falls = jnp.tensordot(falls, jnp.asarray(cover, wide), ((0,), (0,)))
        counts = np.multiply.outer(counts, cover.sum(0))
    return (falls / jnp.asarray(counts, wide)).astype(x.dtype)


def _per_axis(
    where: str, argument: str, value: int | tuple[int, ...], x: jax.Array
) -> tuple[int, ...]:
    """Give one positive extent for each axis of ``x``."""
    each = (value,) * x.ndim if isinstance(value, int) else tuple(value)
    ok = len(each) == x.ndim and all(isinstance(n, int) and n > 0 for n in each)
    require(ok, where, argument, value, f"a positive int, or {x.ndim} of them, one per axis")
    return each


def _cover(size: int, extent: int, step: int) -> np.ndarray:
    """Say which entries of one axis lie under each position of the window."""
    starts = step * np.arange(-(-(size - extent) // step) + 1)[:, None]
    entries = np.arange(size)[None, :]
    return (entries >= starts) & (entries < starts + extent)
