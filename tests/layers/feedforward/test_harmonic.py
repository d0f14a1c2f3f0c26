import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial.distance import cdist

from jaxnn.layers.feedforward import harmonic_logits

logits = jax.jit(harmonic_logits, static_argnames="exponent")


def draw(key, size=1.0):
    x_key, kernel_key = jax.random.split(key)
    return size * jax.random.normal(x_key, (6, 9)), size * jax.random.normal(kernel_key, (9, 4))


def test_equals_scipy_distances(key):
    x, kernel = draw(key)
    d = cdist(np.asarray(x, np.float64), np.asarray(kernel, np.float64).T)
    np.testing.assert_allclose(logits(x, kernel), -3 * np.log(d), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(logits(x, kernel, exponent=0.5), -0.5 * np.log(d), atol=1e-5)
    # Far from the origin as near it: only differences matter.
    np.testing.assert_allclose(logits(x + 100.0, kernel + 100.0), -3 * np.log(d), atol=1e-3)


def test_scale_changes_no_probability(key):
    x, kernel = draw(key)
    want = jax.nn.softmax(logits(x, kernel))
    for scale in (1e-6, 7.0, 1e6):
        np.testing.assert_allclose(
            jax.nn.softmax(logits(scale * x, scale * kernel)), want, atol=1e-6
        )


def test_at_a_centre(key):
    """Certain, with finite logits and no gradient that could throw it out again."""
    _, kernel = draw(key)
    x = kernel.T
    loss = lambda x, k: -jnp.sum(jnp.diagonal(jax.nn.log_softmax(harmonic_logits(x, k))))  # noqa: E731
    value, gradients = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(x, kernel)
    assert value < 1e-6
    for gradient in gradients:
        np.testing.assert_allclose(gradient, 0, atol=1e-5)
    zeros = logits(jnp.zeros((2, 9)), jnp.zeros((9, 4)))
    assert jnp.isfinite(zeros).all()
