import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import spiking


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_saturated_units_fire_every_steps_plus_one(steps):
    step = spiking.refractory(spiking.integrate_step, steps=steps)
    state = spiking.refractory_init(spiking.leaky_init((1,)))
    _, spikes = spiking.run(step, state, jnp.full((20, 1), 5.0))
    assert np.flatnonzero(spikes[:, 0]).tolist() == list(range(0, 20, steps + 1))


def test_equals_a_numpy_loop(key):
    drive = 0.5 + jax.random.normal(key, (40, 5))
    step = spiking.refractory(spiking.leaky_step, steps=2)
    state = spiking.refractory_init(spiking.leaky_init((5,)))
    state, spikes = spiking.run(step, state, drive, 0.9)
    want, last = np.zeros((40, 5)), np.zeros(5)
    for unit in range(5):
        v, held = 0.0, 0
        for t in range(40):
            if held:
                held -= 1
                continue
            v = 0.9 * v + float(drive[t, unit])
            if v > 1:
                v, held, want[t, unit] = v - 1, 2, 1
        last[unit] = v
    np.testing.assert_array_equal(spikes, want)
    np.testing.assert_allclose(state.inner.v, last, atol=1e-5)


def test_without_rest_it_is_the_neuron_itself(key):
    drive = jax.random.normal(key, (9, 3))
    step = spiking.refractory(spiking.leaky_step, steps=0)
    state = spiking.refractory_init(spiking.leaky_init((3,)))
    _, spikes = spiking.run(step, state, drive, 0.9)
    np.testing.assert_array_equal(spikes, spiking.leaky_sequence(drive, 0.9)[1])
