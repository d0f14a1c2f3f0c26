"""Rows of ``layers.recurrent``."""

import jax
import jax.numpy as jnp

from jaxnn.layers import recurrent
from tests.laws.case import Case, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.recurrent"
TESTS = "tests/layers/recurrent/test_linear.py"
X = jnp.ones((4, 2))
UNIT = recurrent.LRU(2, states=3, radius=(0.3, 0.8))


def sequences(key):
    decay = jax.random.uniform(key, (5, 2), minval=0.2, maxval=0.9)
    return decay, *normal(key, (5, 2), (2,))


def integrate(x, state):
    y = recurrent.linear_recurrence(jnp.full(2, 0.5, x.dtype), x, state)
    return y, y[-1]


CASES = [
    Case(
        name=f"{HOME}.linear_recurrence",
        function=recurrent.linear_recurrence,
        inputs=sequences,
        parity=TESTS,
        equals={
            "associative": lambda *args: recurrent.linear_recurrence(*args, method="associative")
        },
        extreme=1.0,
        rejects=(
            Reject(
                call=lambda: recurrent.linear_recurrence(jnp.ones(3), X),
                error=ValueError,
                match=r"linear_recurrence: `decay` .* needs shape \(4, 2\), as `inputs`, or \(2,\)",
            ),
            Reject(
                call=lambda: recurrent.linear_recurrence(X, X.astype(int)),
                error=TypeError,
                match="linear_recurrence: `inputs` has dtype int32; it needs floating-point or",
            ),
            Reject(
                call=lambda: recurrent.linear_recurrence(X, X, X),
                error=ValueError,
                match=r"linear_recurrence: `initial` .* needs shape \(2,\)",
            ),
            Reject(
                call=lambda: recurrent.linear_recurrence(X, X, method="parallel"),
                error=ValueError,
                match="linear_recurrence: `method` is 'parallel'; it needs one of .'scan'",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.linear_recurrence_step",
        function=recurrent.linear_recurrence_step,
        inputs=lambda key: normal(key, (2,), (2,), (2,)),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: recurrent.linear_recurrence_step(X, X[0], X),
                error=ValueError,
                match=r"linear_recurrence_step: `inputs` .* needs shape \(4, 2\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.diagonal_state_space",
        # Its output alone: the state stays in float32 for any dtype of x.
        function=lambda x, decay, *rest: recurrent.diagonal_state_space(
            x, jax.nn.sigmoid(decay), *rest
        )[0],
        inputs=lambda key: normal(key, (5, 2), (3,), (2, 3), (3, 2), (2,), (3,)),
        parity="tests/layers/recurrent/test_unit.py",
        rejects=(
            Reject(
                call=lambda: recurrent.diagonal_state_space(X, jnp.ones(3), X, jnp.ones((3, 2))),
                error=ValueError,
                match=r"diagonal_state_space: `input_kernel` .* needs shape \(2, 3\)",
            ),
            Reject(
                call=lambda: recurrent.diagonal_state_space(
                    X, jnp.ones(3), jnp.ones((2, 3)), jnp.ones((2, 2))
                ),
                error=ValueError,
                match=r"diagonal_state_space: `output_kernel` .* needs shape \(3, 'features'\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.LRU",
        # Its output alone: the laws compare real numbers, and the state is complex.
        function=lambda variables, x: UNIT.apply(variables, x)[0],
        inputs=module_case("", UNIT, shape=(5, 2), parity="").inputs,
        extreme=1.0,  # angles are exponents of exponents
        parity="tests/layers/recurrent/test_unit.py",
        rejects=(
            Reject(
                call=lambda: UNIT.clone(radius=(0.9, 0.5)).init(jax.random.key(0), X),
                error=ValueError,
                match=r"LRU: `radius` is \(0.9, 0.5\); it needs 0 <= least < largest < 1",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.run_stretches",
        function=lambda x, state: recurrent.run_stretches(integrate, x, state, length=2)[0],
        inputs=lambda key: normal(key, (5, 2), (2,)),
        parity="tests/layers/recurrent/test_stretches.py",
        rejects=(
            Reject(
                call=lambda: recurrent.run_stretches(integrate, X, X[0], length=0),
                error=ValueError,
                match="run_stretches: `length` is 0; it needs",
            ),
        ),
    ),
]
