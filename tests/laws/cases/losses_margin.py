"""Rows of ``train.losses``: classification by margins, distances and spherical scores."""

import functools

import jax.numpy as jnp
import numpy as np

from jaxnn.train import losses
from tests.laws.case import Case, Reject
from tests.laws.cases.losses import HOME, WIDE
from tests.laws.makers import normal, uniform

STABLEMAX = "tests/train/losses/test_stablemax.py"
STEP = {"gradients": "a step function: its gradient is zero and its differences are not"}


def labelled(key):
    (logits,) = normal(key, (6, 4))
    return logits, jnp.asarray(np.argmax(np.roll(logits, 1, axis=0), axis=-1), jnp.int32)


def lengths_differ(function, **options):
    return Reject(
        call=lambda: function(jnp.ones((3, 2)), jnp.zeros(2, jnp.int32), **options),
        error=ValueError,
        match=rf"{function.__name__}: `targets` is .*\(2,\).*needs shape \(3,\)",
    )


CASES = [
    Case(
        name=f"{HOME}.log_stablemax",
        function=losses.log_stablemax,
        inputs=lambda key: normal(key, (6, 4)),
        parity=STABLEMAX,
        rejects=(
            Reject(
                call=lambda: losses.log_stablemax(jnp.ones(())),
                error=ValueError,
                match=r"log_stablemax: `outputs` .*needs shape \(\*batch, classes\)",
            ),
        ),
        exempt=WIDE,
    ),
    Case(
        name=f"{HOME}.stablemax_cross_entropy",
        function=losses.stablemax_cross_entropy,
        inputs=labelled,
        parity=STABLEMAX,
        rejects=(lengths_differ(losses.stablemax_cross_entropy),),
        exempt=WIDE,
    ),
    Case(
        name=f"{HOME}.softmax_collapse",
        function=losses.softmax_collapse,
        inputs=labelled,
        parity=STABLEMAX,
        rejects=(lengths_differ(losses.softmax_collapse),),
        exempt=WIDE | STEP,
    ),
    Case(
        name=f"{HOME}.harmonic_loss",
        function=functools.partial(losses.harmonic_loss, exponent=3.0),
        inputs=lambda key: (uniform(key, (6, 4), 0.5, 2.0), labelled(key)[1]),
        parity="tests/train/losses/test_harmonic.py",
        rejects=(
            lengths_differ(losses.harmonic_loss, exponent=1.0),
            Reject(
                call=lambda: losses.harmonic_loss(
                    jnp.ones((3, 2)), jnp.zeros(3, jnp.int32), exponent=0.0
                ),
                error=ValueError,
                match="harmonic_loss: `exponent` is 0.0; it needs a finite number above zero",
            ),
        ),
        exempt=WIDE,
    ),
]
