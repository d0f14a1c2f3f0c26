"""What the measures share: checks of two arrays of the same examples, centring, products.

All measures are of float32 or wider, whatever the dtype of their arguments.
"""

from functools import partial

import jax
import jax.numpy as jnp

from jaxnn._check import require, require_array
from jaxnn._numeric import accumulation_dtype, ratio, root

# One program when a measure is called eagerly; inlined when the caller is being compiled.
compiled = partial(jax.jit, inline=True)

# Similarities are differences of large sums: half-precision products would drown them.
matmul = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def check_pair(where: str, x: jax.Array, y: jax.Array, *, least: int = 2) -> None:
    """Raise unless both are floats ``(examples, units)`` of the same ``least`` or more examples."""
    require_array(where, x=x, y=y)
    for name, array in (("x", x), ("y", y)):
        check_examples(where, name, array, least=least)
    rows = x.shape[0]
    require(y.shape[0] == rows, where, "y", y, f"the {rows} examples of `x`, in the same order")


def check_examples(where: str, name: str, array: jax.Array, *, least: int = 2) -> None:
    """Raise unless it is an array of floats, ``(examples, units)``."""
    require_array(where, floating=True, **{name: array})
    shape = array.shape
    ok = len(shape) == 2 and shape[0] >= least and shape[1] > 0
    needs = f"shape (examples, units), with at least {least} examples"
    require(ok, where, name, array, needs, "Flatten other axes: `x.reshape(len(x), -1)`.")


def widen(x: jax.Array) -> jax.Array:
    """Make it float32, or leave it wider."""
    return jnp.asarray(x, accumulation_dtype(x.dtype))


def scaled(x: jax.Array) -> jax.Array:
    """Divide all by the largest entry, so that no product overflows or vanishes.

    The divisor is held constant in gradients, so the caller must not depend on it.
    """
    largest = jnp.max(jnp.abs(jax.lax.stop_gradient(x)))
    return x / jnp.where(largest > 0, largest, 1)


def centred(x: jax.Array) -> jax.Array:
    """Widen, scale by one number for all, and take the mean off each unit."""
    x = scaled(widen(x))
    return _less_mean(x)


def standardised(x: jax.Array) -> jax.Array:
    """Widen, centre each unit and give it length 1; one that never changes becomes zero."""
    x = widen(x)
    # Each by its own largest entry, so that no square overflows or vanishes.
    largest = jnp.max(jnp.abs(jax.lax.stop_gradient(x)), 0, keepdims=True)
    x = _less_mean(x / jnp.where(largest > 0, largest, 1))
    return ratio(x, root(jnp.sum(x * x, 0, keepdims=True)))


def _less_mean(x: jax.Array) -> jax.Array:
    """Take the mean off each unit; what is left of a constant is rounding, and becomes zero."""
    noise = 4 * jnp.finfo(x.dtype).eps * jnp.max(jnp.abs(x), 0, keepdims=True)
    x = x - jnp.mean(x, 0, keepdims=True)
    return jnp.where(jnp.max(jnp.abs(x), 0, keepdims=True) > noise, x, 0)
