"""Rows of ``analysis.sparsity``.

Measures stay float32 for bfloat16 input, by design; the rows cast them so that their values
are still compared.
"""

import jax
import jax.numpy as jnp

from jaxnn.analysis import sparsity
from tests.laws.case import Case, Reject
from tests.laws.makers import normal

HOME = "analysis.sparsity"
COUNTS = "tests/analysis/sparsity/test_counts.py"
INDICES = "tests/analysis/sparsity/test_indices.py"
X = jnp.ones((2, 3))
COUNTED = "counting has no gradient"


def index_case(name, **options):
    """Make the row of a scale-free index, over the last axis."""
    index = getattr(sparsity, name)
    return Case(
        name=f"{HOME}.{name}",
        function=lambda w: index(w, axis=-1).astype(w.dtype),
        inputs=lambda key: normal(key, (4, 7)),
        parity=INDICES,
        equals={
            "rows": lambda w: jax.vmap(index)(w),
            "columns": lambda w: index(w.T, axis=0),
        },
        rejects=(
            Reject(
                call=lambda: index(X.astype(int)),
                error=TypeError,
                match=f"{name}: `w` .*floating-point",
            ),
            Reject(
                call=lambda: index(X, axis=2),
                error=ValueError,
                match=f"{name}: `axis` is 2; it needs axes of an array of 2 axes",
            ),
            Reject(
                call=lambda: index(X[:0]),
                error=ValueError,
                match=f"{name}: `axis` is None; it needs at least one entry",
            ),
            *options.pop("rejects", ()),
        ),
        **options,
    )


def orders(name):
    """Make the calls that give orders out of range."""
    return (
        Reject(
            call=lambda: getattr(sparsity, name)(X, 1.5, 2.0),
            error=ValueError,
            match=rf"{name}: `p` is 1\.5; it needs 0 < p <= 1",
        ),
        Reject(
            call=lambda: getattr(sparsity, name)(X, 1.0, 1.0),
            error=ValueError,
            match=rf"{name}: `q` is 1\.0; it needs q >= 1 and q > p",
        ),
    )


def threshold(name):
    """Make the call that gives a negative threshold."""
    return Reject(
        call=lambda: getattr(sparsity, name)(X, threshold=-1.0),
        error=ValueError,
        match=rf"{name}: `threshold` is -1\.0",
    )


CASES = [
    index_case("hoyer"),
    index_case("gini"),
    index_case("pq_index", rejects=orders("pq_index")),
    index_case(
        "pq_bound",
        rejects=(
            *orders("pq_bound"),
            Reject(
                call=lambda: sparsity.pq_bound(X, eta=-0.5),
                error=ValueError,
                match=r"pq_bound: `eta` is -0\.5",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.activation_sparsity",
        function=lambda h: sparsity.activation_sparsity(h, threshold=0.5, axis=-1).astype(h.dtype),
        inputs=lambda key: normal(key, (4, 7)),
        parity=COUNTS,
        rejects=(
            threshold("activation_sparsity"),
            Reject(
                call=lambda: sparsity.activation_sparsity([0.0, 1.0]),
                error=TypeError,
                match="activation_sparsity: `h` is .* needs a JAX or NumPy array",
            ),
        ),
        exempt={"gradients": COUNTED},
    ),
    Case(
        name=f"{HOME}.weight_sparsity",
        function=lambda params: sparsity.weight_sparsity(params, threshold=0.5).astype(
            params[0].dtype
        ),
        inputs=lambda key: (normal(key, (4, 7), (7,)),),
        parity=COUNTS,
        rejects=(
            threshold("weight_sparsity"),
            Reject(
                call=lambda: sparsity.weight_sparsity({}),
                error=ValueError,
                match="weight_sparsity: `params` .* at least one entry",
            ),
        ),
        exempt={"gradients": COUNTED},
    ),
    Case(
        name=f"{HOME}.dead_units",
        function=lambda h: sparsity.dead_units(h, threshold=0.7),
        inputs=lambda key: normal(key, (2, 7)),
        parity=COUNTS,
        rejects=(
            threshold("dead_units"),
            Reject(
                call=lambda: sparsity.dead_units(X[:0]),
                error=ValueError,
                match=r"dead_units: `h` is .* at least one example",
            ),
        ),
        exempt={"gradients": COUNTED, "extremes": "booleans are always finite"},
    ),
    Case(
        name=f"{HOME}.spike_rate",
        function=lambda s: sparsity.spike_rate(s, dt=0.5).astype(s.dtype),
        inputs=lambda key: normal(key, (5, 3)),
        parity=COUNTS,
        rejects=(
            Reject(
                call=lambda: sparsity.spike_rate(X, dt=0.0),
                error=ValueError,
                match=r"spike_rate: `dt` is 0\.0",
            ),
            Reject(
                call=lambda: sparsity.spike_rate(X, axis=5),
                error=ValueError,
                match="spike_rate: `axis` is 5; it needs axes of an array of 2 axes",
            ),
        ),
    ),
]
