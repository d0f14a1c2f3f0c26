import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import spiking


@pytest.mark.parametrize("time_axis", [0, 1, 2, -1, -3])
def test_time_may_be_any_axis_and_comes_back_there(key, time_axis):
    """A running sum of two numbers a step, against NumPy's."""
    x = jax.random.normal(key, (3, 4, 5))
    start = jnp.zeros_like(jnp.take(x, 0, time_axis))
    add = lambda state, value: (state + value, state + value)  # noqa: E731
    last, (sums, states) = spiking.run(add, start, x, time_axis=time_axis, record=True)
    np.testing.assert_allclose(sums, np.cumsum(x, time_axis), atol=1e-5)
    np.testing.assert_allclose(states, sums)
    np.testing.assert_allclose(last, np.sum(x, time_axis), atol=1e-5)


@pytest.mark.parametrize("truncate", [1, 2, 3, 7])
def test_truncation_cuts_gradients_and_nothing_else(key, truncate):
    """Of the last potential: powers of the decay back to the start of the last chunk."""
    drive = jax.random.normal(key, (7, 1))

    def last(d):
        step = spiking.leaky_integrator_step
        return spiking.run(step, spiking.leaky_init((1,)), d, 0.8, truncate=truncate)[1][-1, 0]

    plain = spiking.leaky_integrator_sequence(drive, 0.8)[1][-1, 0]
    np.testing.assert_allclose(last(drive), plain, rtol=1e-6)
    want = 0.8 ** np.arange(6, -1, -1.0)
    want[: 6 // truncate * truncate] = 0
    np.testing.assert_allclose(jax.grad(last)(drive)[:, 0], want, rtol=1e-5)


def test_unrolling_and_rematerialising_change_nothing(key):
    drive = jax.random.normal(key, (8, 3))

    def total(d, step, unroll):
        _, spikes = spiking.run(step, spiking.leaky_init((3,)), d, 0.9, unroll=unroll)
        return jnp.sum(spikes * jnp.arange(3.0)[None, :])

    plain = jax.grad(total)(drive, spiking.leaky_step, 1)
    for step, unroll in ((spiking.leaky_step, 4), (jax.checkpoint(spiking.leaky_step), 1)):
        np.testing.assert_allclose(jax.grad(total)(drive, step, unroll), plain, atol=1e-6)


def test_parameters_are_passed_on_and_differentiated(key):
    drive = jax.random.normal(key, (5, 2))

    def total(decay):
        step = spiking.leaky_integrator_step
        return spiking.run(step, spiking.leaky_init((2,)), drive, decay)[1][-1].sum()

    t = np.arange(4, -1, -1.0)
    want = (np.asarray(drive).sum(1)[:-1] * (t * 0.5 ** (t - 1))[:-1]).sum()
    np.testing.assert_allclose(jax.grad(total)(jnp.array(0.5)), want, rtol=1e-5)
