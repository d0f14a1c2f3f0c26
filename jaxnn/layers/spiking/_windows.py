r"""Sums and maxima over the windows of a map: pooling and convolution, as sums of shifted maps.

.. math:: y_p = \bigoplus_{o \in \text{window}} f_o(x_{s p + o})

A window of size k is centred on its place, one to the right of the centre for even k, and moved by
s places; what lies beyond the edges is left out of pools and is zero for convolutions. Written
with shifts, nothing but products of matrices is left: in a compiled loop on a CPU that measured
11 times as fast as the convolution primitive, the depth-wise form 7 times (2026, 8 x 8 maps of
64 channels). On other devices convolutions are the primitive.

===  ==================================================
x    map, ``(*batch, height, width, channels)``
k    ``size`` of the window
s    ``strides``
===  ==================================================
"""

import functools
import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count, require_rank
from jaxnn._numeric import accumulation_dtype

MAP = "(*batch, height, width, channels)"


def max_pool(
    x: Float[Array, "*batch height width channels"], *, size: int = 3, strides: int = 1
) -> Float[Array, "*batch rows columns channels"]:
    """Take the largest value of each window; of spikes, whether one of them fired.

    Args:
      x: the map.
      size: k; the window is k by k.
      strides: s, along both axes.

    Returns:
      A map of ⌈height / s⌉ by ⌈width / s⌉ places, in the dtype of ``x``.

    Gradient: shared by those that are equally large, which among spikes is the rule.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: it has fewer than three axes, or a number is not whole and above zero.

    Example:
      >>> max_pool(jnp.zeros((4, 4, 1)).at[0, 0].set(1.0))[..., 0].tolist()[:2]
      [[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]]
    """
    _require_map("max_pool", x, size, strides)
    return functools.reduce(jnp.maximum, _windows(x, size, strides, -jnp.inf))


def avg_pool(
    x: Float[Array, "*batch height width channels"], *, size: int = 3, strides: int = 1
) -> Float[Array, "*batch rows columns channels"]:
    """Take the mean of each window, of those of its places that lie on the map.

    Args:
      x: the map.
      size: k; the window is k by k.
      strides: s, along both axes.

    Returns:
      A map of ⌈height / s⌉ by ⌈width / s⌉ places, in the dtype of ``x``.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: it has fewer than three axes, or a number is not whole and above zero.
    """
    _require_map("avg_pool", x, size, strides)
    wide = accumulation_dtype(x.dtype)
    total = functools.reduce(jnp.add, _windows(x.astype(wide), size, strides, 0.0))
    rows, columns = (_counts(length, size, strides) for length in x.shape[-3:-1])
    counts = np.multiply.outer(rows, columns)[..., None]
    return (total / jnp.broadcast_to(jnp.asarray(counts, wide), total.shape)).astype(x.dtype)


def depthwise_convolution(
    x: Float[Array, "*batch height width channels"],
    kernel: Float[Array, "size size channels"],
    *,
    strides: int = 1,
) -> Float[Array, "*batch rows columns channels"]:
    r"""Weigh and sum each window, every channel for itself.

    .. math:: y_{pc} = \sum_o K_{oc} \, x_{s p + o, c}

    Args:
      x: the map.
      kernel: K, not flipped.
      strides: s, along both axes.

    Returns:
      A map of ⌈height / s⌉ by ⌈width / s⌉ places, in the dtype of ``x``; sums are float32 or
      wider.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: the kernel is not square or has other channels than ``x``.
    """
    where = "depthwise_convolution"
    require_array(where, kernel=kernel)
    _require_map(where, x, max(kernel.shape[0], 1), strides)
    size, channels = kernel.shape[0], x.shape[-1]
    needs = f"shape (size, size, {channels}), one square for each channel of `x`"
    require(size > 0 and kernel.shape == (size, size, channels), where, "kernel", kernel, needs)
    wide = accumulation_dtype(x.dtype)
    if jax.default_backend() != "cpu":
        return convolution_primitive(x, kernel[:, :, None], strides=strides, groups=channels)
    windows = _windows(x.astype(wide), size, strides, 0.0)
    weights = kernel.astype(wide).reshape(size * size, *(1,) * (x.ndim - 1), channels)
    return sum(w * k for w, k in zip(windows, weights, strict=True)).astype(x.dtype)  # pyright: ignore


def convolution(x: jax.Array, kernel: jax.Array, *, strides: int = 1) -> jax.Array:
    """Weigh and sum each window over all channels; ``kernel`` is ``(k, k, inputs, outputs)``."""
    if jax.default_backend() != "cpu":
        return convolution_primitive(x, kernel, strides=strides)
    size, outputs = kernel.shape[0], kernel.shape[-1]
    total: jax.Array | float = 0.0
    shape = x.shape[:-1]
    for window, weight in zip(
        _windows(x, size, strides, 0.0), kernel.reshape(size * size, -1, outputs), strict=True
    ):
        shape = window.shape[:-1]
        rows = window.reshape(math.prod(shape), x.shape[-1])
        total += jnp.dot(rows, weight, preferred_element_type=accumulation_dtype(x.dtype))
    return jnp.asarray(total).astype(x.dtype).reshape(*shape, outputs)


def convolution_primitive(
    x: jax.Array, kernel: jax.Array, *, strides: int, groups: int = 1
) -> jax.Array:
    """Compute either convolution as one primitive; accelerators sum in float32 by themselves."""
    maps = x.reshape(-1, *x.shape[-3:])
    y = jax.lax.conv_general_dilated(
        maps,
        kernel.astype(x.dtype),
        (strides, strides),
        [((len(kernel) - 1) // 2, len(kernel) // 2)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )
    return y.reshape(*x.shape[:-3], *y.shape[1:])


def _require_map(where: str, x: jax.Array, size: int, strides: int) -> None:
    require_array(where, x=x)
    require_rank(where, "x", x, 3, MAP)
    require_count(where, size=size, strides=strides)


def _windows(x: jax.Array, size: int, strides: int, fill: float) -> Iterator[jax.Array]:
    """Give the map shifted by each offset of the window, rows first."""
    before, after = (size - 1) // 2, size // 2
    around = [(0, 0)] * (x.ndim - 3) + [(before, after)] * 2 + [(0, 0)]
    padded = jnp.pad(x, around, constant_values=fill)
    rows, columns = ((length - 1) // strides * strides + 1 for length in x.shape[-3:-1])
    for i in range(size):
        for j in range(size):
            yield padded[..., i : i + rows : strides, j : j + columns : strides, :]


def _counts(length: int, size: int, strides: int) -> np.ndarray:
    """Give how many places of each window lie on a map of this length."""
    first = np.arange(0, length, strides) - (size - 1) // 2
    return np.minimum(first + size, length) - np.maximum(first, 0)
