import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.layers import feedforward

RNG = np.random.default_rng(0)
X, W = RNG.normal(size=(7, 5)), RNG.normal(size=(5, 4))
both = jax.jit(
    lambda x, w: feedforward.cosine_logits(x, w, scale=16.0),
)


def test_equals_cosines_and_lengths_count_for_nothing():
    want = 16 * (X @ W) / np.linalg.norm(X, axis=1)[:, None] / np.linalg.norm(W, axis=0)[None]
    x, w = jnp.asarray(X, jnp.float32), jnp.asarray(W, jnp.float32)
    lengths = jnp.asarray(RNG.uniform(0.1, 9, 4), jnp.float32)[None, :]
    for scaled in ((x, w), (1e-30 * x, w * lengths), (1e30 * x, 1e30 * w)):
        np.testing.assert_allclose(both(*scaled), want, rtol=1e-4, atol=1e-4)
    pull = jax.grad(lambda x: jnp.sum(both(x, w) ** 2))(x)
    # A longer x changes nothing: the slope is across x.
    np.testing.assert_allclose(jnp.sum(pull * x, axis=1), 0, atol=1e-3)
    assert jnp.abs(pull).min() > 1e-3


def test_zeros_have_no_angle():
    values, pull = jax.value_and_grad(lambda x: both(x, jnp.asarray(W, jnp.float32)).sum())(
        jnp.zeros((7, 5))
    )
    assert values == 0
    np.testing.assert_array_equal(pull, 0)
