"""Rows of ``layers.recurrent``: the common form of attentions, state spaces and gated units."""

import jax
import jax.numpy as jnp

from jaxnn.layers import recurrent
from tests.laws.case import Case, Plain, Reject
from tests.laws.makers import normal

HOME = "layers.recurrent"
TESTS = "tests/layers/recurrent/test_dynamical.py"
X = jnp.ones((4, 2))
WIDE = {"bfloat16": "systems are kept in float32, as recurrences multiply their rounding"}


def run(u, *system):
    """Run a system of sigmoids; its output alone, as the state stays in float32."""
    decay, *maps = system
    return recurrent.dynamical_system(u, recurrent.DynamicalSystem(jax.nn.sigmoid(decay), *maps))[0]


CASES = [
    Plain(name=f"{HOME}.DynamicalSystem", reason="a tuple of three arrays", parity=TESTS),
    Case(
        name=f"{HOME}.dynamical_system",
        function=run,
        inputs=lambda key: normal(key, (5, 2), (5, 2, 3), (5, 1, 3), (5, 2, 1)),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: run(X, jnp.ones((4, 3, 1)), X[:, None], X[:, None]),
                error=ValueError,
                match=r"dynamical_system: `system.transition` .* needs shape \(4, 2, 2\), with 1",
            ),
            Reject(
                call=lambda: run(X.astype(int), X, X, X),
                error=TypeError,
                match="dynamical_system: `u` .* needs floating-point",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.taylor_features",
        function=lambda x: recurrent.taylor_features(x, 2),
        inputs=lambda key: normal(key, (2, 3)),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: recurrent.taylor_features(X, 0),
                error=ValueError,
                match="taylor_features: `order` is 0; it needs a whole number above zero",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.attention_normalizer",
        function=lambda *args: recurrent.attention_normalizer(*args, feature_map=jnp.exp),
        inputs=lambda key: normal(key, (5, 2), (5, 2)),
        extreme=10.0,  # features are exponentials
        parity=TESTS,
        exempt=WIDE,
        rejects=(
            Reject(
                call=lambda: recurrent.attention_normalizer(X, X[:3], feature_map=jnp.exp),
                error=ValueError,
                match=r"attention_normalizer: `key` .* needs shape \(4, 2\), as `query`",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.attention_system",
        function=lambda q, k, n, f, i: recurrent.attention_system(
            q, k, jnp.exp(n), feature_map=jnp.exp, forget=f, take=i
        ),
        inputs=lambda key: normal(key, (5, 2), (5, 2), (5,), (5,), (5,)),
        extreme=10.0,  # features are exponentials
        parity=TESTS,
        exempt=WIDE,
        rejects=(
            Reject(
                call=lambda: recurrent.attention_system(X, X, X, feature_map=jnp.exp),
                error=ValueError,
                match=r"attention_system: `normalizer` .* needs shape \(4,\), a number a time",
            ),
            Reject(
                call=lambda: recurrent.attention_system(
                    X, X, before=jnp.ones(()), feature_map=jnp.exp
                ),
                error=ValueError,
                match="attention_system: `before` .* needs None, as there is no `normalizer`",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.selective_system",
        function=lambda step, rate, *maps: recurrent.selective_system(
            jax.nn.softplus(step), -jax.nn.softplus(rate), *maps
        ),
        inputs=lambda key: normal(key, (5, 2), (2, 3), (5, 3), (5, 3)),
        parity=TESTS,
        exempt=WIDE,
        rejects=(
            Reject(
                call=lambda: recurrent.selective_system(X, X, X, X),
                error=ValueError,
                match=r"selective_system: `rate` .* needs shape \(2, 'states'\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.gated_system",
        function=recurrent.gated_system,
        inputs=lambda key: normal(key, (5, 2), (5, 2), (5, 2)),
        parity=TESTS,
        exempt=WIDE,
        rejects=(
            Reject(
                call=lambda: recurrent.gated_system(X, X, X[:3]),
                error=ValueError,
                match=r"gated_system: `give` .* needs shape \(4, 2\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.real_gated_system",
        function=recurrent.real_gated_system,
        inputs=lambda key: normal(key, (5, 2), (5, 2), (2,)),
        parity=TESTS,
        exempt=WIDE,
        rejects=(
            Reject(
                call=lambda: recurrent.real_gated_system(X, X, jnp.ones(2), power=0.0),
                error=ValueError,
                match="real_gated_system: `power` is 0.0; it needs a finite number above zero",
            ),
        ),
    ),
]
