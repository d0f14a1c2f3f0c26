import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import attention
from tests.layers.attention.test_dot_product import STATIC, arrays

attend = jax.jit(
    attention.clipped_softmax_attention, static_argnames=(*STATIC, "zeta", "gamma", "alpha")
)


@pytest.mark.parametrize("key_heads", [4, 1])
@pytest.mark.parametrize(("zeta", "gamma"), [(1.0, None), (1.2, -0.15)])
def test_equals_a_numpy_loop(key, key_heads, zeta, gamma):
    query, key_, value = arrays(key, key_heads=key_heads)
    rng = np.random.default_rng(0)
    mask, bias = rng.random((2, 4, 4, 6)) < 0.7, rng.normal(size=(2, 4, 4, 6))
    mask[..., 0] = True
    options = {"mask": jnp.asarray(mask), "bias": jnp.asarray(bias, jnp.float32), "zeta": zeta}
    got, weights = attend(
        query, key_, value, gamma=gamma, alpha=2.0, return_weights=True, **options
    )
    low = -2 / 6 if gamma is None else gamma
    want, cut = np.zeros(got.shape), np.zeros((2, 4, 4, 6))
    for b, t, h in np.ndindex(2, 4, 4):
        g = h * key_heads // 4
        logits = np.asarray(key_[b, :, g]) @ query[b, t, h] / np.sqrt(5) + bias[b, h, t]
        powers = mask[b, h, t] * np.exp(logits)
        cut[b, h, t] = np.clip((zeta - low) * powers / powers.sum() + low, 0, 1)
        want[b, t, h] = cut[b, h, t] @ np.asarray(value[b, :, g])
    np.testing.assert_allclose(got, want, atol=1e-5)
    np.testing.assert_allclose(weights, cut, atol=1e-5)
    # Both cuts are met, else the loop would not tell them from none.
    assert (cut[mask] == 0).any()
    assert zeta == 1 or (cut == 1).any()


def test_is_softmax_attention_between_0_and_1(key):
    inputs = arrays(key)
    mask = jnp.ones((4, 6), bool).at[1].set(False)
    got = attend(*inputs, mask=mask, zeta=1.0, gamma=0.0)
    want = attention.dot_product_attention(*inputs, mask=mask)
    np.testing.assert_allclose(got, want, atol=1e-6)
    assert not np.allclose(attend(*inputs, mask=mask, gamma=-0.01), want, atol=1e-3)


def test_is_exactly_zero_up_to_its_threshold_and_one_from_the_other(key):
    """Weights are chosen by their logits: p_j just below and above -γ/(ζ - γ)."""
    zeta, gamma = 1.1, -0.1
    low, high = -gamma / (zeta - gamma), (1 - gamma) / (zeta - gamma)
    for first, want in ((0.99 * low, 0), (1.01 * low, None), (0.99 * high, None), (1.01 * high, 1)):
        logits = jnp.log(jnp.array([first, (1 - first) / 2, (1 - first) / 2]))
        unit = jnp.ones((1, 1, 1))
        _, weights = attend(
            unit, logits[:, None, None], jnp.ones((3, 1, 1)), scale=1.0, zeta=zeta, gamma=gamma,
            return_weights=True,
        )  # fmt: skip
        weight = float(weights[0, 0, 0])
        assert weight == want if want is not None else 0 < weight < 1


def test_a_flat_row_adds_nothing(key):
    _, key_, value = arrays(key)
    flat = attend(jnp.zeros((2, 4, 4, 5)), key_, value)
    np.testing.assert_array_equal(flat, 0)
    # α of at most 1 leaves a flat row something: (1 - α + α/n)/n of each value.
    less = attend(jnp.zeros((2, 4, 4, 5)), key_, value, alpha=0.5)
    want = (1 - 0.5 + 0.5 / 6) * value.mean(1)[:, None]
    np.testing.assert_allclose(less, jnp.broadcast_to(want, less.shape), atol=1e-6)


def test_no_gradient_flows_through_what_is_cut(key):
    query, key_, value = arrays(key, batch=())

    def weights(query):
        return attend(query, key_, value, alpha=2.0, return_weights=True)[1]

    jacobian = jax.jit(jax.jacrev(weights))(query)
    seen = np.abs(np.asarray(jacobian)).sum((3, 4, 5))
    zero = np.asarray(weights(query)) == 0
    assert zero.any()
    assert (~zero).any()
    np.testing.assert_array_equal(seen[zero], 0)
    assert (seen[~zero] > 0).all()


def test_causal_queries_do_not_see_later_keys(key):
    query, key_, value = arrays(key, queries=5, keys=5, batch=())

    def output(key_, value):
        return attend(query, key_, value, is_causal=True, gamma=-0.01).sum((1, 2))

    for jacobian in jax.jit(jax.jacrev(output, (0, 1)))(key_, value):
        seen = np.abs(np.asarray(jacobian)).sum((2, 3))
        np.testing.assert_array_equal(seen[np.triu_indices(5, 1)], 0)
        assert (seen[np.tril_indices(5, -1)] > 0).all()
