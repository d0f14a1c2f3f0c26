"""Rows of ``analysis.separability``.

Measures stay float32 for bfloat16 input, by design; the rows cast them.
"""

import jax.numpy as jnp

from jaxnn.analysis import separability
from tests.laws.case import Case, Reject
from tests.laws.makers import normal

Y = jnp.arange(7) % 3
X = jnp.ones((7, 3))


def separability_case(name):
    """Make the row of one measure."""
    measure = getattr(separability, name)
    return Case(
        name=f"analysis.separability.{name}",
        function=lambda x: measure(x, Y, num_classes=3, batch_size=4).astype(x.dtype),
        inputs=lambda key: normal(key, (7, 3)),
        parity="tests/analysis/separability/test_distances.py",
        equals={"all at once": lambda x: measure(x, Y, num_classes=3, batch_size=100)},
        rejects=(
            Reject(
                call=lambda: measure(X.astype(int), Y, num_classes=3),
                error=TypeError,
                match=f"{name}: `features` .*floating-point",
            ),
            Reject(
                call=lambda: measure(X, Y[:2], num_classes=3),
                error=ValueError,
                match=rf"{name}: `labels` is .*\(2,\).* needs shape \(7,\)",
            ),
            Reject(
                call=lambda: measure(X, Y, num_classes=3, batch_size=0),
                error=ValueError,
                match=f"{name}: `batch_size` is 0",
            ),
        ),
    )


CASES = [separability_case("generalized_discrimination_value"), separability_case("silhouette")]
