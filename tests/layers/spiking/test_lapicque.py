import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.layers import spiking


def test_charges_as_the_circuit_does():
    """Halving the step halves the distance from R i (1 - exp(-t / RC)): first order."""
    r, c, i, end = 2.0, 3.0, 0.3, 6.0
    exact, errors = r * i * (1 - np.exp(-end / (r * c))), []
    for steps in (50, 100, 200):
        step = functools.partial(
            spiking.lapicque_step, resistance=r, capacitance=c, time_step=end / steps
        )
        state, spikes = spiking.run(step, spiking.leaky_init((1,)), jnp.full((steps, 1), i))
        assert not spikes.any()
        errors.append(abs(float(state.v[0]) - exact))
    np.testing.assert_allclose(np.array(errors[:2]) / errors[1:], 2, rtol=0.02)


def test_is_the_leaky_neuron_in_other_units(key):
    drive = jax.random.normal(key, (12, 3))
    r, c = jnp.array([1.0, 2.0, 4.0]), jnp.array([2.0, 3.0, 1.5])
    step = functools.partial(spiking.lapicque_step, time_step=0.5, threshold=0.3)
    _, spikes = spiking.run(step, spiking.leaky_init((3,)), drive, r, c)
    _, want = spiking.leaky_sequence(0.5 * drive / c[None], 1 - 0.5 / (r * c), threshold=0.3)
    assert want.any()
    np.testing.assert_array_equal(spikes, want)


def test_parametric_rate_averages_the_drive(key):
    """τ = 4: a constant drive is approached as 1 - (3/4)^t; the start is as told."""
    cell = spiking.ParametricLeakyCell(4.0)
    state = spiking.leaky_init((2,))
    variables = cell.init(key, state, jnp.zeros(2))
    np.testing.assert_allclose(jax.nn.sigmoid(variables["params"]["rate_logit"]), 0.25, rtol=1e-5)
    for t in range(1, 6):
        state, spikes = cell.apply(variables, state, jnp.full(2, 0.9))
        np.testing.assert_allclose(state.v, 0.9 * (1 - 0.75**t), rtol=1e-5)
        assert not spikes.any()
    _, spikes = cell.apply(variables, state, jnp.array([9.0, 0.0]))
    assert spikes.tolist() == [1, 0]
    # A faster membrane follows more of a rising drive: the derivative's sign.
    gradient = jax.grad(
        lambda w: spiking.parametric_leaky_step(
            spiking.leaky_init((1,)), jnp.full(1, 0.9), w, reset=spiking.no_reset
        )[0].v[0]
    )(jnp.float32(0.0))
    np.testing.assert_allclose(gradient, 0.9 * 0.25, rtol=1e-5)
