"""Rows of ``layers.recurrent``: time and channel mixing of RWKV-4."""

import jax
import jax.numpy as jnp

from jaxnn.layers import recurrent
from tests.laws.case import Case, Plain, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.recurrent"
TESTS = "tests/layers/recurrent/test_rwkv.py"
X = jnp.ones((4, 2))
TIME = recurrent.RWKVTimeMix(perspectives=2)
CHANNEL = recurrent.RWKVChannelMix(hidden=3)

CASES = [
    Plain(name=f"{HOME}.WKVState", reason="a named tuple of three arrays", parity=TESTS),
    Plain(name=f"{HOME}.TimeMixState", reason="a named tuple of two states", parity=TESTS),
    Case(
        name=f"{HOME}.wkv",
        # Decays above zero; the output alone: the sums are float32.
        function=lambda k, v, decay, bonus: recurrent.wkv(k, v, jax.nn.softplus(decay), bonus)[0],
        inputs=lambda key: normal(key, (4, 2), (4, 2), (2,), (2,)),
        parity=TESTS,
        equals={
            "associative": lambda k, v, decay, bonus: recurrent.wkv(
                k, v, jax.nn.softplus(decay), bonus, method="associative"
            )[0]
        },
        rejects=(
            Reject(
                call=lambda: recurrent.wkv(X, X[:, :1], X[0], X[0]),
                error=ValueError,
                match=r"wkv: `value` .* needs shape \(4, 2\), as `key`",
            ),
            Reject(
                call=lambda: recurrent.wkv(X, X, X, X[0]),
                error=ValueError,
                match=r"wkv: `decay` .* needs shape \(2,\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.mix_perspectives",
        function=recurrent.mix_perspectives,
        inputs=lambda key: normal(key, (2, 4, 3), (2, 4, 2), (3, 2)),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: recurrent.mix_perspectives(X[None], X[None], X),
                error=ValueError,
                match=r"mix_perspectives: `kernel` .* needs shape \(2, 1\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.RWKVTimeMix",
        function=lambda variables, x: TIME.apply(variables, x)[0],
        inputs=module_case("", TIME, shape=(2, 4, 2), parity="").inputs,
        extreme=10.0,  # decays are exponents of exponents
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: TIME.init(jax.random.key(0), X[None]),
                error=ValueError,
                match=r"RWKVTimeMix: `x` .* needs shape \(\*batch, 2, time, units\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.RWKVChannelMix",
        function=lambda variables, x: CHANNEL.apply(variables, x)[0],
        inputs=module_case("", CHANNEL, shape=(4, 2), parity="").inputs,
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: CHANNEL.clone(depth=2.0).init(jax.random.key(0), X),
                error=ValueError,
                match="RWKVChannelMix: `depth` is 2.0; it needs a number from 0 to 1",
            ),
        ),
    ),
]
