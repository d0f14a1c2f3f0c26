"""Rows of ``layers.recurrent``."""

import jax
import jax.numpy as jnp

from jaxnn.layers import recurrent
from tests.laws.case import Case, Reject
from tests.laws.makers import normal

HOME = "layers.recurrent"
TESTS = "tests/layers/recurrent/test_linear.py"
X = jnp.ones((4, 2))


def sequences(key):
    decay = jax.random.uniform(key, (5, 2), minval=0.2, maxval=0.9)
    return decay, *normal(key, (5, 2), (2,))


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
]
