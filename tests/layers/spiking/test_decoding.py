import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.layers import spiking

SPIKES = jnp.array([[0, 0, 1], [1, 0, 0], [0, 0, 1], [1, 0, 1]], jnp.float32)


def test_counts_and_times():
    assert spiking.spike_count(SPIKES).tolist() == [2, 0, 3]
    assert spiking.first_spike_time(SPIKES).tolist() == [1, 4, 0]
    assert spiking.first_spike_time(SPIKES.T, time_axis=-1).tolist() == [1, 4, 0]
    assert spiking.spike_count(SPIKES.T, time_axis=1).tolist() == [2, 0, 3]


def test_membrane_readouts_and_their_gradients(key):
    v = jax.random.normal(key, (2, 6, 3))
    np.testing.assert_allclose(spiking.membrane_mean(v), np.mean(v, 1), atol=1e-6)
    np.testing.assert_array_equal(spiking.membrane_max(v), np.max(v, 1))
    gradient = jax.grad(lambda v: spiking.membrane_max(v).sum())(v)
    np.testing.assert_array_equal(gradient, v == v.max(1, keepdims=True))


def test_long_bfloat16_trains_are_counted_in_float32():
    """A running bfloat16 count would stop at 256."""
    assert spiking.spike_count(jnp.ones((1024, 1), jnp.bfloat16)).item() == 1024


def test_rate_penalty_touches_only_units_above_the_target():
    want = ((0.5 - 0.4) ** 2 + (0.75 - 0.4) ** 2) / 3
    np.testing.assert_allclose(spiking.spike_rate_penalty(SPIKES, target=0.4), want, rtol=1e-5)
    gradient = jax.grad(lambda s: spiking.spike_rate_penalty(s, target=0.4))(SPIKES)
    wanted = np.array([2 * 0.1, 0, 2 * 0.35]) / 3 / 4
    np.testing.assert_allclose(gradient, np.tile(wanted, (4, 1)), rtol=1e-5)
