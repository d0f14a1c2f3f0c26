"""Numerical choices shared by every room."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike


def accumulation_dtype(dtype: DTypeLike) -> np.dtype:
    """Give the dtype that sums of ``dtype`` accumulate in: float32, or wider if it is wider."""
    return jnp.dtype(dtype if jnp.finfo(dtype).bits > 32 else jnp.float32)


def unit_vectors(x: jax.Array, *, axis: int = -1) -> jax.Array:
    """Divide by the length along an axis; zero stays zero, without a gradient."""
    # Seen relative to the largest entry, squares neither overflow nor vanish.
    size = jnp.max(jnp.abs(jax.lax.stop_gradient(x)), axis=axis, keepdims=True)
    some = size > 0
    x = x / jnp.where(some, size, 1)
    square = jnp.sum(x**2, axis=axis, keepdims=True)
    return jnp.where(some, x / jnp.sqrt(jnp.where(some, square, 1)), 0)


def root(x: jax.Array) -> jax.Array:
    """Take the square root, 0 without a gradient where there is none above zero."""
    some = x > 0
    return jnp.where(some, jnp.sqrt(jnp.where(some, x, 1)), 0)


def ratio(top: jax.Array, bottom: jax.Array) -> jax.Array:
    """Divide, 0 where the divisor is not above zero."""
    some = bottom > 0
    return jnp.where(some, top / jnp.where(some, bottom, 1), 0)


def mean_ranks(values: jax.Array) -> jax.Array:
    """Rank from 1, the smallest; equals share their mean rank. Flat, float32 or wider."""
    values = jax.lax.stop_gradient(values).reshape(-1)
    ordered = jnp.sort(values)
    below, through = (jnp.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    return (below + through + 1).astype(accumulation_dtype(values.dtype)) / 2


def varying_like(start: Any, *arrays: jax.Array) -> Any:
    """Let constants that a loop starts from vary over a mesh as ``arrays`` do.

    Under ``jax.shard_map`` what a loop carries must have one type throughout. The values stay,
    and nothing is left of this in a compiled program.
    """
    none = jnp.zeros((), jnp.float32)
    for x in arrays:
        some = jax.lax.stop_gradient(x).ravel()[:1].sum().astype(none.dtype)
        none = none + jnp.where(False, some, jnp.zeros_like(some))
    return jax.tree.map(lambda leaf: leaf + none.astype(leaf.dtype), start)
