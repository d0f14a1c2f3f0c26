import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import attention
from tests.layers.attention.test_dot_product import arrays
from tests.layers.attention.test_linear import REAL, attend, elu_plus_one, numpy_scores

STATIC = ("is_causal", "scale", "feature_map", "chunk_size")
magnitude_aware = jax.jit(attention.magnitude_aware_attention, static_argnames=STATIC)


def numpy_weights(query, key, is_causal, real, scale):
    """The paper's equations, one row at a time, each over the keys it may read."""
    scores = numpy_scores(elu_plus_one(query), elu_plus_one(key))
    weights = np.zeros(scores.shape)
    for b, h, i in np.ndindex(scores.shape[:3]):
        seen = real[b] & (np.arange(scores.shape[3]) <= i) if is_causal else real[b]
        n = seen.sum()
        row = scores[b, h, i, seen]
        row = row / (n * np.sqrt(query.shape[-1])) if scale is None else row * scale
        beta, gamma = 1 + 1 / row.sum(), row.sum() / n
        weights[b, h, i, seen] = beta * row - gamma
    return weights


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("scale", [None, 1.0])
def test_equals_the_papers_weights(key, is_causal, scale):
    query, key_, value = arrays(key, 7, 7, key_heads=2)
    weights = numpy_weights(query, key_, is_causal, REAL, scale)
    want = np.einsum("bhij,bjhe->bihe", weights, np.repeat(np.asarray(value), 2, axis=2))
    mask = jnp.asarray(REAL)[:, None, None]
    got = magnitude_aware(
        query, key_, value, mask=mask, is_causal=is_causal, scale=scale, chunk_size=3
    )
    # Seven scores of up to 60 cancel: 1e-5 of what is added up.
    np.testing.assert_allclose(got, want, atol=1e-5 * max(1, np.abs(want).max()))


@pytest.mark.parametrize(("queries", "keys"), [(5, 7), (7, 5)])
def test_causal_counts_from_the_first_of_both(key, queries, keys):
    query, key_, value = arrays(key, queries, keys)
    weights = numpy_weights(query, key_, True, np.ones((2, keys), bool), None)
    want = np.einsum("bhij,bjhe->bihe", weights, np.asarray(value))
    got = magnitude_aware(query, key_, value, is_causal=True, chunk_size=3)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_constant_values_are_read_unchanged(key):
    """Rows sum to one, negative weights included."""
    query, key_, _ = arrays(key, 7, 7)
    for is_causal in (False, True):
        for scale in (None, 0.3):
            got = magnitude_aware(
                query, key_, jnp.full((2, 7, 4, 2), 3.0), is_causal=is_causal, scale=scale
            )
            np.testing.assert_allclose(got, 3, rtol=1e-5)


def test_spread_grows_with_the_query_where_linear_attention_is_blind(key):
    """Features of size c: weights a + c b, so that twice the size adds the same difference."""
    query, key_, _ = arrays(key, 8, 16, batch=())
    one_hot = jnp.broadcast_to(jnp.eye(16)[:, None, :], (16, 4, 16))
    query = jnp.abs(query)
    w = [
        magnitude_aware(c * query, key_, one_hot, feature_map=jax.nn.relu) for c in (1.0, 2.0, 4.0)
    ]
    np.testing.assert_allclose(w[2] - w[1], 2 * (w[1] - w[0]), atol=1e-5)
    spreads = [float(x.std(-1).mean()) for x in w]
    assert spreads[0] < spreads[1] < spreads[2]
    plain = [attend(c * query, key_, one_hot, feature_map=jax.nn.relu) for c in (1.0, 4.0)]
    np.testing.assert_allclose(*plain, atol=1e-6)


def test_queries_that_read_nothing_get_zeros(key):
    query, key_, value = arrays(key)
    none = jnp.zeros((2, 1, 1, 6), bool).at[0].set(True)
    got = magnitude_aware(query, key_, value, mask=none)
    np.testing.assert_array_equal(got[1], 0)
    assert (jnp.abs(got[0]) > 0).all()
