import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import attention

STATIC = ("is_causal", "scale", "dropout_rate", "return_weights")
# Compiled, so that the cache serves it; eager, every operation would be compiled on its own.
attend = jax.jit(attention.dot_product_attention, static_argnames=STATIC)


def arrays(key, queries=4, keys=6, heads=4, key_heads=4, batch=(2,)):
    shapes = [(queries, heads, 5), (keys, key_heads, 5), (keys, key_heads, 3)]
    keys_ = jax.random.split(key, 3)
    return [jax.random.normal(k, (*batch, *s)) for k, s in zip(keys_, shapes, strict=True)]


def numpy_attention(query, key, value, mask, bias, scale):
    """Equation 1, one query and one head at a time."""
    query, key, value = (np.asarray(x, np.float64) for x in (query, key, value))
    heads, group = query.shape[2], query.shape[2] // key.shape[2]
    output = np.zeros((*query.shape[:3], value.shape[-1]))
    for b, t, h in np.ndindex(query.shape[:3]):
        logits = key[b, :, h // group] @ query[b, t, h] * scale + bias[b, h, t]
        powers = np.exp(logits - logits.max()) * mask[b, h, t]
        output[b, t, h] = (powers / powers.sum()) @ value[b, :, h // group]
    assert heads == group * key.shape[2]
    return output


@pytest.mark.parametrize("key_heads", [4, 2, 1])
def test_equals_a_numpy_loop(key, key_heads):
    query, key_, value = arrays(key, key_heads=key_heads)
    rng = np.random.default_rng(0)
    mask = rng.random((2, 4, 4, 6)) < 0.7
    mask[..., 0] = True
    bias = rng.normal(size=(2, 4, 4, 6))
    got = attend(
        query, key_, value, mask=jnp.asarray(mask), bias=jnp.asarray(bias, jnp.float32), scale=0.3
    )
    want = numpy_attention(query, key_, value, mask, bias, 0.3)
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("key_heads", [4, 2])
@pytest.mark.parametrize("is_causal", [False, True])
def test_equals_jax_nn_in_values_and_gradients(key, key_heads, is_causal):
    query, key_, value = arrays(key, keys=4, key_heads=key_heads)
    value = jnp.concatenate([value, value], axis=-1)[..., :5]

    def total(function):
        return lambda *x: jnp.sum(jnp.sin(function(*x, is_causal=is_causal)))

    got = jax.jit(jax.value_and_grad(total(attention.dot_product_attention), (0, 1, 2)))
    want = jax.jit(jax.value_and_grad(total(jax.nn.dot_product_attention), (0, 1, 2)))
    pair = jax.tree.leaves(got(query, key_, value)), jax.tree.leaves(want(query, key_, value))
    for g, w in zip(*pair, strict=True):
        np.testing.assert_allclose(g, w, atol=2e-5)


def test_forward_mode_equals_reverse_mode(key):
    query, key_, value = arrays(key, batch=())

    def output(query):
        return attend(query, key_, value, is_causal=True)

    forward, reverse = jax.jit(jax.jacfwd(output))(query), jax.jit(jax.jacrev(output))(query)
    np.testing.assert_allclose(forward, reverse, atol=1e-5)


def test_causal_queries_do_not_see_later_keys(key):
    query, key_, value = arrays(key, queries=5, keys=5, batch=())

    def output(key_, value):
        return attend(query, key_, value, is_causal=True).sum((1, 2))

    for jacobian in jax.jit(jax.jacrev(output, (0, 1)))(key_, value):
        seen = np.abs(np.asarray(jacobian)).sum((2, 3))
        np.testing.assert_array_equal(seen[np.triu_indices(5, 1)], 0)
        assert (seen[np.tril_indices(5, -1)] > 0).all()


def test_a_query_that_may_attend_to_nothing_gets_the_average(key):
    query, key_, value = arrays(key)
    mask = jnp.ones((4, 6), bool).at[1].set(False)
    got = attend(query, key_, value, mask=mask)
    average = np.broadcast_to(np.asarray(value).mean(1), got[:, 1].shape)
    np.testing.assert_allclose(got[:, 1], average, atol=1e-6)
    want = jax.jit(jax.nn.dot_product_attention)(query, key_, key_, mask=mask[None, None])
    np.testing.assert_allclose(attend(query, key_, key_, mask=mask), want, atol=1e-5)


def test_mask_and_causality_both_hold(key):
    query, key_, value = arrays(key, queries=4, keys=4)
    mask = jnp.ones((4, 4), bool).at[:, 0].set(False).at[0, 0].set(True)
    _, weights = attend(query, key_, value, mask=mask, is_causal=True, return_weights=True)
    open_ = np.tril(np.asarray(mask))
    assert (np.asarray(weights)[..., open_] > 0).all()
    assert (np.asarray(weights)[..., ~open_] == 0).all()


def test_returned_weights_sum_to_one_and_make_the_output(key):
    query, key_, value = arrays(key, key_heads=2)
    output, weights = attend(query, key_, value, return_weights=True)
    assert weights.shape == (2, 4, 4, 6)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
    repeated = jnp.repeat(value, 2, axis=2)
    np.testing.assert_allclose(output, jnp.einsum("bhqk,bkhd->bqhd", weights, repeated), atol=1e-5)


def test_dropped_weights_keep_their_mean(key):
    """With values of one, the output is the sum of 400 kept weights: 1 ± 1/20."""
    query, key_ = jnp.zeros((50, 1, 2)), jnp.zeros((400, 1, 2))
    got = attend(query, key_, jnp.ones((400, 1, 1)), dropout_rate=0.5, dropout_key=key)
    assert abs(got.mean() - 1) < 4 / 20 / np.sqrt(50)
    assert got.std() > 0.01
    np.testing.assert_allclose(got * 200, jnp.round(got * 200), atol=1e-3)


def test_no_batch_axes_and_empty_batches(key):
    query, key_, value = arrays(key, batch=(2, 3))
    got = attend(query, key_, value)
    one = attend(query[1, 2], key_[1, 2], value[1, 2])
    np.testing.assert_allclose(got[1, 2], one, atol=1e-6)
    empty = attend(query[:0], key_[:0], value[:0])
    assert empty.shape == (0, 3, 4, 4, 3)
