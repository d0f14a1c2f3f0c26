import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import spiking

attend = jax.jit(spiking.spiking_self_attention, static_argnames=("is_causal", "scale"))


def loop(q, k, v, scale, allowed=None, bias=None):
    """Add up, pair by pair."""
    group = q.shape[2] // k.shape[2]
    y = np.zeros((*q.shape[:3], v.shape[-1]))
    for b, i, h, j in np.ndindex(*q.shape[:3], k.shape[1]):
        score = scale * np.sum(q[b, i, h] * k[b, j, h // group])
        if bias is not None:
            score += bias[b, h, i, j]
        if allowed is None or allowed[b, h, i, j]:
            y[b, i, h] += score * v[b, j, h // group]
    return y


def spikes(*shape, seed=0):
    return (np.random.default_rng(seed).random(shape) < 0.4).astype(np.float32)


@pytest.fixture
def trains():
    return spikes(2, 5, 4, 3), spikes(2, 6, 2, 3, seed=1), spikes(2, 6, 2, 2, seed=2)


def test_equals_a_loop_over_pairs(trains):
    want = loop(*trains, 0.3)
    assert want.max() > 1
    np.testing.assert_allclose(attend(*trains, scale=0.3), want, atol=1e-5)
    np.testing.assert_allclose(attend(*trains), loop(*trains, 3**-0.5), atol=1e-5)


def test_masks_biases_and_causality_equal_a_loop(trains):
    random = np.random.default_rng(3)
    allowed = random.random((2, 4, 5, 6)) < 0.6
    bias = random.normal(size=(2, 4, 5, 6)).astype(np.float32)
    got = attend(*trains, mask=allowed, bias=bias, is_causal=True, scale=0.5)
    later = np.arange(6)[None, :] > np.arange(5)[:, None]
    want = loop(*trains, 0.5, allowed & ~later[None, None], bias)
    np.testing.assert_allclose(got, want, atol=1e-5)
    padding = allowed[:, :1, :1]
    everywhere = np.broadcast_to(padding, allowed.shape)
    got = attend(*trains, mask=padding)
    np.testing.assert_allclose(got, loop(*trains, 3**-0.5, everywhere), atol=1e-5)
    got = attend(*trains, mask=padding, bias=bias, scale=0.5)
    np.testing.assert_allclose(got, loop(*trains, 0.5, everywhere, bias), atol=1e-5)


def test_the_cheaper_order_is_taken_and_both_give_the_same_bits():
    q, k, v = (spikes(1, 40, 2, 4, seed=seed) for seed in range(3))
    text = str(jax.make_jaxpr(spiking.spiking_self_attention)(q, k, v))
    assert "40,40" not in text
    assert "2,4,4" in text
    masked = attend(q, k, v, mask=np.ones((1, 1, 40, 40), bool))
    np.testing.assert_array_equal(attend(q, k, v), masked)
    few = [x[:, :3] for x in (q, k, v)]
    assert "2,4,4" not in str(jax.make_jaxpr(spiking.spiking_self_attention)(*few))
    padding = jnp.arange(40)[None, None, None] < 30
    text = str(jax.make_jaxpr(spiking.spiking_self_attention)(q, k, v, mask=padding))
    assert "40,40" not in text
