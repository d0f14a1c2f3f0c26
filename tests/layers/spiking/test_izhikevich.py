import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import spiking


@functools.partial(jax.jit, static_argnames="parameters")
def simulate(drive, parameters):
    step = functools.partial(spiking.izhikevich_step, parameters=parameters)
    state = spiking.izhikevich_init((1,), parameters=parameters)
    return spiking.run(step, state, drive, record=True)[1]


def reference(drive, a, b, c, d, dt=0.5):
    v, u, fired = -65.0, b * -65.0, []
    for current in drive:
        v = v + dt * (0.04 * v * v + 5 * v + 140 - u + current)
        u = u + dt * a * (b * min(v, 30.0) - u)
        fired.append(v > 30)
        if v > 30:
            v, u = c, u + d
    return np.array(fired), u


def intervals(parameters, milliseconds=600, current=10.0):
    spikes, _ = simulate(jnp.full((2 * milliseconds, 1), current), parameters)
    return np.diff(np.flatnonzero(spikes[:, 0])) / 2


@pytest.mark.parametrize("name", ["REGULAR_SPIKING", "CHATTERING", "FAST_SPIKING"])
def test_equals_a_loop(name):
    parameters = getattr(spiking, name)
    drive = np.full(200, 10.0)
    fired, u = reference(drive, *parameters)
    spikes, states = simulate(jnp.asarray(drive, jnp.float32)[:, None], parameters)
    assert fired.sum() >= 3
    np.testing.assert_array_equal(spikes[:, 0], fired)
    # The upstroke multiplies float32's rounding some hundred times a spike.
    np.testing.assert_allclose(states.recovery[-1, 0], u, rtol=1e-2)


def test_presets_behave_as_named():
    """The paper's figure 2: adaptation, bursts of different make-up, fast firing without it."""
    regular, fast = intervals(spiking.REGULAR_SPIKING), intervals(spiking.FAST_SPIKING)
    assert regular[-1] > 1.5 * regular[0]  # adapts
    assert fast.mean() < regular[-1] / 2  # fires fast,
    assert fast[-1] < 1.5 * fast[1]  # without adaptation
    chattering = intervals(spiking.CHATTERING)
    assert chattering[5:].max() > 4 * chattering[5:].min()  # bursts, again and again
    bursting = intervals(spiking.INTRINSICALLY_BURSTING)
    assert bursting[0] < 0.5 * bursting[-1]  # one burst,
    assert bursting[-1] < 1.5 * bursting[-4:].min()  # then single spikes
    low = intervals(spiking.LOW_THRESHOLD_SPIKING)
    assert low.mean() < regular.mean()


def test_rest_is_a_fixed_point_and_hyperpolarised_thalamic_cells_rebound():
    spikes, states = simulate(jnp.zeros((400, 1)), spiking.REGULAR_SPIKING)
    assert not spikes.any()
    np.testing.assert_allclose(states.v[-1], -70, atol=0.1)  # 0.04 v² + 4.8 v + 140 = 0
    drive = jnp.concatenate([jnp.full((400, 1), -10.0), jnp.zeros((200, 1))])
    assert simulate(drive, spiking.THALAMO_CORTICAL)[0][400:].any()
    assert not simulate(drive, spiking.REGULAR_SPIKING)[0].any()


def test_resonator_prefers_its_own_frequency():
    """Two brief pulses: fires when their distance fits its oscillation."""
    assert spiking.RESONATOR.b > spiking.FAST_SPIKING.b
    _, states = simulate(jnp.zeros((400, 1)).at[100].set(4.0), spiking.RESONATOR)
    v = np.asarray(states.v[102:400, 0]) - np.asarray(states.v[-1, 0])
    assert (np.diff(np.sign(v[np.abs(v) > 1e-3])) != 0).sum() >= 2  # rings about its rest
