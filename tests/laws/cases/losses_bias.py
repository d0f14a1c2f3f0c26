"""Row of ``train.losses.bias_loss``."""

import jax.numpy as jnp

from jaxnn.train import losses
from tests.laws.case import Case, Reject
from tests.laws.cases.losses import HOME, WIDE
from tests.laws.makers import normal

Y = jnp.arange(4) % 3


def call(logits, features):
    return losses.bias_loss((logits, features), Y[: len(logits)])


CASES = [
    Case(
        name=f"{HOME}.bias_loss",
        function=call,
        inputs=lambda key: normal(key, (4, 3), (4, 5)),
        parity="tests/train/losses/test_bias.py",
        differentiable=(0,),
        rejects=(
            Reject(
                call=lambda: call(jnp.ones((3, 2)), jnp.ones((2, 5))),
                error=ValueError,
                match=r"bias_loss: `features` is .*\(2, 5\).* needs the first axis \(3,\)",
            ),
            Reject(
                call=lambda: losses.bias_loss((jnp.ones((3, 2)), jnp.ones((3, 2))), Y[:3], beta=1),
                error=ValueError,
                match="bias_loss: `beta` is 1; it needs a finite number below one",
            ),
        ),
        exempt=WIDE,
    ),
]
