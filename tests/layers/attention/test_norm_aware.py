import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import attention
from tests.layers.attention.test_dot_product import arrays
from tests.layers.attention.test_linear import REAL, attend, numpy_reading

STATIC = ("is_causal", "power", "angle", "chunk_size")
norm_aware = jax.jit(attention.norm_aware_attention, static_argnames=STATIC)


def numpy_scores(query, key, power, angle):
    """The paper's score: a sum over entries of two powers and the cosine between two angles."""
    q, k = (np.asarray(x, np.float64) for x in (query, key))
    k = np.repeat(k, q.shape[2] // k.shape[2], axis=2)
    scores = np.zeros((q.shape[0], q.shape[2], q.shape[1], k.shape[1]))
    for b, h, i, j in np.ndindex(scores.shape):
        x, y = q[b, i, h], k[b, j, h]
        size, dx, dy = np.linalg.norm(x), x / np.linalg.norm(x), y / np.linalg.norm(y)
        p = power * (0.5 + np.tanh(size))
        terms = np.abs(dx) ** p * np.abs(y) ** power * np.cos(angle * (dx - dy))
        scores[b, h, i, j] = terms.sum()
    return scores


def weights(query, key):
    """Read the weights off: values are one-hot, so that value j shows the weight of key j."""
    heads, keys = key.shape[-2], key.shape[-3]
    one_hot = jnp.broadcast_to(jnp.eye(keys)[:, None, :], (keys, heads, keys))
    return norm_aware(query, key, one_hot)


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize(("power", "angle"), [(3.0, np.pi / 4), (1.5, 0.3)])
def test_equals_the_explicit_weights(key, is_causal, power, angle):
    query, key_, value = arrays(key, 7, 7, key_heads=2)
    want = numpy_reading(numpy_scores(query, key_, power, angle), value, is_causal, REAL)
    mask = jnp.asarray(REAL)[:, None, None]
    options = {"power": power, "angle": float(angle), "is_causal": is_causal, "chunk_size": 3}
    got = norm_aware(query, key_, value, mask=mask, **options)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_weights_are_positive_and_sum_to_one(key):
    query, key_, _ = arrays(key, 40, 50, batch=())
    w = weights(query, key_)
    assert (w >= 0).all()
    np.testing.assert_allclose(w.sum(-1), 1, atol=1e-5)


def test_opposite_entries_add_nothing():
    """At the largest angle, π/4, unit entries of opposite sign stand at a right angle."""
    query, key_ = jnp.array([[[1.0, 0.0]]]), jnp.array([[[1.0, 0.0]], [[-5.0, 0.0]]])
    np.testing.assert_allclose(weights(query, key_).ravel(), [1, 0], atol=1e-5)


def test_longer_queries_are_sharper_where_plain_linear_attention_is_blind(key):
    query, key_, _ = arrays(key, 64, 32, batch=())
    query = query / jnp.linalg.norm(query, axis=-1, keepdims=True)
    one_hot = jnp.broadcast_to(jnp.eye(32)[:, None, :], (32, 4, 32))

    def entropy(w):
        return float(-jnp.sum(w * jnp.log(jnp.maximum(w, 1e-30)), axis=-1).mean())

    ours = [entropy(weights(c * query, key_)) for c in (0.25, 0.5, 1.0, 2.0)]
    assert all(a > b + 0.02 for a, b in itertools.pairwise(ours)), ours
    plain = [attend(c * query, key_, one_hot, feature_map=jax.nn.relu) for c in (0.25, 2.0)]
    np.testing.assert_allclose(*plain, atol=1e-5)


@pytest.mark.usefixtures("unchecked")
def test_wider_angles_are_refused(key):
    with pytest.raises(ValueError, match=r"norm_aware_attention: `angle` is 1.0; .* π/4"):
        attention.norm_aware_attention(*arrays(key), angle=1.0)
