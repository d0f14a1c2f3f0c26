"""Rows of ``analysis.attribution`` whose backward pass is changed; one network for all."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnn.analysis import attribution
from tests.laws.case import Case, Plain, Reject
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


def layers(x):
    """Two layers on the same, of modules."""
    weights = jnp.asarray(W, x.dtype)
    first = {"kernel": weights.T, "bias": jnp.full(2, 0.1, x.dtype)}
    params = {"layers_0": first, "layers_2": {"kernel": weights[:, :1]}}
    model = nn.Sequential([nn.Dense(2), nn.relu, nn.Dense(1, use_bias=False)])
    return jnp.sum(jnp.tanh(jnp.asarray(model.apply({"params": params}, x))))


TABLE = (("layers_0", attribution.GammaRule()), *attribution.EPSILON_PLUS)
RULES = (
    "EpsilonRule GammaRule AlphaBetaRule ZPlusRule ZBoxRule WSquareRule FlatRule IdentityRule "
    "EPSILON_PLUS EPSILON_ALPHA2_BETA1"
)

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
    row(
        "layerwise_relevance",
        function=lambda x: attribution.layerwise_relevance(layers, jnp.abs(x), TABLE, epsilon=0.1),
        parity=f"{TESTS}/test_relevance.py",
        rejects=(
            many(attribution.layerwise_relevance),
            whole(attribution.layerwise_relevance),
            Reject(
                call=lambda: attribution.layerwise_relevance(
                    layers, X, [("Conv_0", attribution.FlatRule())]
                ),
                error=ValueError,
                match="layerwise_relevance: `rules` is 'Conv_0'; it needs .*: layers_0, layers_2",
            ),
            Reject(
                call=lambda: attribution.layerwise_relevance(
                    layers, X, [("layers_0", attribution.IdentityRule())]
                ),
                error=ValueError,
                match=r"IdentityRule: the layer's output has shape \(2, 2\), its input \(2, 3\)",
            ),
            Reject(
                call=lambda: attribution.layerwise_relevance(lambda x: jnp.sort(x, None)[0], X),
                error=ValueError,
                match="layerwise_relevance: `f` is 'sort'; it needs operations that relevance has",
            ),
        ),
    ),
    row(
        "sensitivity",
        parity=f"{TESTS}/test_relevance.py",
        equals={"square": lambda x: jax.grad(network)(x) ** 2},
    ),
    row("simple_taylor", parity=f"{TESTS}/test_relevance.py"),
    *(
        Plain(
            name=f"{HOME}.{name}",
            reason="a rule or table of layerwise_relevance, which has a row",
            parity=f"{TESTS}/test_relevance.py",
        )
        for name in RULES.split()
    ),
]
