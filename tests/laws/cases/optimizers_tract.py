"""Row of ``train.optimizers.tract``."""

import jax.numpy as jnp

from jaxnn.train import optimizers
from tests.laws.case import Case, Reject
from tests.laws.makers import normal

CASES = [
    Case(
        name="train.optimizers.tract",
        function=optimizers.tract,
        inputs=lambda key: normal(key, (3, 2), (5, 3)),
        parity="tests/train/optimizers/test_tract.py",
        rejects=(
            Reject(
                call=lambda: optimizers.tract(jnp.ones((3, 2)), jnp.ones((5, 4))),
                error=ValueError,
                match=r"tract: `x` is .*\(5, 4\).* needs a row or more of 3 numbers",
            ),
        ),
        exempt={"gradients": "its gradient is another than the derivative: that is what it is for"},
    ),
]
