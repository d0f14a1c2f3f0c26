import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import spiking

DECAY = jnp.array([0.3, 0.8, 0.95])


@pytest.fixture
def drive():
    random = np.random.default_rng(0)
    return jnp.asarray(0.2 + 0.3 * random.normal(size=(2, 40, 3)), jnp.float32)


def test_leaky_in_parallel_is_leaky_step_by_step(drive):
    """Potentials, spikes, the last state, from a state on, and gradients by the surrogate."""
    start = spiking.LeakyState(drive[:, 3])

    def serial(drive, decay):
        step = functools.partial(spiking.leaky_step, reset=spiking.no_reset, threshold=0.7)
        last, (spikes, states) = spiking.run(step, start, drive, decay, record=True)
        return jnp.sum(jnp.cos(states.v) + 1.5 * spikes), (last.v, spikes)

    def parallel(drive, decay):
        last, spikes = spiking.parallel_leaky(drive, decay, threshold=0.7, state=start)
        # A threshold of v - θ that is read as it is gives the potentials back.
        _, distance = spiking.parallel_leaky(
            drive, decay, threshold=0.7, state=start, surrogate=lambda x: x
        )
        return jnp.sum(jnp.cos(distance + 0.7) + 1.5 * spikes), (last.v, spikes)

    one, two = (
        jax.jit(jax.value_and_grad(f, (0, 1), has_aux=True))(drive, DECAY)
        for f in (serial, parallel)
    )
    (value, (last, spikes)), grads = one
    assert 0.1 < float(spikes.mean()) < 0.9
    np.testing.assert_allclose(two[0][0], value, rtol=1e-5)
    np.testing.assert_allclose(two[0][1][0], last, atol=1e-5)
    np.testing.assert_array_equal(two[0][1][1], spikes)
    for got, want in zip(two[1], grads, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_time_may_be_first(drive):
    _, want = spiking.parallel_leaky(drive, 0.9)
    _, got = spiking.parallel_leaky(jnp.moveaxis(drive, 1, 0), 0.9, time_axis=0)
    np.testing.assert_array_equal(jnp.moveaxis(got, 0, 1), want)
    _, first = spiking.leaky_sequence(drive, 0.9, reset=spiking.no_reset)
    np.testing.assert_array_equal(want, first)


def test_modules_sow_what_they_compute(drive, key):
    layer = spiking.ParallelLeaky(0.8, learn_decay=True)
    same = spiking.Leaky(0.8, learn_decay=True, reset=spiking.no_reset)
    variables = jax.jit(layer.init)(key, drive)
    got, want = (
        jax.jit(functools.partial(each.apply, mutable="intermediates"))(
            {"params": variables["params"]}, drive
        )
        for each in (layer, same)
    )
    np.testing.assert_array_equal(got[0], want[0])
    got, want = (each[1]["intermediates"]["membrane"][0] for each in (got, want))
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_parallel_spiking_is_its_sum(drive):
    """Against NumPy, with thresholds a step, and steps that lie in the future or far back cut."""
    random = np.random.default_rng(1)
    weights = random.normal(size=(40, 40)) / 6
    thetas = random.uniform(0.1, 0.5, 40)
    for order in (None, 1, 5):
        kept = weights.copy()
        for t, r in np.ndindex(40, 40):
            if order is not None and not t - order < r <= t:
                kept[t, r] = 0
        want = np.einsum("tr,bru->btu", kept, np.float64(drive)) - thetas[:, None]
        got = spiking.parallel_spiking(
            drive,
            jnp.asarray(weights, jnp.float32),
            jnp.asarray(thetas, jnp.float32),
            order=order,
            surrogate=lambda x: x,
        )
        np.testing.assert_allclose(got, want, atol=1e-5)


def test_powers_of_the_decay_make_it_a_leaky_neuron(drive):
    lag = np.arange(40)[:, None] - np.arange(40)
    weights = jnp.asarray(0.8 ** np.maximum(lag, 0), jnp.float32)
    got = spiking.parallel_spiking(drive, weights, 0.7, order=40)
    np.testing.assert_array_equal(got, spiking.parallel_leaky(drive, 0.8, threshold=0.7)[1])


def test_parity_with_snntorch(drive):
    """Their kernel is exp(-t / τ) with τ = 1 / (1 - β)."""
    torch = pytest.importorskip("torch")
    snntorch = pytest.importorskip("snntorch")
    if not hasattr(snntorch, "StateLeaky"):
        pytest.skip("this snntorch has no StateLeaky")
    betas = np.array([0.3, 0.8, 0.95], np.float32)
    neuron = snntorch.StateLeaky(torch.tensor(betas), 3)
    with torch.no_grad():
        spikes, potentials = neuron(torch.tensor(np.asarray(drive).swapaxes(0, 1).copy()))
    decay = jnp.exp(jnp.asarray(betas) - 1)
    got = spiking.parallel_leaky(drive, decay)[1]
    np.testing.assert_array_equal(got, spikes.numpy().swapaxes(0, 1))
    distance = spiking.parallel_leaky(drive, decay, surrogate=lambda x: x)[1]
    np.testing.assert_allclose(distance + 1, potentials.numpy().swapaxes(0, 1), atol=1e-5)
