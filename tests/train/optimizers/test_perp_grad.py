import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnn.train import optimizers


def projected(gradients, params):
    tx = optimizers.perp_grad()
    return tx.update(gradients, tx.init(params), params)[0]


def test_each_tensor_loses_its_own_direction():
    """Against least squares: what a regression of g on θ leaves."""
    rng = np.random.default_rng(0)
    params = {"kernel": np.float32(rng.normal(size=(4, 3))), "bias": np.float32(rng.normal(size=3))}
    gradients = jax.tree.map(lambda p: np.float32(p + rng.normal(size=p.shape)), params)
    got = projected(*jax.tree.map(jnp.asarray, (gradients, params)))
    for name, theta in params.items():
        column, g = theta.reshape(-1, 1).astype(np.float64), gradients[name].ravel()
        want = g - column[:, 0] * np.linalg.lstsq(column, g)[0]
        np.testing.assert_allclose(got[name].ravel(), want, atol=1e-6)
        assert abs(got[name].ravel() @ theta.ravel()) < 1e-5
        assert abs(gradients[name].ravel() @ theta.ravel()) > 1


def test_extremes():
    g = jnp.array([1.0, 2.0])
    np.testing.assert_array_equal(projected(g, jnp.zeros(2)), g)
    np.testing.assert_allclose(projected(g, jnp.array([1e37, 0.0])), [0, 2])
    np.testing.assert_allclose(projected(g, jnp.array([0.0, 1e-36])), [1, 0])
    assert projected(jnp.ones(()), jnp.ones(())) == 0
    assert projected(jnp.ones(0), jnp.ones(0)).shape == (0,)


def test_plain_descent_keeps_the_norm_to_second_order():
    """θ grows only by Pythagoras, whatever the loss pulls at."""
    params, g = jnp.array([3.0, 4.0]), jnp.array([-3.0, -5.0])
    tx = optax.chain(optimizers.perp_grad(), optax.sgd(0.1))
    updates, _ = tx.update(g, tx.init(params), params)
    perp = np.array([-3.0, -5.0]) + 29 / 25 * np.array([3.0, 4.0])
    after = optax.apply_updates(params, updates)
    np.testing.assert_allclose((after**2).sum(), 25 + 0.01 * (perp**2).sum(), rtol=1e-6)


def test_parameters_are_needed():
    tx = optimizers.perp_grad()
    with pytest.raises(ValueError, match="perp_grad: `params` is None; it needs the parameters"):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)))
