"""Rows of ``layers.recurrent``: selective state spaces."""

import jax
import jax.numpy as jnp

from jaxnn.layers import recurrent
from tests.laws.case import Case, Plain, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.recurrent"
TESTS = "tests/layers/recurrent/test_selective.py"
X = jnp.ones((4, 2))
MAMBA = recurrent.SelectiveSSM(2, states=2, channels=2, window=2)

CASES = [
    Case(
        name=f"{HOME}.selective_state_space",
        # Its output alone: the state stays in float32 for any dtype of x.
        function=lambda x, step, rate, *rest: recurrent.selective_state_space(
            x, jax.nn.softplus(step), -jax.nn.softplus(rate), *rest
        )[0],
        inputs=lambda key: normal(key, (5, 2), (5, 2), (2, 3), (5, 3), (5, 3), (2,), (2, 3)),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: recurrent.selective_state_space(X, X[:2], X, X, X),
                error=ValueError,
                match=r"selective_state_space: `step` .* needs shape \(4, 2\), as `x`",
            ),
            Reject(
                call=lambda: recurrent.selective_state_space(X, X, X, X, X),
                error=ValueError,
                match=r"selective_state_space: `rate` .* needs shape \(2, 'states'\)",
            ),
            Reject(
                call=lambda: recurrent.selective_state_space(X, X, jnp.ones((2, 3)), X, X),
                error=ValueError,
                match=r"selective_state_space: `input_map` .* needs shape \(4, 3\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.SelectiveSSM",
        function=lambda variables, x: MAMBA.apply(variables, x)[0],
        inputs=module_case("", MAMBA, shape=(5, 2), parity="").inputs,
        extreme=10.0,  # rates are exponents
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: MAMBA.clone(steps=(0.1, 0.01)).init(jax.random.key(0), X),
                error=ValueError,
                match=r"SelectiveSSM: `steps` is \(0.1, 0.01\); it needs 0 < least < largest",
            ),
        ),
    ),
    Plain(
        name=f"{HOME}.SelectiveState",
        reason="a tuple of two arrays",
        parity=TESTS,
    ),
]
