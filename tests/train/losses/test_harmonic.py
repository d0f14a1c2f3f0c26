import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.train.losses import harmonic_loss

Y = jnp.array([2, 0, 1])


def test_equals_the_definition():
    d = np.random.default_rng(0).uniform(0.1, 3, (3, 4))
    for n in (1.0, 5.5):
        p = d**-n / (d**-n).sum(-1, keepdims=True)
        got = harmonic_loss(jnp.asarray(d, jnp.float32), Y, exponent=n)
        np.testing.assert_allclose(got, -np.log(p[np.arange(3), np.asarray(Y)]), rtol=1e-5)


def test_extremes():
    """Only ratios matter; at the label's centre it is 0, at another's finite."""
    d = jnp.array([[1.0, 2.0, 4.0]])
    for scale in (1e-30, 1e30):
        got = harmonic_loss(scale * d, Y[2:], exponent=8.0)
        np.testing.assert_allclose(got, np.log(2.0**8 + 1 + 2.0**-8), rtol=1e-5)
    d = jnp.array([[0.0, 1.0, 1.0]])
    loss = lambda d, y: harmonic_loss(d, y, exponent=8.0).sum()  # noqa: E731
    for y, want in ((0, 0.0), (1, 8 * -np.log(np.finfo(np.float32).tiny))):
        value, gradient = jax.value_and_grad(loss)(d, jnp.array([y]))
        np.testing.assert_allclose(value, want, rtol=1e-5, atol=1e-6)
        assert jnp.isfinite(gradient).all()
    assert jnp.isnan(harmonic_loss(d, jnp.array([3]), exponent=1.0))
