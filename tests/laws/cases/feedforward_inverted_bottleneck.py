"""Rows of ``layers.feedforward``: the residual inverted bottleneck."""

import jax
import jax.numpy as jnp

from jaxnn.layers import feedforward
from tests.laws.case import Case, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.feedforward"
PARITY = "tests/layers/feedforward/test_inverted_bottleneck.py"
X = jnp.ones((2, 3))


def function_of(variables, x):
    norm, block = (variables["params"][name] for name in ("norm", "feedforward"))
    up, down = block["up"], block["down"]
    return feedforward.inverted_bottleneck(
        x, norm["scale"], norm["bias"], up["kernel"], up["bias"], down["kernel"], down["bias"]
    )


CASES = [
    Case(
        name=f"{HOME}.inverted_bottleneck",
        function=feedforward.inverted_bottleneck,
        inputs=lambda key: normal(key, (5, 3), (3,), (3,), (3, 8), (8,), (8, 3), (3,)),
        parity=PARITY,
        rejects=(
            Reject(
                call=lambda: feedforward.inverted_bottleneck(
                    X, None, None, jnp.ones((3, 8)), None, jnp.ones((8, 4)), None
                ),
                error=ValueError,
                match=r"inverted_bottleneck: `down_kernel` is .* needs shape \(hidden, 3\)",
            ),
        ),
    ),
    module_case(
        f"{HOME}.InvertedBottleneck",
        feedforward.InvertedBottleneck(8),
        shape=(5, 3),
        parity=PARITY,
        equals={"inverted_bottleneck": function_of},
        rejects=(
            Reject(
                call=lambda: feedforward.InvertedBottleneck().init(jax.random.key(0), X > 0),
                error=TypeError,
                match="InvertedBottleneck: `x` .*floating-point",
            ),
        ),
    ),
]
