"""Rows of ``layers.recurrent``: diagonal state-space layers."""

from typing import Any, cast

import jax
import jax.numpy as jnp

from jaxnn._numeric import accumulation_dtype
from jaxnn.layers import recurrent
from tests.laws.case import Case, Plain, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.recurrent"
TESTS = "tests/layers/recurrent/test_s4d.py"
X = jnp.ones((4, 2))
A = jnp.ones((2, 3))
S4D = recurrent.S4D(2, states=3)


def run(x, rate, turn, b, c, skip, form=None):
    """Run complex systems whose states decay; its output alone, as the state is complex."""
    wide = accumulation_dtype(rate.dtype)
    size, turn = jax.nn.sigmoid(rate.astype(wide)), turn.astype(wide)
    a = jax.lax.complex(size * jnp.cos(turn), size * jnp.sin(turn))
    return recurrent.s4d(x, a, b, c, skip, form=form)[0]


def discretized(rate, turn, step):
    """Discretise decaying systems; give all as real numbers."""
    a = jax.lax.complex(-jax.nn.softplus(rate), turn)
    pair = recurrent.s4d_discretize(a, jax.nn.softplus(step))
    return [(each.real, each.imag) for each in pair]


CASES = [
    Plain(name=f"{HOME}.s4d_transition", reason="constants for a number of states", parity=TESTS),
    Case(
        name=f"{HOME}.s4d_discretize",
        function=discretized,
        inputs=lambda key: normal(key, (2, 3), (2, 3), (2,)),
        parity=TESTS,
        extreme=10.0,  # angles of thousands are known to a few digits only
        exempt={"bfloat16": "there are no complex numbers of two bfloat16"},
        rejects=(
            Reject(
                call=lambda: recurrent.s4d_discretize(A, A[0]),
                error=ValueError,
                match=r"s4d_discretize: `step` .* needs shape \(2,\)",
            ),
            Reject(
                call=lambda: recurrent.s4d_discretize(A, X[0], method=cast("Any", "euler")),
                error=ValueError,
                match="s4d_discretize: `method` is 'euler'; it needs one of .'bilinear', 'zoh'",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.s4d",
        function=run,
        inputs=lambda key: normal(key, (5, 2), (2, 3), (2, 3), (2, 3), (2, 3), (2,)),
        parity=TESTS,
        equals={"recurrence": lambda *args: run(*args, form="recurrence")},
        extreme=10.0,  # angles of thousands are known to a few digits only
        rejects=(
            Reject(
                call=lambda: recurrent.s4d(X, A[:1], A, A),
                error=ValueError,
                match=r"s4d: `transition` .* needs shape \(2, states\), a row for each channel",
            ),
            Reject(
                call=lambda: recurrent.s4d(X, A, A, A, None, A, form="convolution"),
                error=ValueError,
                match="s4d: `form` is 'convolution'; it needs 'recurrence' or None, as there is",
            ),
            Reject(
                call=lambda: recurrent.s4d(X, A.astype(int), A, A),
                error=TypeError,
                match="s4d: `transition` has dtype int32; it needs floating-point or complex",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.S4D",
        # Its output alone: the laws compare real numbers, and the state is complex.
        function=lambda variables, x: S4D.apply(variables, x)[0],
        inputs=module_case("", S4D, shape=(5, 2), parity="").inputs,
        extreme=10.0,  # rates and steps are exponents
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: S4D.clone(steps=(1.0, 0.1)).init(jax.random.key(0), X),
                error=ValueError,
                match=r"S4D: `steps` is \(1.0, 0.1\); it needs 0 < least < largest",
            ),
        ),
    ),
]
