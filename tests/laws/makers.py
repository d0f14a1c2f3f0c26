"""Shorthand for the rows: random inputs, and the row of a linen module."""

import jax
import jax.numpy as jnp
import numpy as np

from tests.laws.case import Case


def normal(key, *shapes):
    """Draw one standard-normal float32 array per shape."""
    random = np.random.default_rng(np.asarray(jax.random.key_data(key)))  # compiles nothing
    return tuple(jnp.asarray(random.normal(size=shape), jnp.float32) for shape in shapes)


def uniform(key, shape, low=0.0, high=1.0):
    """Draw one float32 array evenly between two numbers."""
    random = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    return jnp.asarray(random.uniform(low, high, shape), jnp.float32)


def module_case(name, module, *, shape, parity, **options):
    """Make the row of a linen module of one input: a function of its variables and ``x``."""
    init = jax.jit(module.init)  # for all laws: one program, not one for each of its operations

    def inputs(key):
        (x,) = normal(key, shape)
        return init(key, x), x

    return Case(name=name, function=module.apply, inputs=inputs, parity=parity, **options)
