import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax

from jaxnn.train import losses

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(6, 4)).astype(np.float32)
Y = RNG.integers(0, 4, 6)
T = (RNG.normal(size=(6, 3, 5)) * np.arange(1, 7)[:, None, None]).astype(np.float32)


def weights(alpha, beta):
    """Example by example, from the paper."""
    spread = []
    for t in T.astype(np.float64):
        t = t.ravel()
        spread.append(sum((one - sum(t) / 15) ** 2 for one in t) / 14)
    low, high = min(spread), max(spread)
    return np.array([np.exp(alpha * (s - low) / (high - low)) - beta for s in spread])


@pytest.mark.parametrize(("alpha", "beta"), [(0.3, 0.3), (1.0, 0.7), (0.0, 0.5)])
def test_value_and_gradients(alpha, beta):
    def loss(z, t):
        values = losses.bias_loss((z, t), jnp.asarray(Y), alpha=alpha, beta=beta)
        return values.sum(), values

    (to_z, to_t), values = jax.grad(loss, (0, 1), has_aux=True)(jnp.asarray(Z), jnp.asarray(T))
    w, log_p = weights(alpha, beta), log_softmax(Z.astype(np.float64), axis=-1)
    np.testing.assert_allclose(values, -w * log_p[np.arange(6), Y], rtol=1e-5)
    np.testing.assert_allclose(to_z, w[:, None] * (np.exp(log_p) - np.eye(4)[Y]), atol=1e-6)
    assert not np.any(to_t)


def test_equal_features_weigh_alike():
    same = jnp.stack([jnp.roll(jnp.asarray(T[0]), i) for i in range(6)])  # equal but for rounding
    found = losses.bias_loss((jnp.asarray(Z), same), jnp.asarray(Y), beta=0.2)
    plain = losses.cross_entropy(jnp.asarray(Z), jnp.asarray(Y))
    np.testing.assert_allclose(found, 0.8 * plain, rtol=1e-6)
    none = losses.bias_loss((jnp.ones((0, 2)), jnp.ones((0, 3))), jnp.zeros(0, int))
    assert none.shape == (0,)
