"""Rows of ``analysis.attribution`` whose backward pass is changed; one network for all."""

import jax
import jax.numpy as jnp

from jaxnn.analysis import attribution
from tests.laws.case import Case
from tests.laws.cases.attribution import HOME, TESTS, W, many, whole
from tests.laws.makers import normal


def network(x):
    """ReLUs, some at work and some not, and a smooth part."""
    hidden = jax.nn.relu(x @ jnp.asarray(W.T, x.dtype) + jnp.asarray(0.1, x.dtype))
    return jnp.sum(hidden * jnp.tanh(hidden)) + x[0, 0]


def row(name, **options):
    """Make the row of a method that takes a function and an example."""
    method = getattr(attribution, name)
    options = {
        "function": lambda x: method(network, x),
        "inputs": lambda key: normal(key, (2, 3)),
        "rejects": (many(method), whole(method)),
        **options,
    }
    return Case(name=f"{HOME}.{name}", **options)


CASES = [
    row("deconvolution", parity=f"{TESTS}/test_guided.py"),
    row("guided_backpropagation", parity=f"{TESTS}/test_guided.py"),
]
