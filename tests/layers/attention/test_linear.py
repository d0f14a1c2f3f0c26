import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import attention
from tests.layers.attention.test_dot_product import arrays

STATIC = ("is_causal", "feature_map", "chunk_size")
attend = jax.jit(attention.linear_attention, static_argnames=STATIC)
# One example of two has padding, in the middle and at the end.
REAL = np.array([[True] * 7, [True, True, False, False, True, True, False]])


def numpy_reading(scores, value, is_causal, real):
    """Read values by scores ``(batch, heads, queries, keys)`` divided by their sum."""
    value = np.repeat(np.asarray(value, np.float64), scores.shape[1] // value.shape[2], axis=2)
    scores = scores * real[:, None, None, :]
    scores = scores * np.tri(*scores.shape[2:]) if is_causal else scores
    return np.einsum("bhij,bjhe->bihe", scores / scores.sum(-1, keepdims=True), value)


def numpy_scores(a, b):
    """Multiply the features of all queries and all keys."""
    a, b = (np.asarray(x, np.float64) for x in (a, b))
    return np.einsum("bihf,bjhf->bhij", a, np.repeat(b, a.shape[2] // b.shape[2], axis=2))


def elu_plus_one(x):
    return np.where(x > 0, x + 1, np.exp(np.minimum(x, 0)))


@pytest.mark.parametrize("key_heads", [4, 2])
@pytest.mark.parametrize("is_causal", [False, True])
def test_equals_the_explicit_weights(key, key_heads, is_causal):
    query, key_, value = arrays(key, 7, 7, key_heads=key_heads)
    scores = numpy_scores(elu_plus_one(query), elu_plus_one(key_))
    want = numpy_reading(scores, value, is_causal, REAL)
    mask = jnp.asarray(REAL)[:, None, None]
    got = attend(query, key_, value, mask=mask, is_causal=is_causal, chunk_size=3)
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize(("queries", "keys"), [(5, 7), (7, 5)])
def test_causal_counts_from_the_first_of_both(key, queries, keys):
    query, key_, value = arrays(key, queries, keys)
    scores = numpy_scores(elu_plus_one(query), elu_plus_one(key_))
    want = numpy_reading(scores, value, True, np.ones((2, keys)))
    for chunk_size in (1, 3, 64):
        got = attend(query, key_, value, is_causal=True, chunk_size=chunk_size)
        np.testing.assert_allclose(got, want, atol=1e-5)


def test_causal_queries_do_not_see_later_keys(key):
    query, key_, value = arrays(key, queries=5, keys=5, batch=())

    def output(key_, value):
        return attend(query, key_, value, is_causal=True, chunk_size=2).sum((1, 2))

    for jacobian in jax.jit(jax.jacrev(output, (0, 1)))(key_, value):
        seen = np.abs(np.asarray(jacobian)).sum((2, 3))
        np.testing.assert_array_equal(seen[np.triu_indices(5, 1)], 0)
        # The first query reads its one key whatever the weight.
        assert (seen[np.tril_indices(5, -1)] > 0).all()


def sizes(jaxpr):
    """Give the sizes of all arrays that a program makes, those in its loops included."""
    for equation in jaxpr.eqns:
        yield from (math.prod(v.aval.shape) for v in equation.outvars)
        for inner in jax.tree.leaves(
            equation.params, is_leaf=lambda p: hasattr(p, "eqns") or hasattr(p, "jaxpr")
        ):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                yield from sizes(inner)


@pytest.mark.parametrize("is_causal", [False, True])
def test_memory_is_linear_in_time_forward_and_backward(is_causal):
    """Twice the keys: twice the largest array, which is far from n by n."""

    def largest(time, function):
        x = jax.ShapeDtypeStruct((time, 1, 4), jnp.float32)
        gradient = jax.grad(lambda *x: function(*x, is_causal=is_causal).sum(), (0, 1, 2))
        return max(sizes(jax.make_jaxpr(gradient)(x, x, x).jaxpr))

    one, two = (largest(time, attention.linear_attention) for time in (512, 1024))
    assert two <= 2 * one <= 2 * 512 * 64
    # The same count finds the matrix where there is one.
    assert largest(512, attention.sigmoid_attention) == 512**2


def test_any_feature_map_may_change_the_width(key):
    """With features x and 1, weights are 1 + q·k, over their sum."""
    query, key_, value = arrays(key)

    def affine(x):
        return jnp.concatenate([x, jnp.ones((*x.shape[:-1], 1), x.dtype)], axis=-1)

    small = 0.2 * query
    want = numpy_reading(1 + numpy_scores(small, key_), value, False, np.ones((2, 6)))
    got = attend(small, key_, value, feature_map=affine)
    np.testing.assert_allclose(got, want, atol=1e-5)
    with pytest.raises(ValueError, match=r"linear_attention: `feature_map` made shape .*needs to"):
        attention.linear_attention(query, key_, value, feature_map=lambda x: x.sum(-1))


def test_queries_that_read_nothing_get_zeros(key):
    query, key_, value = arrays(key)
    none = jnp.zeros((2, 1, 1, 6), bool).at[0].set(True)
    got = attend(query, key_, value, mask=none)
    np.testing.assert_array_equal(got[1], 0)
    assert (jnp.abs(got[0]) > 0).all()
    dark = attend(-jnp.abs(query), key_, value, feature_map=jax.nn.relu)
    np.testing.assert_array_equal(dark, 0)


def test_padding_is_as_good_as_absent(key):
    query, key_, value = arrays(key, 7, 7)
    got = attend(query, key_, value, mask=jnp.asarray(REAL)[:, None, None])[1]
    kept = np.flatnonzero(REAL[1])
    want = attend(query[1], key_[1, kept], value[1, kept])
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_elu_plus_one_keeps_small_features():
    x = jnp.array([-30.0, -1.0, 0.0, 2.0])
    want = [math.exp(-30), math.exp(-1), 1, 3]
    np.testing.assert_allclose(attention.elu_plus_one(x), want, rtol=1e-5)
    np.testing.assert_allclose(jax.grad(lambda x: attention.elu_plus_one(x).sum())(x)[2:], 1)


def test_no_batch_axes_and_empty_arrays(key):
    query, key_, value = arrays(key, batch=(2, 3))
    got = attend(query, key_, value, is_causal=True)
    one = attend(query[1, 2], key_[1, 2], value[1, 2], is_causal=True)
    np.testing.assert_allclose(got[1, 2], one, atol=1e-6)
    for is_causal in (False, True):
        empty = attend(query[:0], key_[:0], value[:0], is_causal=is_causal)
        assert empty.shape == (0, 3, 4, 4, 3)
        none = attend(query[:, :, :0], key_, value, is_causal=is_causal)
        assert none.shape == (2, 3, 0, 4, 3)
