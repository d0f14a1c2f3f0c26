"""Rows of ``analysis.attribution`` for features and attention."""

import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name

from jaxnn.analysis import attribution
from tests.laws.case import Case
from tests.laws.cases.attribution import HOME, TESTS, f, many, whole
from tests.laws.makers import normal


def dynamic(x):
    """One number, linear but for a scale."""
    return checkpoint_name(jnp.tanh(x.sum()), "dynamic") * f(x)


CASES = [
    Case(
        name=f"{HOME}.dynamic_weights",
        function=lambda x: attribution.dynamic_weights(dynamic, x),
        inputs=lambda key: normal(key, (2, 3)),
        parity=f"{TESTS}/test_dynamic.py",
        rejects=(many(attribution.dynamic_weights), whole(attribution.dynamic_weights)),
    ),
]
