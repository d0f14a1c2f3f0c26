"""Which axes a measure runs over, and the magnitudes it runs over."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxnn._check import require, require_array
from jaxnn._numeric import accumulation_dtype

Axis = int | tuple[int, ...] | None


def normalize_axis(where: str, value: jax.Array, axis: Axis) -> tuple[int, ...]:
    """Give the axes as a sorted tuple of non-negative numbers; all of them if ``None``."""
    if axis is None:
        return tuple(range(value.ndim))
    axes = axis if isinstance(axis, Sequence) else (axis,)
    ok = all(isinstance(a, int) and -value.ndim <= a < value.ndim for a in axes)
    needs = f"axes of an array of {value.ndim} axes"
    require(ok, where, "axis", axis, needs)
    return tuple(sorted({a % value.ndim for a in axes}))


def gather_axes(where: str, value: jax.Array, axis: Axis) -> jax.Array:
    """Flatten ``axis`` into one last axis, which must not be empty."""
    axes = normalize_axis(where, value, axis)
    kept = [a for a in range(value.ndim) if a not in axes]
    count = math.prod(value.shape[a] for a in axes)
    require(count > 0, where, "axis", axis, f"at least one entry; the shape is {value.shape}")
    return value.transpose(*kept, *axes).reshape(*(value.shape[a] for a in kept), count)


def scaled_magnitudes(where: str, w: jax.Array, axis: Axis) -> tuple[jax.Array, jax.Array]:
    """Give magnitudes divided by the largest, and whether there is one above zero.

    The gradient treats the largest as a constant, which is exact for an index that ignores
    scale, and is zero at entries that are zero.
    """
    require_array(where, w=w)
    rows = gather_axes(where, w, axis)
    rows = rows.astype(accumulation_dtype(rows.dtype))
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(rows), -1, keepdims=True))
    present = largest > 0
    return jnp.abs(rows / jnp.where(present, largest, 1)), present[..., 0]
