import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnn.layers import spiking


def test_equals_the_convolution_with_powers_of_the_decay(key):
    drive, decay = jax.random.normal(key, (25, 4)), np.array([0.0, 0.3, 0.9, 1.0])
    state, v = spiking.leaky_integrator_sequence(drive, jnp.asarray(decay, jnp.float32))
    columns = [
        np.convolve(np.asarray(drive[:, j], float), decay[j] ** np.arange(25))[:25]
        for j in range(4)
    ]
    np.testing.assert_allclose(v, np.stack(columns, 1), atol=1e-5)
    np.testing.assert_allclose(state.v, v[-1], atol=1e-6)


def test_gradient_is_the_convolution_backwards(key):
    """It is linear, so the gradient of the last potential is the powers, latest first."""
    drive = jax.random.normal(key, (6, 1))
    gradient = jax.grad(lambda d: spiking.leaky_integrator_sequence(d, 0.8)[1][-1, 0])(drive)
    np.testing.assert_allclose(gradient[:, 0], 0.8 ** np.arange(5, -1, -1.0), rtol=1e-5)


def test_module_and_rnn_equal_the_sequence(key):
    drive = jax.random.normal(key, (2, 6, 3))
    module = spiking.LeakyIntegrator(decay=0.7, learn_decay=True)
    variables = module.init(key, drive)
    _, want = spiking.leaky_integrator_sequence(drive, 0.7)
    np.testing.assert_allclose(module.apply(variables, drive), want, atol=1e-6)
    rnn = nn.RNN(spiking.LeakyIntegratorCell(decay=0.7, learn_decay=True))
    again = rnn.apply({"params": {"cell": variables["params"]}}, drive)
    np.testing.assert_allclose(again, want, atol=1e-6)
    major = spiking.LeakyIntegrator(decay=0.7, time_axis=0).apply({}, jnp.moveaxis(drive, 1, 0))
    np.testing.assert_allclose(jnp.moveaxis(major, 0, 1), want, atol=1e-6)
