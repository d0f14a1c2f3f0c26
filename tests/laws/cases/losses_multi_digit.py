"""Rows of ``train.losses``: sequences with a head for their length."""

import jax.numpy as jnp

from jaxnn.train import losses
from tests.laws.case import Case, Plain, Reject
from tests.laws.cases.losses import HOME, WIDE
from tests.laws.makers import normal

PARITY = "tests/train/losses/test_multi_digit.py"
TARGETS = jnp.array([[2, 0, 1], [0, 3, 1]])


def one(length, symbols):
    return losses.multi_digit_loss(
        (length, symbols), (jnp.array(2), jnp.array([1, 0, 9], jnp.int32))
    )


def lengths_missing(function, *targets):
    return Reject(
        call=lambda: function((jnp.ones((2, 3)), jnp.ones((2, 3, 4))), *targets),
        error=ValueError,
        match=rf"{function.__name__}: `outputs\[0\]` is .*\(2, 3\).*needs shape \(2, 4\), or one",
    )


CASES = [
    Case(
        name=f"{HOME}.multi_digit_loss",
        function=one,
        inputs=lambda key: normal(key, (4,), (3, 5)),
        parity=PARITY,
        rejects=(lengths_missing(losses.multi_digit_loss, (jnp.array([1, 2]), TARGETS)),),
        exempt=WIDE,
    ),
    Case(
        name=f"{HOME}.decode_multi_digit",
        function=lambda length, symbols: tuple(losses.decode_multi_digit((length, symbols))),
        inputs=lambda key: normal(key, (2, 4), (2, 3, 5)),
        parity=PARITY,
        rejects=(lengths_missing(losses.decode_multi_digit),),
        exempt=WIDE,
    ),
    Case(
        name=f"{HOME}.coverage_at_accuracy",
        function=lambda sure: tuple(
            losses.coverage_at_accuracy(sure, jnp.arange(6) % 3 > 0, accuracy=0.6)
        ),
        inputs=lambda key: normal(key, (6,)),
        parity=PARITY,
        rejects=(
            Reject(
                call=lambda: losses.coverage_at_accuracy(jnp.ones(3), jnp.ones(3), accuracy=0.5),
                error=TypeError,
                match="coverage_at_accuracy: `correct` is .*float32; it needs booleans",
            ),
        ),
        exempt=WIDE
        | {
            "gradients": "a search among examples",
            "extremes": "a search: infinite where none fits",
        },
    ),
    Plain(name=f"{HOME}.Coverage", reason="what coverage_at_accuracy returns", parity=PARITY),
    Plain(name=f"{HOME}.Sequence", reason="what decode_multi_digit returns", parity=PARITY),
]
