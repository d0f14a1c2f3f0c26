"""Rows of ``layers.rational``."""

import jax
import jax.numpy as jnp

from jaxnn.layers import rational
from tests.laws.case import Case, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.rational"
TESTS = "tests/layers/rational/test_pade.py"
DENSE, CONV = rational.PadeDense(2), rational.PadeConv(2, (2,))

CASES = [
    Case(
        name=f"{HOME}.pade_layer",
        function=rational.pade_layer,
        inputs=lambda key: normal(key, (3, 2), (2, 2, 2), (1, 2, 2), (2,)),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: rational.pade_layer(jnp.ones((1, 3)), jnp.ones((2, 2, 1))),
                error=ValueError,
                match=r"pade_layer: `numerator` .* needs shape \(M, 3, outputs\)",
            ),
            Reject(
                call=lambda: rational.pade_layer(
                    jnp.ones((1, 3)), jnp.ones((2, 3, 1)), jnp.ones((1, 3, 2))
                ),
                error=ValueError,
                match=r"pade_layer: `denominator` .* needs shape \(N, 3, 1\)",
            ),
        ),
    ),
    module_case(
        f"{HOME}.PadeDense",
        DENSE,
        shape=(3, 2),
        parity=TESTS,
        equals={"pade_layer": lambda v, x: rational.pade_layer(x, **v["params"])},
        rejects=(
            Reject(
                call=lambda: rational.PadeDense(2, (0, 1)).init(jax.random.key(0), jnp.ones(3)),
                error=ValueError,
                match=r"PadeDense: `degree` is \(0, 1\); it needs two integers",
            ),
        ),
    ),
    module_case(
        f"{HOME}.PadeConv",
        CONV,
        shape=(2, 4, 3),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: CONV.init(jax.random.key(0), jnp.ones(3)),
                error=ValueError,
                match=r"PadeConv: `x` .* needs shape \(\*batch, 1 axes of space, inputs\)",
            ),
        ),
    ),
]
