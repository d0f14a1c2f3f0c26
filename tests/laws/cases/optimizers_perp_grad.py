"""Row of ``train.optimizers.perp_grad``."""

import jax.numpy as jnp
import optax

from jaxnn.train import optimizers
from tests.laws.case import Case, Reject
from tests.laws.makers import normal


def update(gradient, theta):
    return optimizers.perp_grad().update(gradient, optax.EmptyState(), theta)[0]


CASES = [
    Case(
        name="train.optimizers.perp_grad",
        function=update,
        inputs=lambda key: normal(key, (3, 2), (3, 2)),
        parity="tests/train/optimizers/test_perp_grad.py",
        rejects=(
            Reject(
                call=lambda: update(jnp.ones(2), jnp.ones(3)),
                error=ValueError,
                match=r"perp_grad: `params` is .*\(3,\).* needs shape \(2,\), that of its update",
            ),
        ),
    ),
]
