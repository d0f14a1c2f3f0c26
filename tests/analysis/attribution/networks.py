"""A smooth function with its gradient written out in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np

RNG = np.random.default_rng(0)
FIRST, LAST = RNG.normal(size=(4, 6)), RNG.normal(size=6)
X, BASELINE = RNG.normal(size=4), RNG.normal(size=4)


def f(x: jax.Array) -> jax.Array:
    """One hidden layer of tanh."""
    return jnp.tanh(x @ jnp.asarray(FIRST, x.dtype)) @ jnp.asarray(LAST, x.dtype)


def value(x: np.ndarray) -> float:
    return np.tanh(x @ FIRST) @ LAST


def slope(x: np.ndarray) -> np.ndarray:
    return FIRST @ (LAST * (1 - np.tanh(x @ FIRST) ** 2))


def array(x: np.ndarray) -> jax.Array:
    return jnp.asarray(x, jnp.float32)
