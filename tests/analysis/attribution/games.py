"""A function of six entries in three features, and its Shapley values by enumeration."""

import itertools

import jax.numpy as jnp
import numpy as np

RNG = np.random.default_rng(1)
FIRST, LAST = RNG.normal(size=(6, 5)), RNG.normal(size=5)
X, BASELINE = RNG.normal(size=(2, 3)), RNG.normal(size=(2, 3))
MASK = np.array([[7, 3, 7], [0, 3, 3]])


def f(x):
    """One hidden layer of tanh."""
    hidden = jnp.tanh(x.reshape(6) @ jnp.asarray(FIRST, x.dtype))
    return hidden @ jnp.asarray(LAST, x.dtype)


def value(x):
    return np.tanh(x.reshape(6) @ FIRST) @ LAST


def shapley(value, x, baseline, mask):
    """Average what a feature adds over every order of joining."""
    numbers = np.unique(mask)
    orders = list(itertools.permutations(numbers))
    total = dict.fromkeys(numbers, 0.0)
    for order in orders:
        current = np.array(baseline, copy=True)
        for number in order:
            before = value(current)
            current = np.where(mask == number, x, current)
            total[number] += value(current) - before
    return np.vectorize(lambda number: total[number] / len(orders))(mask)


def array(x):
    return jnp.asarray(x, jnp.float32)
