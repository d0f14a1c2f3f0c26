import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from jaxnn.layers import attention
from tests.layers.attention.test_dot_product import arrays
from tests.layers.attention.test_dot_product import attend as dense

STATIC = ("stride", "pattern", "part", "summary", "is_causal", "scale", "dropout_rate")
attend = jax.jit(attention.sparse_attention, static_argnames=STATIC)


def paper_pairs(n, stride, pattern, part, summary, is_causal):
    """Section 4.3, one pair at a time."""
    pairs = np.zeros((n, n), bool)
    for i, j in np.ndindex(n, n):
        if pattern == "strided":
            local = j >= i - stride and j <= i + stride
            distant = (i - j) % stride == 0
        else:
            local = i // stride == j // stride
            distant = j % stride in range(stride - summary, stride)
        one = {"local": local, "distant": distant, "union": local or distant}[part]
        pairs[i, j] = one and (j <= i or not is_causal)
    return pairs


SLOW = pytest.mark.slow
SETTINGS = [
    # pattern, part, summary, is_causal, n, stride, key heads; n = 13 fills no block, n = 3 none
    ("strided", "union", 1, True, 13, 4, 2),
    ("strided", "union", 1, False, 13, 4, 4),
    pytest.param("strided", "local", 1, True, 12, 4, 1, marks=SLOW),
    pytest.param("strided", "distant", 1, False, 13, 4, 4, marks=SLOW),
    ("fixed", "union", 2, True, 13, 4, 2),
    pytest.param("fixed", "union", 1, False, 12, 4, 4, marks=SLOW),
    pytest.param("fixed", "local", 2, False, 13, 4, 4, marks=SLOW),
    ("fixed", "distant", 2, True, 13, 4, 1),
    ("strided", "union", 1, True, 3, 4, 4),
]


@pytest.mark.parametrize(
    ("pattern", "part", "summary", "is_causal", "n", "stride", "key_heads"), SETTINGS
)
def test_equals_dense_attention_under_the_papers_mask(
    key, pattern, part, summary, is_causal, n, stride, key_heads
):
    query, key_, value = arrays(key, queries=n, keys=n, key_heads=key_heads)
    options = {"stride": stride, "pattern": pattern, "summary": summary, "is_causal": is_causal}
    pairs = paper_pairs(n, part=part, **options)
    made = attention.sparse_pattern(n, part=part, **options)
    np.testing.assert_array_equal(made, pairs)
    valid = np.ones((2, 1, 1, n), bool)
    valid[0, ..., -2:] = False  # padding
    bias = jax.random.normal(key, (4, 1, n))
    got = attend(query, key_, value, mask=jnp.asarray(valid), bias=bias, part=part, **options)
    mask = pairs & valid
    want = dense(query, key_, value, mask=jnp.asarray(mask), bias=bias)
    # Dense attention averages all values where nothing is allowed; here that is zero.
    want = np.where(mask.any(-1)[:, 0, :, None, None], want, 0)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_gradients_equal_those_of_the_dense_form(key):
    inputs = arrays(key, queries=13, keys=13, key_heads=2)
    options = {"stride": 4, "is_causal": True}
    mask = attention.sparse_pattern(13, **options)

    def total(function, **options):
        return jax.jit(jax.grad(lambda x: jnp.sum(jnp.sin(function(*x, **options)))))

    got = total(attention.sparse_attention, **options)(inputs)
    again = total(jax.checkpoint(lambda *x: attention.sparse_attention(*x, **options)))(inputs)
    want = total(attention.dot_product_attention, mask=mask)(inputs)
    for g, a, w in zip(got, again, want, strict=True):
        np.testing.assert_allclose(g, w, atol=1e-5)
        np.testing.assert_allclose(g, a, atol=1e-6)


def test_the_halves_of_the_heads_have_a_part_each(key):
    query, key_, value = arrays(key, queries=13, keys=13, key_heads=2)
    mask = jnp.ones((4, 1, 13), bool).at[3, 0, 2].set(False)
    options = {"stride": 4, "is_causal": True}
    got = attend(query, key_, value, mask=mask, part="heads", **options)
    for part, heads, key_head in (("local", slice(0, 2), 0), ("distant", slice(2, 4), 1)):
        pair = (x[..., key_head : key_head + 1, :] for x in (key_, value))
        want = attend(query[..., heads, :], *pair, mask=mask[heads], part=part, **options)
        np.testing.assert_allclose(got[..., heads, :], want, atol=1e-6)


@pytest.mark.parametrize("pattern", ["strided", "fixed"])
def test_two_steps_reach_every_earlier_position_and_no_later_one(pattern):
    options = {"stride": 5, "pattern": pattern, "is_causal": True}
    # The residual connection lets a position keep what it has.
    local, distant = (
        np.asarray(attention.sparse_pattern(23, part=part, **options)) | np.eye(23, dtype=bool)
        for part in ("local", "distant")
    )
    np.testing.assert_array_equal(local @ distant | distant @ local, np.tri(23, dtype=bool))


def sizes(jaxpr):
    """List the number of entries of every array that a program makes."""
    for equation in jaxpr.eqns:
        yield from (v.aval.size for v in equation.outvars)
        for inner in jaxprs_in_params(equation.params):
            yield from sizes(inner)


@pytest.mark.parametrize("pattern", ["strided", "fixed"])
def test_no_array_of_all_pairs_is_made(pattern):
    def largest(n, stride):
        x = jax.ShapeDtypeStruct((n, 1, 1), jnp.float32)

        def gradient(x):
            options = {"stride": stride, "pattern": pattern, "is_causal": True}
            return jax.grad(lambda x: attention.sparse_attention(x, x, x, **options).sum())(x)

        return max(sizes(jax.make_jaxpr(gradient)(x).jaxpr))

    # A block of l queries and 2l keys: 2 n l entries, and n²/l for the distant part.
    assert largest(1024, 32) <= 2 * 1024 * 32
    assert largest(4096, 64) <= 2 * 4096 * 64


def test_dropped_weights_keep_their_mean(key):
    """With values of one, each output is a sum of 400 kept weights at least: 1 ± 1/20."""
    x = jnp.zeros((1600, 1, 2))
    got = attend(x, x, jnp.ones((1600, 1, 1)), stride=400, dropout_rate=0.5, dropout_key=key)
    assert abs(got.mean() - 1) < 0.01
    assert 0.01 < got.std() < 0.05
