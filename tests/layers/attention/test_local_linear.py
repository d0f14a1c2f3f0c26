import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import attention
from tests.layers.attention.test_dot_product import arrays
from tests.layers.attention.test_dot_product import attend as softmax

STATIC = ("is_causal", "scale", "ridge", "iterations", "return_weights")
attend = jax.jit(attention.local_linear_attention, static_argnames=STATIC)


def numpy_attention(query, key, value, mask, bias, scale, ridge):
    """Weighted ridge regression about each query by least squares; its intercept."""
    query, key, value = (np.asarray(x, np.float64) for x in (query, key, value))
    width, group = query.shape[-1], query.shape[2] // key.shape[2]
    output = np.zeros((*query.shape[:3], value.shape[-1]))
    for b, i, h in np.ndindex(query.shape[:3]):
        seen = mask[b, h, i]
        q, k, v = query[b, i, h], key[b, seen, h // group], value[b, seen, h // group]
        w = np.exp(k @ q * scale + bias[b, h, i, seen])
        root = np.sqrt(w / w.sum())[:, None]
        design = np.concatenate([root, root * (k - q)], axis=1)
        penalty = np.sqrt(ridge) * np.eye(width + 1)[1:]
        target = np.concatenate([root * v, np.zeros((width, v.shape[1]))])
        fit = np.linalg.lstsq(np.concatenate([design, penalty]), target, rcond=None)
        output[b, i, h] = fit[0][0]
    return output


@pytest.mark.parametrize("key_heads", [4, 2])
@pytest.mark.parametrize("ridge", [0.01, 0.5])
def test_equals_the_intercept_of_least_squares(key, key_heads, ridge):
    query, key_, value = arrays(key, 7, 7, key_heads=key_heads)
    rng = np.random.default_rng(0)
    mask = np.broadcast_to((rng.random((2, 4, 7, 7)) < 0.7) | np.eye(7, dtype=bool), (2, 4, 7, 7))
    bias = rng.normal(size=(2, 4, 7, 7))
    got = attend(
        query,
        key_,
        value,
        mask=jnp.asarray(mask),
        bias=jnp.asarray(bias, jnp.float32),
        is_causal=True,
        scale=0.3,
        ridge=ridge,
    )
    mask = mask & np.tri(7, dtype=bool)
    want = numpy_attention(query, key_, value, mask, bias, 0.3, ridge)
    np.testing.assert_allclose(got, want, atol=1e-5 * max(1, 0.1 / ridge) * np.abs(want).max())


def test_is_softmax_attention_when_the_ridge_is_steep(key):
    query, key_, value = arrays(key, 6, 6)
    for is_causal in (False, True):
        got = attend(query, key_, value, is_causal=is_causal, ridge=1e6)
        np.testing.assert_allclose(got, softmax(query, key_, value, is_causal=is_causal), atol=1e-4)


def test_reads_a_plane_exactly_wherever_the_query_is(key):
    """An average cannot leave the hull of the values; a line can, and to the right place."""
    query, key_, _ = arrays(key, 4, 40, batch=())
    slope = jax.random.normal(key, (5, 3))
    value = jnp.einsum("khd,de->khe", key_, slope) + 7
    want = jnp.einsum("qhd,de->qhe", 3 * query, slope) + 7
    got = attend(3 * query, key_, value, ridge=1e-6, scale=0.1, iterations=20)
    np.testing.assert_allclose(got, want, atol=1e-2)
    assert np.abs(softmax(3 * query, key_, value, scale=0.1) - want).max() > 3


def test_weights_sum_to_one_and_make_the_output(key):
    query, key_, value = arrays(key, key_heads=2)
    output, weights = attend(query, key_, value, return_weights=True)
    assert weights.shape == (2, 4, 4, 6)
    assert (weights < 0).any()
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    repeated = jnp.repeat(value, 2, axis=2)
    np.testing.assert_allclose(output, jnp.einsum("bhqk,bkhd->bqhd", weights, repeated), atol=1e-5)


def test_causal_queries_do_not_see_later_keys(key):
    query, key_, value = arrays(key, queries=5, keys=5, batch=())

    def output(key_, value):
        return attend(query, key_, value, is_causal=True).sum((1, 2))

    for jacobian in jax.jit(jax.jacrev(output, (0, 1)))(key_, value):
        seen = np.abs(np.asarray(jacobian)).sum((2, 3))
        # Keys are shifted by their mean; what that moves cancels up to rounding.
        assert seen[np.triu_indices(5, 1)].max() < 1e-5
        assert (seen[np.tril_indices(5, -1)] > 1e-3).all()


def test_the_first_key_alone_is_read_as_it_is(key):
    query, key_, value = arrays(key, 4, 4)
    got = attend(query, key_, value, is_causal=True)
    # The slope, (q - k)/λ with λ = 0.1, lifts the rounding of k - k tenfold or more.
    np.testing.assert_allclose(got[:, 0], value[:, 0], atol=5e-5)


def test_many_more_steps_than_needed_do_no_harm(key):
    query, key_, value = arrays(key)
    few, many = (attend(query, key_, value, iterations=n) for n in (10, 200))
    np.testing.assert_allclose(few, many, atol=1e-5)
