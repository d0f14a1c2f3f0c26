"""Rows of ``analysis.similarity``.

The measure stays float32 for bfloat16 input, by design; the row casts it.
"""

import jax.numpy as jnp

from jaxnn.analysis import similarity
from tests.laws.case import Case, Reject
from tests.laws.makers import normal

X = jnp.ones((4, 3))

CASES = [
    Case(
        name="analysis.similarity.variance_inflation",
        function=lambda x: similarity.variance_inflation(x).astype(x.dtype),
        inputs=lambda key: normal(key, (9, 3)),
        parity="tests/analysis/similarity/test_variance_inflation.py",
        equals={
            "the inverse of the correlations": lambda x: jnp.diag(jnp.linalg.inv(jnp.corrcoef(x.T)))
        },
        rejects=(
            Reject(
                call=lambda: similarity.variance_inflation(X.astype(int)),
                error=TypeError,
                match="variance_inflation: `x` .*floating-point",
            ),
            Reject(
                call=lambda: similarity.variance_inflation(X[:1]),
                error=ValueError,
                match=r"variance_inflation: `x` is .*\(1, 3\).* at least two samples",
            ),
        ),
    ),
]
