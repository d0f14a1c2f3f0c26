"""Rows of ``layers.attention``: sparse patterns, Hopfield networks, Kolmogorov-Arnold weights."""

import functools

import jax
import jax.numpy as jnp

from jaxnn.layers import attention
from tests.laws.case import Case, Reject
from tests.laws.cases.attention import HOME, K, Q, X
from tests.laws.makers import module_case, normal

SPARSE = "tests/layers/attention/test_sparse.py"
HOPFIELD = "tests/layers/attention/test_hopfield.py"
KOLMOGOROV = "tests/layers/attention/test_kolmogorov_arnold.py"
PATTERN = {"stride": 3, "pattern": "strided", "is_causal": True}
C, W = jnp.ones((1, 2, 5, 3)), jnp.ones((1, 3, 5))

sparse = functools.partial(attention.sparse_attention, **PATTERN)
hopfield = functools.partial(attention.hopfield_attention, steps=3)


def sequence(key):
    """Seven positions of four and two heads, with a bias of the keys."""
    return normal(key, (2, 7, 4, 6), (2, 7, 2, 6), (2, 7, 2, 6), (2, 4, 1, 7))


def dense(query, key, value, bias):
    """Give the same by dense attention under the pattern's mask."""
    mask = attention.sparse_pattern(7, **PATTERN)
    return attention.dot_product_attention(query, key, value, mask=mask, bias=bias)


def updated(query, key, value, bias):
    """Move the states by hand before they attend."""
    state = query
    for _ in range(2):
        state = attention.dot_product_attention(state, key, key, bias=bias)
    return attention.dot_product_attention(state, key, value, bias=bias)


def with_operator(key):
    """Three queries, four keys, and one operator for each of four heads."""
    return normal(key, (3, 4, 6), (4, 2, 6), (4, 2, 6), (4, 4, 4, 3), (4, 3, 4))


def attended(module):
    """Put the module in the slot of a multi-head attention, and that in a row of one input."""
    return attention.MultiHeadAttention(2, attention=module)


CASES = [
    Case(
        name=f"{HOME}.SparseAttention",
        function=lambda q, k, v: attention.SparseAttention(3)(q, k, v, is_causal=True),
        inputs=lambda key: sequence(key)[:3],
        parity=SPARSE,
        equals={"the function": sparse},
        rejects=(
            Reject(
                call=lambda: attention.SparseAttention(stride=0)(K, K, K),
                error=ValueError,
                match="sparse_attention: `stride` is 0; it needs a whole number above zero",
            ),
            Reject(
                call=lambda: attention.SparseAttention(2).attend_at(jnp.arange(2), Q, K, K),
                error=ValueError,
                match=r"SparseAttention.attend_at: `places` is .* needs shape \(3,\)",
            ),
            Reject(
                call=lambda: attention.SparseAttention(2, part="some").attend_at(
                    jnp.arange(3), Q, K, K
                ),
                error=ValueError,
                match=r"SparseAttention.attend_at: `part` is 'some'; it needs one of",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.sparse_attention",
        function=lambda q, k, v, bias: sparse(q, k, v, bias=bias),
        inputs=sequence,
        parity=SPARSE,
        equals={"dense under the mask": dense},
        rejects=(
            Reject(
                call=lambda: sparse(Q, K, K),
                error=ValueError,
                match="sparse_attention: `key` is .* needs 3 positions, as many as `query`",
            ),
            Reject(
                call=lambda: sparse(K, K, K, mask=jnp.ones((5, 5), bool)),
                error=ValueError,
                match=r"sparse_attention: `mask` is .* needs shape \(\*batch, heads, 1, keys\)",
            ),
            Reject(
                call=lambda: sparse(K, K, K, bias=jnp.ones((4, 5, 5))),
                error=ValueError,
                match="sparse_attention: `bias` is .* the same for all queries",
            ),
            Reject(
                call=lambda: attention.sparse_attention(K, K, K, stride=0),
                error=ValueError,
                match="sparse_attention: `stride` is 0; it needs a whole number above zero",
            ),
            Reject(
                call=lambda: attention.sparse_attention(K, K, K, stride=2, summary=3),
                error=ValueError,
                match="sparse_attention: `summary` is 3; it needs at most the 2 positions",
            ),
            Reject(
                call=lambda: sparse(K, K, K, pattern="random"),
                error=ValueError,
                match="sparse_attention: `pattern` is 'random'; it needs 'strided' or 'fixed'",
            ),
            Reject(
                call=lambda: sparse(K, K, K, part="both"),
                error=ValueError,
                match="sparse_attention: `part` is 'both'; it needs one of",
            ),
            Reject(
                call=lambda: sparse(K[:, :3], K[:, :3], K[:, :3], part="heads"),
                error=ValueError,
                match="sparse_attention: `part` is 'heads'; it needs heads in two halves, not 3",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.sparse_pattern",
        function=lambda x: jnp.where(attention.sparse_pattern(5, stride=2), x, 0),
        inputs=lambda key: normal(key, (5, 5)),
        parity=SPARSE,
        rejects=(
            Reject(
                call=lambda: attention.sparse_pattern(0, stride=2),
                error=ValueError,
                match="sparse_pattern: `n` is 0; it needs a whole number above zero",
            ),
            Reject(
                call=lambda: attention.sparse_pattern(4, stride=2, part="heads"),  # pyright: ignore
                error=ValueError,
                match="sparse_pattern: `part` is 'heads'; it needs one of",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.hopfield_attention",
        function=lambda q, k, v, bias: hopfield(q, k, v, bias=bias),
        inputs=lambda key: normal(key, (2, 3, 4, 6), (2, 4, 2, 6), (2, 4, 2, 6), (2, 4, 3, 4)),
        parity=HOPFIELD,
        equals={"repeated attention": updated},
        # Each update rounds the states, and the next sharpens the differences.
        tolerance_bfloat16=8e-2,
        rejects=(
            Reject(
                call=lambda: attention.hopfield_attention(Q, K, K[1:]),
                error=ValueError,
                match=r"hopfield_attention: `value` is .*\(4, 4, 2\).* needs shape \(5, 4,",
            ),
            Reject(
                call=lambda: attention.hopfield_attention(Q, K, K, steps=0),
                error=ValueError,
                match="hopfield_attention: `steps` is 0; it needs a whole number above zero",
            ),
            Reject(
                call=lambda: attention.hopfield_attention(Q, K, K, tolerance=-1.0),
                error=ValueError,
                match=r"hopfield_attention: `tolerance` is -1\.0",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.hopfield_energy",
        function=functools.partial(attention.hopfield_energy, scale=0.7),
        inputs=lambda key: normal(key, (2, 3, 6), (5, 6)),
        parity=HOPFIELD,
        rejects=(
            Reject(
                call=lambda: attention.hopfield_energy(jnp.ones(3), jnp.ones((4, 2))),
                error=ValueError,
                match=r"hopfield_energy: `patterns` is .*\(4, 2\).* needs shape \(patterns, 3\)",
            ),
            Reject(
                call=lambda: attention.hopfield_energy(jnp.ones(3), jnp.ones((4, 3)), scale=0.0),
                error=ValueError,
                match=r"hopfield_energy: `scale` is 0\.0",
            ),
        ),
    ),
    module_case(
        f"{HOME}.HopfieldPooling",
        attention.HopfieldPooling(2, num_heads=2, steps=2),
        shape=(2, 5, 8),
        parity=HOPFIELD,
        rejects=(
            Reject(
                call=lambda: attention.HopfieldPooling(0).init(jax.random.key(0), X),
                error=ValueError,
                match="HopfieldPooling: `num_queries` is 0; it needs a whole number above zero",
            ),
            Reject(
                call=lambda: attention.HopfieldPooling(steps=0).init(jax.random.key(0), X),
                error=ValueError,
                match="HopfieldPooling: `steps` is 0; it needs a whole number above zero",
            ),
        ),
    ),
    module_case(
        f"{HOME}.HopfieldLayer",
        attention.HopfieldLayer(5, num_heads=2, steps=2),
        shape=(2, 3, 8),
        parity=HOPFIELD,
        rejects=(
            Reject(
                call=lambda: attention.HopfieldLayer(0).init(jax.random.key(0), X),
                error=ValueError,
                match="HopfieldLayer: `num_patterns` is 0; it needs a whole number above zero",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.kolmogorov_arnold_attention",
        function=attention.kolmogorov_arnold_attention,
        inputs=with_operator,
        parity=KOLMOGOROV,
        rejects=(
            Reject(
                call=lambda: attention.kolmogorov_arnold_attention(Q, K, K, C[:, :, :4], W),
                error=ValueError,
                match="kolmogorov_arnold_attention: `key` is .* needs 4 positions",
            ),
            Reject(
                call=lambda: attention.kolmogorov_arnold_attention(Q, K, K, C, W[:, :2]),
                error=ValueError,
                match=r"kolmogorov_arnold_attention: `projection` is .* needs shape \(1, 3, 5\)",
            ),
            Reject(
                call=lambda: attention.kolmogorov_arnold_attention(Q, K, K, C[:, :1], W),
                error=ValueError,
                match="kolmogorov_arnold_attention: `coefficients` is .* an even number",
            ),
            Reject(
                call=lambda: attention.kolmogorov_arnold_attention(Q, K, K, C[0], W),
                error=ValueError,
                match=r"kolmogorov_arnold_attention: `coefficients` is .* shape \(1 or 4, func",
            ),
        ),
    ),
    module_case(
        f"{HOME}.KolmogorovArnoldAttention",
        attended(attention.KolmogorovArnoldAttention(5, num_heads=2, rank=3)),
        shape=(2, 5, 8),
        parity=KOLMOGOROV,
        rejects=(
            Reject(
                call=lambda: attended(attention.KolmogorovArnoldAttention(4)).init(
                    jax.random.key(0), X
                ),
                error=ValueError,
                match="kolmogorov_arnold_attention: `key` is .* needs 4 positions",
            ),
            Reject(
                call=lambda: attended(attention.KolmogorovArnoldAttention(3, num_heads=4)).init(
                    jax.random.key(0), X
                ),
                error=ValueError,
                match="KolmogorovArnoldAttention: `num_heads` is 4; it needs the 2 heads",
            ),
            Reject(
                call=lambda: attended(attention.KolmogorovArnoldAttention(3, rank=0)).init(
                    jax.random.key(0), X
                ),
                error=ValueError,
                match="KolmogorovArnoldAttention: `rank` is 0; it needs a whole number",
            ),
        ),
    ),
]
