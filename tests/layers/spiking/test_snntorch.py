"""Parity with snntorch's neurons, step by step, on drives that make them fire."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnn.layers import spiking

torch = pytest.importorskip("torch")
snntorch = pytest.importorskip("snntorch")


@pytest.fixture
def drive(key):
    return 0.25 + 0.3 * jax.random.normal(key, (40, 6))


def theirs(neuron, drive):
    """Run a neuron of theirs over time; give its spikes and potentials."""
    state, spikes, potentials = [], [], []
    with torch.no_grad():
        for i in np.asarray(drive):
            spike, *state = neuron(torch.tensor(i[None]), *state)
            spikes.append(spike.numpy()[0])
            potentials.append(state[-1].numpy()[0])
    assert 0.05 < np.mean(spikes) < 0.9
    return np.array(spikes), np.array(potentials)


def ours(step, state, drive):
    _, (spikes, states) = jax.jit(functools.partial(spiking.run, step, record=True))(state, drive)
    return spikes, states.v


def assert_same(got, want):
    np.testing.assert_array_equal(got[0], want[0])
    np.testing.assert_allclose(got[1], want[1], atol=1e-5)


@pytest.mark.parametrize(
    ("reset", "name"),
    [
        (spiking.reset_by_subtraction, "subtract"),
        (spiking.reset_to_zero, "zero"),
        (spiking.no_reset, "none"),
    ],
)
def test_leaky(drive, reset, name):
    want = theirs(snntorch.Leaky(0.8, reset_mechanism=name, reset_delay=False), drive)
    step = functools.partial(spiking.leaky_step, decay=0.8, reset=reset)
    assert_same(ours(step, spiking.leaky_init((6,)), drive), want)


def test_synaptic(drive):
    want = theirs(snntorch.Synaptic(0.5, 0.8, reset_delay=False), drive / 2)
    step = functools.partial(spiking.synaptic_step, current_decay=0.5, decay=0.8)
    assert_same(ours(step, spiking.synaptic_init((6,)), drive / 2), want)


def test_alpha(drive):
    want = theirs(snntorch.Alpha(0.9, 0.8), drive)
    step = functools.partial(spiking.alpha_step, slow_decay=0.9, fast_decay=0.8)
    assert_same(ours(step, spiking.alpha_init((6,)), drive), want)


def test_lapicque(drive):
    """Their reset comes a step late, undecayed: take θ / λ off at once, and put it back to see."""
    r, c, dt = 2.0, 1.5, 0.5
    decay = 1 - dt / (r * c)

    def late(u, s, theta):
        return u - theta / decay * s

    options = {"resistance": r, "capacitance": c, "time_step": dt}
    neuron = snntorch.Lapicque(R=r, C=c, time_step=dt)
    spikes, v = ours(
        functools.partial(spiking.lapicque_step, reset=late, **options),
        spiking.leaky_init((6,)),
        3 * drive,
    )
    assert_same((spikes, v + spikes / decay), theirs(neuron, 3 * drive))
    neuron = snntorch.Lapicque(R=r, C=c, time_step=dt, reset_mechanism="none")
    step = functools.partial(spiking.lapicque_step, reset=spiking.no_reset, **options)
    assert_same(ours(step, spiking.leaky_init((6,)), 3 * drive), theirs(neuron, 3 * drive))


def late(u, s, theta):
    """Their reset of a step later: θ is taken off undecayed."""
    return u - theta / 0.8 * s


# With a reset within the step, their RLeaky does not fire where the potential was left above the
# threshold unless it is above it by another, and their RSynaptic fails.
@pytest.mark.parametrize(
    ("neuron", "cell", "options"),
    [
        (
            "RLeaky",
            spiking.LeakyCell(0.8, reset=spiking.reset_to_zero),
            {"reset_delay": False, "reset_mechanism": "zero"},
        ),
        ("RLeaky", spiking.LeakyCell(0.8, reset=late), {}),
        ("RSynaptic", spiking.SynapticCell(0.5, 0.8, reset=late), {}),
        (
            "RSynaptic",
            spiking.SynapticCell(0.5, 0.8, reset=spiking.no_reset),
            {"reset_mechanism": "none"},
        ),
    ],
)
def test_recurrent(drive, neuron, cell, options):
    """Theirs add a bias to what comes back, from the first step on; here it is in the drive."""
    drive = drive / (2 if neuron == "RSynaptic" else 1)
    torch.manual_seed(0)
    decays = (0.5, 0.8) if neuron == "RSynaptic" else (0.8,)
    net = getattr(snntorch, neuron)(*decays, linear_features=6, init_hidden=True, **options)
    with torch.no_grad():
        want = np.array([net(torch.tensor(i[None])).numpy()[0] for i in np.asarray(drive)])
    weight, bias = (p.detach().numpy() for p in (net.recurrent.weight, net.recurrent.bias))
    params = {"cell": {"feedback": {"kernel": jnp.asarray(weight.T)}}}
    rnn = nn.RNN(spiking.RecurrentCell(cell))
    got = rnn.apply({"params": params}, drive + jnp.asarray(bias)[None])
    assert 0.05 < want.mean() < 0.9
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("surrogate", "their_name", "slope"),
    [
        (spiking.fast_sigmoid, "fast_sigmoid", 25.0),
        (spiking.arctan, "atan", 2.0),
        (spiking.sigmoid, "sigmoid", 25.0),
    ],
)
def test_surrogates(surrogate, their_name, slope):
    x = np.linspace(-1, 1, 9, dtype=np.float32)
    tensor = torch.tensor(x, requires_grad=True)
    getattr(snntorch.surrogate, their_name)(slope)(tensor).sum().backward()
    got = jax.grad(lambda x: surrogate(x, slope=slope).sum())(jnp.asarray(x))
    np.testing.assert_allclose(got, tensor.grad.numpy(), atol=1e-5)
