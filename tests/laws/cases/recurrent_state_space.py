"""Rows of ``layers.recurrent``: linear state-space layers."""

from typing import Any, cast

import jax
import jax.numpy as jnp

from jaxnn.layers import recurrent
from tests.laws.case import Case, Plain, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.recurrent"
TESTS = "tests/layers/recurrent/test_state_space.py"
X = jnp.ones((4, 2))
A = jnp.ones((2, 3, 3))
B = jnp.ones((2, 3))
LSSL = recurrent.LSSL(2, states=3)


def systems(key):
    return normal(key, (5, 2), (2, 3, 3), (2, 3), (2, 3), (2,))


CASES = [
    Plain(name=f"{HOME}.hippo_legs", reason="constants for a number of states", parity=TESTS),
    Case(
        name=f"{HOME}.discretize",
        function=lambda a, b, step: recurrent.discretize(a, b, jax.nn.softplus(step)),
        inputs=lambda key: normal(key, (2, 3, 3), (2, 3), (2,)),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: recurrent.discretize(A, B, jnp.ones(2), method=cast("Any", "euler")),
                error=ValueError,
                match="discretize: `method` is 'euler'; it needs one of .'bilinear', 'zoh'",
            ),
            Reject(
                call=lambda: recurrent.discretize(A, B, jnp.ones(3)),
                error=ValueError,
                match=r"discretize: `step` .* needs shape \(2,\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.state_space_kernel",
        function=lambda *system: recurrent.state_space_kernel(*system, time=5),
        inputs=lambda key: systems(key)[1:4],
        extreme=10.0,  # powers of the transition
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: recurrent.state_space_kernel(A, B, B[:1], time=2),
                error=ValueError,
                match=r"state_space_kernel: `output_map` .* needs shape \(2, 3\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.state_space_scan",
        # Its output alone: the state stays in float32 for any dtype of x.
        function=lambda *args: recurrent.state_space_scan(*args)[0],
        inputs=systems,
        extreme=10.0,  # powers of the transition
        parity=TESTS,
        equals={"convolution": recurrent.state_space_convolution},
        rejects=(
            Reject(
                call=lambda: recurrent.state_space_scan(X[:, :1], A, B, B),
                error=ValueError,
                match=r"state_space_scan: `transition` .* needs shape \(1, states, states\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.state_space_convolution",
        function=recurrent.state_space_convolution,
        inputs=systems,
        extreme=10.0,  # powers of the transition
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: recurrent.state_space_convolution(X, A, B, B, jnp.ones(3)),
                error=ValueError,
                match=r"state_space_convolution: `skip` .* needs shape \(2,\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.LSSL",
        function=lambda variables, x: LSSL.apply(variables, x)[0],
        inputs=module_case("", LSSL, shape=(5, 2), parity="").inputs,
        extreme=10.0,  # steps are exponents
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: LSSL.clone(steps=(1.0, 0.1)).init(jax.random.key(0), X),
                error=ValueError,
                match=r"LSSL: `steps` is \(1.0, 0.1\); it needs 0 < least < largest",
            ),
        ),
    ),
]
