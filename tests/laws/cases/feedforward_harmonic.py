"""Rows of ``layers.feedforward``: logits by distance."""

import jax
import jax.numpy as jnp

from jaxnn.layers import feedforward
from tests.laws.case import Case, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.feedforward"
PARITY = "tests/layers/feedforward/test_harmonic.py"

CASES = [
    Case(
        name=f"{HOME}.harmonic_logits",
        function=feedforward.harmonic_logits,
        inputs=lambda key: normal(key, (3, 5), (5, 4)),
        parity=PARITY,
        rejects=(
            Reject(
                call=lambda: feedforward.harmonic_logits(jnp.ones((2, 3)), jnp.ones((4, 3))),
                error=ValueError,
                match=r"harmonic_logits: `x` is .*\(2, 3\).* needs a last axis of 4",
            ),
        ),
    ),
    module_case(
        f"{HOME}.HarmonicHead",
        feedforward.HarmonicHead(4, exponent=2.0),
        shape=(3, 5),
        parity=PARITY,
        equals={
            "harmonic_logits": lambda v, x: feedforward.harmonic_logits(
                x, v["params"]["kernel"], exponent=2.0
            )
        },
        rejects=(
            Reject(
                call=lambda: feedforward.HarmonicHead(0).init(jax.random.key(0), jnp.ones((2, 3))),
                error=ValueError,
                match="HarmonicHead: `features` is 0",
            ),
        ),
    ),
]
