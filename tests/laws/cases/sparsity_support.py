"""Row of ``analysis.sparsity.softmax_support``."""

import jax.numpy as jnp

from jaxnn.analysis import sparsity
from tests.laws.case import Case, Reject
from tests.laws.makers import normal

W = jnp.ones((2, 3))

CASES = [
    Case(
        name="analysis.sparsity.softmax_support",
        function=lambda x: sparsity.softmax_support(x**2),
        inputs=lambda key: normal(key, (4, 9)),
        parity="tests/analysis/sparsity/test_support.py",
        rejects=(
            Reject(
                call=lambda: sparsity.softmax_support(W.astype(int)),
                error=TypeError,
                match="softmax_support: `weights` .*floating-point",
            ),
            Reject(
                call=lambda: sparsity.softmax_support(W, mass=1.0),
                error=ValueError,
                match=r"softmax_support: `mass` is 1\.0; it needs a share above 0 and below 1",
            ),
            Reject(
                call=lambda: sparsity.softmax_support(W[:, :0]),
                error=ValueError,
                match="softmax_support: `weights` is .* at least one entry",
            ),
        ),
        exempt={
            "gradients": "counting has no gradient",
            "extremes": "counts are whole numbers, always finite",
        },
    ),
]
