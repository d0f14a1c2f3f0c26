"""Rows of ``analysis.attribution`` for features and attention."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.ad_checkpoint import checkpoint_name

from jaxnn.analysis import attribution
from tests.laws.case import LAWS, Case, Plain, Reject
from tests.laws.cases.attribution import HOME, TESTS, X, f, many, whole
from tests.laws.makers import normal, uniform

WIDE = {"bfloat16": "shares and means are float32 whatever the input"}
HOST = "t-SNE and k-means run on the host"


def dynamic(x):
    """One number, linear but for a scale."""
    return checkpoint_name(jnp.tanh(x.sum()), "dynamic") * f(x)


def attention(key, *shape):
    """Draw weights whose rows sum to one."""
    weights = np.asarray(uniform(key, shape, 0.1, 1.0))
    return (jnp.asarray(weights / weights.sum(-1, keepdims=True)),)


CASES = [
    Case(
        name=f"{HOME}.dynamic_weights",
        function=lambda x: attribution.dynamic_weights(dynamic, x),
        inputs=lambda key: normal(key, (2, 3)),
        parity=f"{TESTS}/test_dynamic.py",
        rejects=(many(attribution.dynamic_weights), whole(attribution.dynamic_weights)),
    ),
    Case(
        name=f"{HOME}.maximize_activation",
        function=lambda x: attribution.maximize_activation(
            f, x, steps=2, l2=0.1, total_variation=0.1, tx=optax.sgd(0.1)
        ),
        inputs=lambda key: normal(key, (2, 3)),
        parity=f"{TESTS}/test_maximize.py",
        rejects=(
            many(attribution.maximize_activation),
            Reject(
                call=lambda: attribution.maximize_activation(f, X, steps=0),
                error=ValueError,
                match="maximize_activation: `steps` is 0; it needs a whole number",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.facet_means",
        function=lambda x: x,
        inputs=lambda key: normal(key, (2, 3)),
        parity=f"{TESTS}/test_maximize.py",
        exempt=dict.fromkeys([law for law in LAWS if law != "rejects"], HOST),
        rejects=(
            Reject(
                call=lambda: attribution.facet_means(X, X[:1], key=jax.random.key(0)),
                error=ValueError,
                match=r"facet_means: `codes` is .* needs shape \(2, width\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.attention_rollout",
        function=attribution.attention_rollout,
        inputs=lambda key: attention(key, 2, 2, 3, 3),
        exempt=WIDE,
        parity=f"{TESTS}/test_attention.py",
        rejects=(
            Reject(
                call=lambda: attribution.attention_rollout(jnp.ones((2, 3, 3))),
                error=ValueError,
                match=r"attention_rollout: `weights` .* needs shape \(layers, heads, time, time\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.head_summary",
        function=attribution.head_summary,
        inputs=lambda key: attention(key, 2, 3, 3),
        exempt=WIDE,
        parity=f"{TESTS}/test_attention.py",
        rejects=(
            Reject(
                call=lambda: attribution.head_summary(jnp.ones((2, 3, 4))),
                error=ValueError,
                match="head_summary: `weights` .* from a sequence to itself",
            ),
        ),
    ),
    Plain(
        name=f"{HOME}.HeadSummary",
        reason="the triple that head_summary returns",
        parity=f"{TESTS}/test_attention.py",
    ),
]
