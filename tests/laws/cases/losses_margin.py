"""Rows of ``train.losses``: classification by margins, distances and spherical scores."""

import functools

import jax.numpy as jnp
import numpy as np

from jaxnn.train import losses
from tests.laws.case import Case, Plain, Reject
from tests.laws.cases.losses import HOME, WIDE
from tests.laws.makers import normal, uniform

STABLEMAX = "tests/train/losses/test_stablemax.py"
SPHERICAL = "tests/train/losses/test_spherical.py"
FACTORS = losses.SphericalFactors(jnp.full(3, 0.5), jnp.eye(3) + 1)
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
    Case(
        name=f"{HOME}.encouraging_loss",
        function=functools.partial(losses.encouraging_loss, log_end=0.5, label_smoothing=0.1),
        inputs=labelled,
        parity="tests/train/losses/test_encouraging.py",
        rejects=(
            lengths_differ(losses.encouraging_loss),
            Reject(
                call=lambda: losses.encouraging_loss(
                    jnp.ones((3, 2)), jnp.zeros(3, jnp.int32), log_end=1.5
                ),
                error=ValueError,
                match="encouraging_loss: `log_end` is 1.5; it needs a probability",
            ),
        ),
        exempt=WIDE,
    ),
    Case(
        name=f"{HOME}.halted_focal_loss",
        function=functools.partial(losses.halted_focal_loss, threshold=0.9),
        inputs=labelled,
        parity="tests/train/losses/test_encouraging.py",
        rejects=(
            lengths_differ(losses.halted_focal_loss),
            Reject(
                call=lambda: losses.halted_focal_loss(
                    jnp.ones((3, 2)), jnp.zeros(3, jnp.int32), threshold=0.0
                ),
                error=ValueError,
                match="halted_focal_loss: `threshold` is 0.0; it needs a probability above zero",
            ),
        ),
        exempt=WIDE,
    ),
    Case(
        name=f"{HOME}.squared_hinge",
        function=losses.squared_hinge,
        inputs=labelled,
        parity="tests/train/losses/test_squared_hinge.py",
        rejects=(lengths_differ(losses.squared_hinge),),
        exempt=WIDE,
    ),
    Case(
        name=f"{HOME}.spherical_z_loss",
        function=functools.partial(losses.spherical_z_loss, sharpness=2.0),
        inputs=labelled,
        parity=SPHERICAL,
        rejects=(
            lengths_differ(losses.spherical_z_loss),
            Reject(
                call=lambda: losses.spherical_z_loss(
                    jnp.ones((3, 2)), jnp.zeros(3, jnp.int32), sharpness=0.0
                ),
                error=ValueError,
                match="spherical_z_loss: `sharpness` is 0.0; it needs a finite number above zero",
            ),
        ),
        exempt=WIDE,
    ),
    Case(
        name=f"{HOME}.spherical_cross_entropy",
        function=functools.partial(losses.spherical_cross_entropy, epsilon=0.1),
        inputs=labelled,
        parity=SPHERICAL,
        rejects=(lengths_differ(losses.spherical_cross_entropy),),
        exempt=WIDE,
    ),
    Case(
        name=f"{HOME}.taylor_cross_entropy",
        function=losses.taylor_cross_entropy,
        inputs=labelled,
        parity=SPHERICAL,
        rejects=(lengths_differ(losses.taylor_cross_entropy),),
        exempt=WIDE,
    ),
    Case(
        name=f"{HOME}.spherical_factors",
        function=lambda kernel: tuple(losses.spherical_factors(kernel)),
        inputs=lambda key: normal(key, (3, 8)),
        parity=SPHERICAL,
        rejects=(
            Reject(
                call=lambda: losses.spherical_factors(jnp.ones(3)),
                error=ValueError,
                match=r"spherical_factors: `kernel` is .* needs shape \(inputs, classes\)",
            ),
        ),
        exempt=WIDE,
    ),
    Case(
        name=f"{HOME}.factored_z_loss",
        function=lambda x, column: losses.factored_z_loss(x, column, FACTORS, classes=6),
        inputs=lambda key: normal(key, (4, 3), (4, 3)),
        parity=SPHERICAL,
        rejects=(
            Reject(
                call=lambda: losses.factored_z_loss(
                    jnp.ones((4, 3)), jnp.ones((2, 3)), FACTORS, classes=6
                ),
                error=ValueError,
                match=r"factored_z_loss: `column` is .*\(2, 3\).* needs shape \(4, 3\), that of",
            ),
        ),
        exempt=WIDE,
    ),
    Plain(
        name=f"{HOME}.SphericalFactors",
        reason="what spherical_factors returns",
        parity=SPHERICAL,
    ),
]
