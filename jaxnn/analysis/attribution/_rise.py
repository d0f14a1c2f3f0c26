r"""Attribution by random masks: the mean of the masks, each weighed by the output it leaves.

Source: "RISE: Randomized Input Sampling for Explanation of Black-box Models" (2018),
equation 6 and section 3.2.

=======  ====================================================
f        the function, one example to one number
x, x'    the example and ``baseline``, any shape
M        a mask in [0, 1] over the leading axes of x, N of them
p        chance that a cell of the coarse grid is kept; E[M] = p everywhere
=======  ====================================================
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, UInt32

from jaxnn._check import require, require_array, require_count, require_key
from jaxnn._numeric import accumulation_dtype
from jaxnn.analysis._function import chunked_total, fill, scalar


def rise(
    f: Callable[[jax.Array], jax.Array],
    x: Float[Array, "*shape"],
    *,
    key: PRNGKeyArray | UInt32[Array, "2"],
    samples: int = 4000,
    grid: int | tuple[int, ...] | None = 7,
    probability: float = 0.5,
    baseline: Float[Array, "*shape"] | float | int | None = None,
    batch_size: int | None = None,
) -> Float[Array, "..."]:
    r"""Attribute by RISE.

    .. math:: a = \frac{1}{N p} \sum_{i=1}^N f(x \odot M_i + x' \odot (1 - M_i)) \, M_i

    An entry's attribution estimates the mean output given that the entry is kept: compare the
    entries of one map, whose level is that of f.

    Args:
      f: one example to one number, best a probability; nothing but its values is used.
      x: the example.
      key: random key; the masks are :func:`rise_masks` of it.
      samples: masks N; the error falls with the root of their number.
      grid: cells along each of the leading axes that are masked; a number stands for the
        first two axes (the first, if there is but one). ``None`` masks every entry of ``x``
        on its own, without smoothing.
      probability: p.
      baseline: what a mask of zero leaves: an array like ``x`` or a number; zeros if ``None``.
      batch_size: masked copies held at once; ``None`` takes 5. Masks are made chunk by chunk,
        so that memory does not grow with their number; under ``vmap`` examples share them
        unless each has its own key.

    Returns:
      An array like the masked leading axes of ``x``: the map of an image.

    Raises:
      TypeError: ``x``, ``baseline`` or the output of ``f`` is not an array of floats, or
        ``key`` no random key.
      ValueError: ``f`` returns more than one number; grid, probability and shape disagree.

    Example:
      >>> f = lambda x: x[1, 1]
      >>> a = rise(f, jnp.ones((4, 4)), key=jax.random.key(0), grid=4, samples=500)
      >>> [i.item() for i in jnp.unravel_index(a.argmax(), a.shape)]
      [1, 1]
    """
    where = "rise"
    require_array(where, x=x)
    start = fill(where, x, baseline)
    shape, cells = _cells(where, x.shape, grid, probability)
    require_key(where, key)
    require_count(where, samples=samples)
    f = scalar(where, f)
    wide = accumulation_dtype(x.dtype)
    trailing = (1,) * (x.ndim - len(shape))

    def masked(mask: jax.Array) -> jax.Array:
        kept = mask.reshape(shape + trailing).astype(x.dtype)
        return f(kept * x + (1 - kept) * start).astype(wide)

    keys = jax.random.split(key, samples)
    # Cells are few and are drawn at once; the masks they make are as large as the example.
    drawn = keys if cells is None else _draw_cells(keys, shape, cells, probability)

    def add(drawn: Any, real: jax.Array) -> jax.Array:
        if cells is None:
            masks = _draw(drawn, shape, None, probability)
        else:
            kept, offsets = drawn
            masks = _enlarged(kept, offsets, shape, cells)
        values = jnp.where(real, jax.vmap(masked)(masks), 0)
        return jnp.tensordot(values, masks.astype(wide), 1)

    total = chunked_total(where, add, drawn, batch_size)
    return (total / (samples * probability)).astype(x.dtype)


def rise_masks(
    shape: tuple[int, ...],
    *,
    key: PRNGKeyArray | UInt32[Array, "2"],
    samples: int,
    grid: int | tuple[int, ...] | None = 7,
    probability: float = 0.5,
) -> Float[Array, "samples ..."]:
    """Draw the masks of :func:`rise`, all at once.

    A grid of s cells along an axis of H entries, each kept or not, is enlarged bilinearly to
    (s + 1) C entries, C = H / s rounded up, and cropped to H at a random offset below C.

    Args:
      shape: of the example.
      key: random key.
      samples: masks.
      grid: cells along each masked axis, as in :func:`rise`.
      probability: chance that a cell is kept; the mean of a mask at every entry.

    Returns:
      Masks in [0, 1], float32, ``(samples, *masked axes)``.

    Raises:
      TypeError: ``key`` is not a random key.
      ValueError: grid, probability and shape disagree, or ``samples`` is not a count.

    Example:
      >>> rise_masks((8, 8, 3), key=jax.random.key(0), samples=5).shape
      (5, 8, 8)
    """
    where = "rise_masks"
    shape, cells = _cells(where, shape, grid, probability)
    require_key(where, key)
    require_count(where, samples=samples)
    return _draw(jax.random.split(key, samples), shape, cells, probability)


def _draw(
    keys: jax.Array, shape: tuple[int, ...], cells: tuple[int, ...] | None, probability: float
) -> jax.Array:
    """Draw one mask from each key."""
    if cells is None:
        return jax.vmap(lambda key: _bernoulli(key, probability, shape))(keys)
    kept, offsets = _draw_cells(keys, shape, cells, probability)
    return _enlarged(kept, offsets, shape, cells)


def _draw_cells(
    keys: jax.Array, shape: tuple[int, ...], cells: tuple[int, ...], probability: float
) -> tuple[jax.Array, jax.Array]:
    """Draw which cells are kept and where the mask begins, from each key."""

    def draw(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        cell_key, offset_key = jax.random.split(key)
        limits = jnp.asarray(_strides(shape, cells))
        offsets = jax.random.randint(offset_key, (len(shape),), 0, limits)
        return _bernoulli(cell_key, probability, cells), offsets

    return jax.vmap(draw)(keys)


def _enlarged(
    kept: jax.Array, offsets: jax.Array, shape: tuple[int, ...], cells: tuple[int, ...]
) -> jax.Array:
    """Make masks of the cells kept, each axis in turn, from the first to the last."""
    values = kept
    for axis, size in enumerate(shape):
        stride = _strides(shape, cells)[axis]
        matrix = _enlarge(cells[axis], stride)
        shifted = np.stack([matrix[first : first + size] for first in range(stride)])
        rows = jnp.asarray(shifted)[offsets[:, axis]]
        values = jax.vmap(lambda v, r: jnp.tensordot(v, r, ((0,), (1,))))(values, rows)
    return values


def _strides(shape: tuple[int, ...], cells: tuple[int, ...]) -> list[int]:
    return [-(-size // count) for size, count in zip(shape, cells, strict=True)]


def _bernoulli(key: jax.Array, probability: float, shape: tuple[int, ...]) -> jax.Array:
    return jax.random.bernoulli(key, probability, shape).astype(jnp.float32)


def _enlarge(cells: int, stride: int) -> np.ndarray:
    """Give the matrix that interpolates ``cells`` values linearly at ``(cells + 1) * stride``."""
    size = (cells + 1) * stride
    # Middles of the entries, in units of cells; beyond the outer middles the value is constant.
    position = np.clip((np.arange(size) + 0.5) * cells / size - 0.5, 0, cells - 1)
    distance = np.abs(position[:, None] - np.arange(cells)[None, :])
    return np.maximum(0, 1 - distance).astype(np.float32)


def _cells(
    where: str, shape: tuple[int, ...], grid: int | tuple[int, ...] | None, probability: float
) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """Give the masked leading axes and the cells along each."""
    ok = isinstance(probability, float | int) and 0 < probability <= 1
    require(ok, where, "probability", probability, "a number above 0, at most 1")
    if grid is None:
        return shape, None
    each = (grid,) * min(2, len(shape)) if isinstance(grid, int) else tuple(grid)
    needs = f"one or more axes to mask, of the shape {shape}; None masks every entry"
    require(0 < len(each) <= len(shape), where, "grid", grid, needs)
    axes = shape[: len(each)]
    ok = all(isinstance(n, int) and 0 < n <= size for n, size in zip(each, axes, strict=True))
    require(ok, where, "grid", grid, f"from 1 to {axes} cells along the axes")
    return axes, each
