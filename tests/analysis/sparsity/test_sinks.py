import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.analysis import sparsity
from jaxnn.layers.attention import MultiHeadAttention, dot_product_attention

RNG = np.random.default_rng(0)


def causal_weights(shape=(3, 6, 6)):
    weights = RNG.random(shape) * np.tri(*shape[-2:])
    return weights / weights.sum(-1, keepdims=True)


@pytest.mark.parametrize("position", [0, 2, 5, -1])
def test_equals_a_loop_over_queries_with_a_choice(position):
    weights = causal_weights()
    p = position % 6
    want = [np.mean([head[i, p] for i in range(6) if i >= p and i > 0]) for head in weights]
    got = sparsity.attention_sink(jnp.asarray(weights, jnp.float32), position)
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_the_first_query_says_nothing():
    """It has no choice: changing its row changes nothing, and no sink gives no mass."""
    nowhere = jnp.eye(5)
    assert sparsity.attention_sink(nowhere) == 0
    assert sparsity.attention_sink(nowhere, is_causal=False) == pytest.approx(1 / 5)
    everywhere = jnp.zeros((5, 5)).at[:, 0].set(1.0)
    assert sparsity.attention_sink(everywhere) == 1


def test_heads_without_preference_give_the_mean_of_the_harmonic_row():
    uniform = np.tri(8) / np.arange(1, 9)[:, None]
    want = np.mean(1 / np.arange(2, 9))
    assert float(sparsity.attention_sink(jnp.asarray(uniform))) == pytest.approx(want, 1e-5)


def test_padding_is_left_out():
    weights = jnp.asarray(causal_weights((2, 6, 6)), jnp.float32)
    mask = (jnp.arange(6) < 4)[:, None] & (jnp.arange(6) < 4)[None]
    want = sparsity.attention_sink(weights[:, :4, :4])
    np.testing.assert_allclose(sparsity.attention_sink(weights, mask=mask), want, atol=1e-6)
    assert (sparsity.attention_sink(weights, mask=jnp.zeros((6, 6), bool)) == 0).all()
    both_ways = sparsity.attention_sink(weights, mask=mask, is_causal=False)
    np.testing.assert_allclose(both_ways, weights[:, :4, 0].mean(-1), atol=1e-6)


def test_reads_what_a_module_sows(key):
    """A key that every query matches draws everything."""
    x = jnp.ones((1, 5, 4)) + 0.01 * jax.random.normal(key, (1, 5, 4))
    module = MultiHeadAttention(2, attention=dot_product_attention)
    variables = module.init(key, x)
    bias = jnp.zeros((5, 5)).at[:, 0].set(50.0)
    _, sown = module.apply(variables, x, bias=bias, is_causal=True, mutable=["intermediates"])
    (weights,) = sown["intermediates"]["attention_weights"]
    sinks = jax.vmap(sparsity.attention_sink)(weights)
    np.testing.assert_allclose(sinks, jnp.ones((1, 2)), atol=1e-6)
