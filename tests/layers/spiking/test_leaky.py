import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnn.layers import spiking
from tests.layers.spiking import reference

RESETS = {
    "subtract": (spiking.reset_by_subtraction, reference.subtract),
    "zero": (spiking.reset_to_zero, reference.zero),
    "none": (spiking.no_reset, reference.none),
}


@pytest.fixture
def drive(key):
    """Currents that make units fire in about a third of 30 steps, some of them negative."""
    return 0.3 + 0.5 * jax.random.normal(key, (30, 5))


@pytest.mark.parametrize("name", RESETS)
def test_leaky_equals_a_numpy_loop(drive, name):
    reset, wanted_reset = RESETS[name]
    decay, threshold = jnp.linspace(0.5, 0.95, 5), jnp.linspace(0.6, 1.4, 5)
    state, spikes = spiking.leaky_sequence(drive, decay, threshold=threshold, reset=reset)
    want, v = reference.leaky(
        np.asarray(drive, float), np.asarray(decay), np.asarray(threshold), wanted_reset
    )
    assert 0.1 < want.mean() < 0.9
    np.testing.assert_array_equal(spikes, want)
    np.testing.assert_allclose(state.v, v[-1], atol=1e-5)


@pytest.mark.parametrize("name", RESETS)
def test_integrate_equals_a_numpy_loop(drive, name):
    reset, wanted_reset = RESETS[name]
    step = functools.partial(spiking.integrate_step, threshold=1.25, reset=reset)
    state, spikes = spiking.run(step, spiking.leaky_init((5,)), drive)
    want, v = reference.leaky(np.asarray(drive, float), 1.0, 1.25, wanted_reset)
    np.testing.assert_array_equal(spikes, want)
    np.testing.assert_allclose(state.v, v[-1], atol=1e-4)


def test_below_threshold_the_potential_is_a_geometric_series():
    i, decay = 0.09, 0.9
    step = functools.partial(spiking.leaky_step, decay=decay)
    _, (spikes, states) = spiking.run(
        step, spiking.leaky_init((1,)), jnp.full((40, 1), i), record=True
    )
    t = np.arange(1, 41)
    np.testing.assert_allclose(states.v[:, 0], i * (1 - decay**t) / (1 - decay), rtol=1e-5)
    assert not spikes.any()  # its limit, 0.9, lies below the threshold


@pytest.mark.parametrize(("i", "decay"), [(0.3, 0.9), (0.27, 0.8), (0.7, 0.5)])
def test_firing_period_under_constant_drive(i, decay):
    """Reset to zero: the n-th step fires with i (1 - λ^n) / (1 - λ) > θ for the first time."""
    _, spikes = spiking.leaky_sequence(jnp.full((60, 1), i), decay, reset=spiking.reset_to_zero)
    n = math.floor(math.log(1 - (1 - decay) / i) / math.log(decay)) + 1
    assert np.flatnonzero(spikes[:, 0]).tolist() == list(range(n - 1, 60, n))


@pytest.mark.parametrize(("i", "threshold"), [(0.13, 1.0), (0.4, 0.9), (0.77, 2.0)])
def test_integrate_and_fire_counts_its_drive(i, threshold):
    """What went in is what was spiked plus what remains, and the rate is drive / threshold."""
    step = functools.partial(spiking.integrate_step, threshold=threshold)
    state, spikes = spiking.run(step, spiking.leaky_init((1,)), jnp.full((200, 1), i))
    count = spikes.sum()
    np.testing.assert_allclose(count * threshold + state.v[0], 200 * i, rtol=1e-5)
    assert abs(count / 200 - i / threshold) <= 1 / 200


def test_equality_does_not_fire():
    _, spikes = spiking.leaky_step(
        spiking.leaky_init((2,)), jnp.array([1.0, 1.0 + 1e-6]), 0.5, threshold=1.0
    )
    assert spikes.tolist() == [0, 1]


def test_gradient_through_three_steps_by_hand():
    """Backpropagation through time written out, with every factor other than one."""
    i = jnp.array([0.7, 0.8, 0.4])
    decay, theta, k = 0.9, 1.1, 2.0
    weight = np.array([0.5, -1.3, 0.7])

    def loss(i, decay, theta):
        _, spikes = spiking.leaky_sequence(
            i[:, None],
            decay,
            threshold=theta,
            surrogate=functools.partial(spiking.fast_sigmoid, slope=k),
        )
        return jnp.sum(spikes[:, 0] * jnp.asarray(weight, jnp.float32))

    got = jax.grad(loss, argnums=(0, 1, 2))(i, jnp.array(decay), jnp.array(theta))

    u1 = 0.7
    v1 = u1  # 0.7 stays below 1.1
    u2 = 0.9 * v1 + 0.8  # 1.43 fires
    v2 = u2 - theta
    u3 = 0.9 * v2 + 0.4  # 0.697 does not
    h1, h2, h3 = (1 / (1 + k * abs(u - theta)) ** 2 for u in (u1, u2, u3))
    du3 = weight[2] * h3
    du2 = weight[1] * h2 + decay * du3 * (1 - theta * h2)
    du1 = weight[0] * h1 + decay * du2 * (1 - theta * h1)
    ddecay = du2 * v1 + du3 * v2
    # u enters spikes as u - θ; the reset v = u - θ s holds θ once more.
    dtheta = (
        -weight[0] * h1 - weight[1] * h2 - weight[2] * h3
        + decay * du2 * theta * h1
        + decay * du3 * (-1 + theta * h2)
    )  # fmt: skip
    np.testing.assert_allclose(got[0], [du1, du2, du3], rtol=1e-5)
    np.testing.assert_allclose(got[1], ddecay, rtol=1e-5)
    np.testing.assert_allclose(got[2], dtheta, rtol=1e-5)


def test_no_gradient_through_a_detached_reset():
    i = jnp.array([0.7, 0.8])

    def last(i, reset):
        return spiking.leaky_sequence(i[:, None], 0.9, reset=reset)[1][-1, 0]

    def detached(u, s, theta):
        return spiking.reset_by_subtraction(u, jax.lax.stop_gradient(s), theta)

    def bump(u):
        return 1 / (1 + 25 * abs(u - 1)) ** 2

    u2 = 0.9 * 0.7 + 0.8
    np.testing.assert_allclose(jax.grad(last)(i, detached)[0], 0.9 * bump(u2), rtol=1e-4)
    through = jax.grad(last)(i, spiking.reset_by_subtraction)[0]
    np.testing.assert_allclose(through, 0.9 * bump(u2) * (1 - bump(0.7)), rtol=1e-4)


def test_scan_equals_repeated_steps_on_any_time_axis(key):
    drive = jax.random.normal(key, (2, 6, 3))
    state, spikes = spiking.leaky_sequence(drive, 0.9)
    again, loop = spiking.leaky_init((2, 3)), []
    for t in range(6):
        again, s = spiking.leaky_step(again, drive[:, t], 0.9)
        loop.append(s)
    np.testing.assert_array_equal(spikes, jnp.stack(loop, 1))
    np.testing.assert_allclose(state.v, again.v, atol=1e-6)
    _, first = spiking.leaky_sequence(jnp.moveaxis(drive, 1, 0), 0.9, time_axis=0)
    np.testing.assert_array_equal(jnp.moveaxis(first, 0, 1), spikes)


def test_a_sequence_can_be_cut_in_two(key):
    drive = jax.random.normal(key, (7, 3))
    whole, spikes = spiking.leaky_sequence(drive, 0.9)
    state, first = spiking.leaky_sequence(drive[:3], 0.9)
    state, second = spiking.leaky_sequence(drive[3:], 0.9, state=state)
    np.testing.assert_array_equal(spikes, jnp.concatenate([first, second]))
    np.testing.assert_array_equal(whole.v, state.v)


def test_later_drives_do_not_reach_earlier_spikes(key):
    drive = jax.random.normal(key, (5, 1))
    influence = jax.jacobian(lambda d: spiking.leaky_sequence(d, 0.9)[1][:, 0])(drive)[..., 0]
    assert not np.triu(influence, 1).any()
    assert (np.diag(influence) > 0).all()


def test_rnn_and_module_equal_the_sequence(key):
    drive = jax.random.normal(key, (2, 6, 3))
    module = spiking.Leaky(learn_decay=True, learn_threshold=True)
    variables = module.init(key, drive)
    assert set(variables["params"]) == {"decay_logit", "threshold_raw"}
    _, want = spiking.leaky_sequence(drive, 0.9)
    np.testing.assert_array_equal(module.apply(variables, drive), want)
    rnn = nn.RNN(spiking.LeakyCell(learn_decay=True, learn_threshold=True))
    again = rnn.apply({"params": {"cell": variables["params"]}}, drive)
    np.testing.assert_array_equal(again, want)
    np.testing.assert_array_equal(nn.RNN(spiking.LeakyCell()).apply({}, drive), want)


def test_learned_parameters_start_where_told_and_stay_in_range(key):
    module = spiking.Leaky(decay=0.7, threshold=0.4, learn_decay=True, learn_threshold=True)
    params = module.init(key, jnp.ones((2, 3)))["params"]
    np.testing.assert_allclose(jax.nn.sigmoid(params["decay_logit"]), 0.7, rtol=1e-5)
    np.testing.assert_allclose(jax.nn.softplus(params["threshold_raw"]), 0.4, rtol=1e-5)


def test_module_sows_spikes_and_membrane(key):
    drive = jax.random.normal(key, (2, 6, 3))
    spikes, sown = spiking.Leaky().apply({}, drive, mutable=["intermediates"])
    want, v = reference.leaky(np.asarray(drive[0], float), 0.9)
    np.testing.assert_array_equal(sown["intermediates"]["spikes"][0], spikes)
    np.testing.assert_array_equal(spikes[0], want)
    np.testing.assert_allclose(sown["intermediates"]["membrane"][0][0], v, atol=1e-5)


def test_bfloat16_drives_keep_a_float32_membrane():
    """Steps of 1/256 added to nearly one: a bfloat16 potential would stop at 1."""
    drive = jnp.full((400, 1), 1 / 256, jnp.bfloat16)
    state, spikes = spiking.leaky_sequence(drive, 1.0)
    assert state.v.dtype == jnp.float32
    assert spikes.dtype == jnp.bfloat16
    assert np.flatnonzero(spikes[:, 0]).tolist() == [256]
