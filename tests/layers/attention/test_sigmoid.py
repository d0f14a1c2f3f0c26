import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import attention
from tests.layers.attention.test_dot_product import STATIC, arrays
from tests.layers.attention.test_dot_product import attend as softmax_attend

attend = jax.jit(attention.sigmoid_attention, static_argnames=(*STATIC, "logit_bias"))


@pytest.mark.parametrize("key_heads", [4, 2, 1])
@pytest.mark.parametrize("logit_bias", [None, 0.7])
def test_equals_a_numpy_loop(key, key_heads, logit_bias):
    query, key_, value = arrays(key, key_heads=key_heads)
    rng = np.random.default_rng(0)
    mask, bias = rng.random((2, 4, 4, 6)) < 0.7, rng.normal(size=(2, 4, 4, 6))
    got = attend(
        query,
        key_,
        value,
        mask=jnp.asarray(mask),
        bias=jnp.asarray(bias, jnp.float32),
        logit_bias=logit_bias,
    )
    offset = -np.log(6) if logit_bias is None else logit_bias
    want = np.zeros(got.shape)
    for b, t, h in np.ndindex(2, 4, 4):
        for j in range(6):
            g = h * key_heads // 4
            logit = query[b, t, h] @ key_[b, j, g] / np.sqrt(5) + bias[b, h, t, j] + offset
            want[b, t, h] += mask[b, h, t, j] / (1 + np.exp(-logit)) * value[b, j, g]
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_rows_sum_to_nearly_one_at_zero_logits(key):
    _, key_, value = arrays(key, keys=7)
    query = jnp.zeros((2, 4, 4, 5))
    for logit_bias, want in ((None, 7 / 8), (0.0, 7 / 2)):
        _, weights = attend(query, key_, value, logit_bias=logit_bias, return_weights=True)
        np.testing.assert_allclose(weights.sum(-1), want, atol=1e-6)


def test_keys_can_be_summed_in_pieces(key):
    """No running maximum or sum: two halves of the keys add up, once b is fixed."""
    query, key_, value = arrays(key)
    whole = attend(query, key_, value, logit_bias=-1.0)
    halves = [
        attend(query, key_[:, part], value[:, part], logit_bias=-1.0)
        for part in (slice(0, 2), slice(2, 6))
    ]
    np.testing.assert_allclose(whole, halves[0] + halves[1], atol=1e-5)


def test_a_query_that_may_attend_to_nothing_gets_zeros(key):
    query, key_, value = arrays(key)
    mask = jnp.ones((4, 6), bool).at[1].set(False)
    got = attend(query, key_, value, mask=mask)
    np.testing.assert_array_equal(got[:, 1], 0)
    assert (jnp.abs(got[:, 0]) > 0).all()


def test_causal_queries_do_not_see_later_keys(key):
    query, key_, value = arrays(key, queries=5, keys=5, batch=())

    def output(key_, value):
        return attend(query, key_, value, is_causal=True).sum((1, 2))

    for jacobian in jax.jit(jax.jacrev(output, (0, 1)))(key_, value):
        seen = np.abs(np.asarray(jacobian)).sum((2, 3))
        np.testing.assert_array_equal(seen[np.triu_indices(5, 1)], 0)
        assert (seen[np.tril_indices(5, -1)] > 0).all()


def test_one_key_does_not_compete_with_another(key):
    """Softmax weights of one key fall when another's logit rises; sigmoid weights do not."""
    query, key_, value = arrays(key, batch=())
    louder = key_.at[0].set(10 * query[0])

    def weights(function, key_):
        return function(query, key_, value, return_weights=True)[1]

    sigmoid = [weights(attend, k) for k in (key_, louder)]
    np.testing.assert_array_equal(sigmoid[0][..., 1:], sigmoid[1][..., 1:])
    softmax = [weights(softmax_attend, k) for k in (key_, louder)]
    assert not np.allclose(softmax[0][..., 1:], softmax[1][..., 1:], atol=1e-3)
