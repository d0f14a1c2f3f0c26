"""Rows of the measures of outliers and sinks.

They stay float32 for bfloat16 input, by design; the rows cast them so that their values are
still compared.
"""

import jax
import jax.numpy as jnp

from jaxnn.analysis import sparsity
from tests.laws.case import Case, Reject
from tests.laws.makers import normal

HOME = "analysis.sparsity"
OUTLIERS = "tests/analysis/sparsity/test_outliers.py"
X, W = jnp.ones((2, 3)), jnp.ones((2, 4, 4))


def outlier_case(name, **options):
    """Make the row of a measure of activations, over the last axis."""
    measure = getattr(sparsity, name)
    return Case(
        name=f"{HOME}.{name}",
        function=lambda x: measure(x, axis=-1).astype(x.dtype),
        inputs=lambda key: normal(key, (4, 7)),
        parity=OUTLIERS,
        equals={
            "rows": lambda x: jax.vmap(measure)(x),
            "columns": lambda x: measure(x.T, axis=0),
        },
        rejects=(
            Reject(
                call=lambda: measure(X.astype(int)),
                error=TypeError,
                match=f"{name}: `x` .*floating-point",
            ),
            Reject(
                call=lambda: measure(X, axis=2),
                error=ValueError,
                match=f"{name}: `axis` is 2; it needs axes of an array of 2 axes",
            ),
            Reject(
                call=lambda: measure(X[:0]),
                error=ValueError,
                match=f"{name}: `axis` is None; it needs at least one entry",
            ),
        ),
        **options,
    )


CASES = [
    outlier_case("kurtosis"),
    outlier_case("infinity_norm"),
    Case(
        name=f"{HOME}.attention_sink",
        function=lambda weights: sparsity.attention_sink(weights, 1).astype(weights.dtype),
        inputs=lambda key: normal(key, (2, 4, 4)),
        parity="tests/analysis/sparsity/test_sinks.py",
        equals={
            "a mask that hides nothing": lambda weights: sparsity.attention_sink(
                weights, 1, mask=jnp.ones((4, 4), bool)
            )
        },
        rejects=(
            Reject(
                call=lambda: sparsity.attention_sink(W.astype(int)),
                error=TypeError,
                match=r"attention_sink: `weights` .*floating-point",
            ),
            Reject(
                call=lambda: sparsity.attention_sink(W[0, 0]),
                error=ValueError,
                match=r"attention_sink: `weights` is .*\(4,\).* needs shape \(\*heads, queries",
            ),
            Reject(
                call=lambda: sparsity.attention_sink(W, 4),
                error=ValueError,
                match="attention_sink: `position` is 4; it needs one of the 4 keys",
            ),
            Reject(
                call=lambda: sparsity.attention_sink(W[:, :1]),
                error=ValueError,
                match="attention_sink: `weights` is .* a query that may see key 0 and another",
            ),
            Reject(
                call=lambda: sparsity.attention_sink(W, mask=jnp.ones((4, 4))),
                error=TypeError,
                match="attention_sink: `mask` has dtype float32; it needs booleans",
            ),
            Reject(
                call=lambda: sparsity.attention_sink(W, mask=jnp.ones((3, 4), bool)),
                error=ValueError,
                match=r"attention_sink: `mask` is .* needs a shape that broadcasts to \(2, 4, 4\)",
            ),
        ),
    ),
]
