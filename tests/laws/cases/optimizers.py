"""Rows of ``train.optimizers``."""

import jax

from jaxnn.train import optimizers
from tests.laws.case import Case, Reject
from tests.laws.makers import normal

HOME = "train.optimizers"


def two_updates(kernel, bias, kernel_gradient, bias_gradient):
    """Give the second change: the first has rate zero."""
    tx = optimizers.warmup_cosine_adamw(0.1, steps=20, clip_norm=0.5)
    params = {"kernel": kernel, "bias": bias}
    gradients = {"kernel": kernel_gradient, "bias": bias_gradient}
    # optax's bias correction mixes a number and an integer, which strict promotion refuses.
    with jax.numpy_dtype_promotion("standard"):
        _, opt_state = tx.update(gradients, tx.init(params), params)
        return tx.update(gradients, opt_state, params)[0]


CASES = [
    Case(
        name=f"{HOME}.warmup_cosine_adamw",
        function=two_updates,
        inputs=lambda key: normal(key, (3, 2), (2,), (3, 2), (2,)),
        parity="tests/train/optimizers/test_adamw.py",
        rejects=(
            Reject(
                call=lambda: optimizers.warmup_cosine_adamw(0.1, steps=10, warmup=1.5),
                error=ValueError,
                match=r"warmup_cosine_adamw: `warmup` is 1.5; it needs a share in \[0, 1\)",
            ),
        ),
        exempt={
            "extremes": "an update is not differentiated through; the slope of g / |g| is not "
            "finite at zero gradients"
        },
    ),
]
