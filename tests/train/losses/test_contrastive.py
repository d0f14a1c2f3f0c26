import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import log_softmax

from jaxnn.train import losses

RNG = np.random.default_rng(0)
X, Y = (jnp.asarray(RNG.normal(size=(8, 3)), jnp.float32) for _ in range(2))
ALIKE = jnp.asarray(RNG.random(8) < 0.5)


def test_contrastive_equals_the_definition():
    d = np.linalg.norm(np.asarray(X - Y, np.float64), axis=-1)
    want = np.where(ALIKE, d**2 / 2, np.maximum(2 - d, 0) ** 2 / 2)
    loss = jax.jit(lambda x, y: losses.contrastive_loss(x, y, ALIKE, margin=2.0))
    np.testing.assert_allclose(loss(X, Y), want, rtol=1e-5, atol=1e-6)
    assert ((want == 0) & ~np.asarray(ALIKE)).any()
    pull = jax.jit(jax.grad(lambda x: loss(x, X).sum()))(X)
    np.testing.assert_array_equal(pull, 0)


@pytest.mark.parametrize("cosine", [False, True])
def test_info_nce_equals_scipys(cosine):
    x, y = (np.asarray(v, np.float64) for v in (X, Y))
    if cosine:
        x, y = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (x, y))
    want = -np.diagonal(log_softmax(x @ y.T / 0.3, axis=-1))
    loss = jax.jit(lambda x: losses.info_nce(x, Y, temperature=0.3, cosine=cosine))
    got = loss(X)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    slope = jax.jit(jax.grad(lambda x: loss(x).sum()))
    assert jnp.isfinite(slope(jnp.zeros_like(X))).all()
    # A longer anchor changes products, not cosines.
    assert np.allclose(loss(3 * X), want) == cosine


def test_ntxent_counts_both_views():
    """Two orthogonal anchors, each its own positive: one negative here, two in NT-Xent."""
    got = losses.info_nce(jnp.eye(2), jnp.eye(2), temperature=0.5, cosine=True)
    np.testing.assert_allclose(got, np.log1p(np.exp(-2.0)), rtol=1e-5)
    twice = jax.jit(optax.losses.ntxent)(jnp.tile(jnp.eye(2), (2, 1)), jnp.arange(4) % 2, 0.5)
    np.testing.assert_allclose(twice, np.log1p(2 * np.exp(-2.0)), rtol=1e-5)
