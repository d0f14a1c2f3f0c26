import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.train.losses import squared_hinge


def test_equals_a_loop():
    rng = np.random.default_rng(0)
    z, y = (2 * rng.normal(size=(6, 4))).astype(np.float32), rng.integers(0, 4, 6)
    want = [
        sum(max(0, 1 - (1 if c == label else -1) * row[c]) ** 2 for c in range(4))
        for row, label in zip(z, y, strict=True)
    ]
    np.testing.assert_allclose(squared_hinge(jnp.asarray(z), jnp.asarray(y)), want, rtol=1e-5)


def test_gradient_ends_at_the_margin():
    z, y = jnp.array([[3.0, -1.5, 0.5]]), jnp.array([0])
    gradient = jax.grad(lambda z: squared_hinge(z, y).sum())(z)
    np.testing.assert_allclose(gradient, [[0, 0, 3]])
    assert jnp.isnan(squared_hinge(z, jnp.array([3]))).all()
