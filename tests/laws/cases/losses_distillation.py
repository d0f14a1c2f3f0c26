"""Row of ``train.losses.distillation``."""

import functools

import jax.numpy as jnp

from jaxnn.train import losses
from tests.laws.case import Case, Reject
from tests.laws.cases.losses import HOME, WIDE
from tests.laws.makers import normal

CASES = [
    Case(
        name=f"{HOME}.distillation",
        function=functools.partial(losses.distillation, temperature=2.0),
        inputs=lambda key: normal(key, (6, 4), (6, 4)),
        parity="tests/train/losses/test_distillation.py",
        rejects=(
            Reject(
                call=lambda: losses.distillation(jnp.ones((3, 2)), jnp.zeros(3)),
                error=ValueError,
                match=r"distillation: `targets` is .*\(3,\).*needs shape \(3, 2\).*cross_entropy",
            ),
            Reject(
                call=lambda: losses.distillation(
                    jnp.ones((3, 2)), jnp.ones((3, 2)), temperature=0.0
                ),
                error=ValueError,
                match="distillation: `temperature` is 0.0; it needs",
            ),
        ),
        exempt=WIDE
        | {
            "gradients": "none flows to the teacher, though its logits change the loss; the parity "
            "file has the student's in closed form"
        },
    ),
]
