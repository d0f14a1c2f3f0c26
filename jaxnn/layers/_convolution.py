"""Convolutions of functions of the input: what layers with other units than weighted sums share."""

import math
from collections.abc import Callable, Sequence

import jax

from jaxnn._check import require, require_array, require_count
from jaxnn._numeric import accumulation_dtype

Padding = str | Sequence[tuple[int, int]]
LAYOUTS = {1: ("NHC", "HIO", "NHC"), 2: ("NHWC", "HWIO", "NHWC"), 3: ("NHWDC", "HWDIO", "NHWDC")}


def require_convolution(where: str, x: jax.Array, kernel_size: Sequence[int]) -> tuple[int, ...]:
    """Give the sizes of a kernel of one to three axes, or raise if ``x`` is no input for it."""
    kernel = tuple(kernel_size)
    axes = len(kernel)
    require(axes in LAYOUTS, where, "kernel_size", kernel, "one to three sizes")
    for size in kernel:
        require_count(where, kernel_size=size)
    require_array(where, x=x)
    needs = f"shape (*batch, {axes} axes of space, inputs)"
    require(x.ndim > axes, where, "x", x, needs)
    return kernel


def convolve(
    where: str,
    x: jax.Array,
    expand: Callable[[jax.Array], jax.Array],
    kernel: jax.Array,
    *,
    strides: int | Sequence[int],
    padding: Padding,
) -> jax.Array:
    """Sum over taps of an input whose channels are first expanded, place by place.

    Args:
      where: who asks, for errors.
      x: ``(*batch, *space, inputs)``.
      expand: maps rows ``(places, inputs)`` to ``(places, channels)``.
      kernel: ``(*kernel_size, channels, outputs)``.
      strides: along each axis of space, or one for all.
      padding: as in ``jax.lax.conv_general_dilated``; beyond the edges all channels are 0.

    Returns:
      ``(*batch, *smaller space, outputs)``, in float32 or wider.
    """
    axes = kernel.ndim - 2
    steps = (strides,) * axes if isinstance(strides, int) else tuple(strides)
    require(len(steps) == axes, where, "strides", strides, f"{axes} numbers, or one")
    *batch, inputs = x.shape[: x.ndim - 1 - axes] + x.shape[-1:]
    space = x.shape[x.ndim - 1 - axes : -1]
    values = expand(x.reshape(math.prod(x.shape[:-1]), inputs))
    y = jax.lax.conv_general_dilated(
        values.reshape(math.prod(batch), *space, values.shape[-1]),
        kernel,
        window_strides=steps,
        padding=padding,
        dimension_numbers=LAYOUTS[axes],
        preferred_element_type=accumulation_dtype(x.dtype),
    )
    return y.reshape(*batch, *y.shape[1:])
