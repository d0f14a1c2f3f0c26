"""Rows of ``train.losses``."""

import functools

import jax
import jax.numpy as jnp

from jaxnn.train import losses
from tests.laws.case import Case, Reject
from tests.laws.makers import normal

HOME = "train.losses"
CLASSIFICATION = "tests/train/losses/test_classification.py"
REGRESSION = "tests/train/losses/test_regression.py"
WIDE = {
    "bfloat16": "losses are float32 whatever the logits' dtype; the parity file compares "
    "bfloat16 logits with float64 sums"
}


def labelled(key):
    logits_key, labels_key = jax.random.split(key)
    logits = jax.random.normal(logits_key, (6, 4))
    return logits, jax.random.randint(labels_key, (6,), 0, 4, jnp.int32)


CASES = [
    Case(
        name=f"{HOME}.cross_entropy",
        function=functools.partial(losses.cross_entropy, label_smoothing=0.1),
        inputs=labelled,
        parity=CLASSIFICATION,
        equals={
            # Linear in the smoothing, from none to the average over all labels.
            "mixture": lambda outputs, targets: (
                0.9 * losses.cross_entropy(outputs, targets)
                + 0.1
                * sum(
                    losses.cross_entropy(outputs, jnp.full_like(targets, c)) / 4 for c in range(4)
                )
            )
        },
        rejects=(
            Reject(
                call=lambda: losses.cross_entropy(jnp.ones((3, 2)), jnp.zeros(2, jnp.int32)),
                error=ValueError,
                match=r"cross_entropy: `targets` is .*\(2,\).*needs shape \(3,\)",
            ),
            Reject(
                call=lambda: losses.cross_entropy(jnp.ones((3, 2)), jnp.zeros(3)),
                error=TypeError,
                match="cross_entropy: `targets` .*integer class labels",
            ),
        ),
        exempt=WIDE,
    ),
    Case(
        name=f"{HOME}.accuracy",
        function=losses.accuracy,
        inputs=labelled,
        parity=CLASSIFICATION,
        rejects=(
            Reject(
                call=lambda: losses.accuracy(jnp.ones((3, 2)), jnp.zeros((3, 2), jnp.int32)),
                error=ValueError,
                match="accuracy: `targets` .*Are the labels one-hot",
            ),
        ),
        exempt=WIDE
        | {
            "gradients": "a step function: its gradient is zero and its finite differences are "
            "zero or not finite"
        },
    ),
    Case(
        name=f"{HOME}.squared_error",
        function=losses.squared_error,
        inputs=lambda key: normal(key, (5, 3), (5, 3)),
        parity=REGRESSION,
        rejects=(
            Reject(
                call=lambda: losses.squared_error(jnp.ones((5, 1)), jnp.ones((5, 3))),
                error=ValueError,
                match=r"squared_error: `targets` .*needs shape \(5, 1\), that of `outputs`",
            ),
        ),
        exempt=WIDE,
    ),
    Case(
        name=f"{HOME}.absolute_error",
        function=losses.absolute_error,
        inputs=lambda key: normal(key, (5, 3), (5, 3)),
        parity=REGRESSION,
        rejects=(
            Reject(
                call=lambda: losses.absolute_error(jnp.ones((5, 3)), jnp.ones((5, 1))),
                error=ValueError,
                match=r"absolute_error: `targets` .*needs shape \(5, 3\), that of `outputs`",
            ),
        ),
        exempt=WIDE,
    ),
]
