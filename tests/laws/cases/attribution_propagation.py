"""Rows of ``analysis.attribution`` whose backward pass is changed; one network for all."""

import jax
import jax.numpy as jnp

from jaxnn.analysis import attribution
from tests.laws.case import Case, Reject
from tests.laws.cases.attribution import HOME, TESTS, W, X, many, whole
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
    row(
        "deeplift",
        function=lambda x, b: attribution.deeplift(network, x, b),
        inputs=lambda key: normal(key, (2, 3), (2, 3)),
        parity=f"{TESTS}/test_deeplift.py",
        rejects=(
            many(attribution.deeplift),
            whole(attribution.deeplift),
            Reject(
                call=lambda: attribution.deeplift(network, X, X[0]),
                error=ValueError,
                match=r"deeplift: `baseline` is .*\(3,\).* the shape \(2, 3\)",
            ),
            Reject(
                call=lambda: attribution.deeplift(network, X, epsilon=0.0),
                error=ValueError,
                match=r"deeplift: `epsilon` is 0\.0",
            ),
            Reject(
                call=lambda: attribution.deeplift(lambda x: jnp.sort(x, None)[0], X),
                error=ValueError,
                match="deeplift: `f` is 'sort'; it needs operations that DeepLIFT has a rule for",
            ),
        ),
    ),
    row(
        "deeplift_shap",
        function=lambda x, b: attribution.deeplift_shap(network, x, b),
        inputs=lambda key: normal(key, (2, 3), (2, 2, 3)),
        parity=f"{TESTS}/test_deeplift.py",
        rejects=(
            many(attribution.deeplift_shap, baselines=X[None]),
            Reject(
                call=lambda: attribution.deeplift_shap(network, X, X),
                error=ValueError,
                match=r"deeplift_shap: `baselines` is .* needs the shape \(count, 2, 3\)",
            ),
        ),
    ),
]
