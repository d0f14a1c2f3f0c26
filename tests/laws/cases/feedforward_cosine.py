"""Rows of ``layers.feedforward``: logits by angle."""

import jax
import jax.numpy as jnp

from jaxnn.layers import feedforward
from tests.laws.case import Case, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.feedforward"
PARITY = "tests/layers/feedforward/test_cosine.py"

CASES = [
    Case(
        name=f"{HOME}.cosine_logits",
        function=feedforward.cosine_logits,
        inputs=lambda key: normal(key, (3, 5), (5, 4)),
        parity=PARITY,
        rejects=(
            Reject(
                call=lambda: feedforward.cosine_logits(jnp.ones((2, 3)), jnp.ones((4, 3))),
                error=ValueError,
                match=r"cosine_logits: `x` is .*\(2, 3\).* needs a last axis of 4",
            ),
        ),
    ),
    module_case(
        f"{HOME}.CosineHead",
        feedforward.CosineHead(4, scale=2.0),
        shape=(3, 5),
        parity=PARITY,
        equals={
            "cosine_logits": lambda v, x: feedforward.cosine_logits(
                x, v["params"]["kernel"], scale=2.0
            )
        },
        rejects=(
            Reject(
                call=lambda: feedforward.CosineHead(0).init(jax.random.key(0), jnp.ones((2, 3))),
                error=ValueError,
                match="CosineHead: `features` is 0",
            ),
        ),
    ),
]
