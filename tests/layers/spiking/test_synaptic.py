import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnn.layers import spiking
from tests.layers.spiking import reference


@pytest.mark.parametrize(
    ("reset", "wanted"),
    [
        (spiking.reset_by_subtraction, reference.subtract),
        (spiking.reset_to_zero, reference.zero),
        (spiking.no_reset, reference.none),
    ],
)
def test_equals_a_numpy_loop(key, reset, wanted):
    drive = 0.1 + 0.3 * jax.random.normal(key, (30, 5))

    def step(state, x):
        return spiking.synaptic_step(state, x, 0.6, 0.85, threshold=1.1, reset=reset)

    state, spikes = spiking.run(step, spiking.synaptic_init((5,)), drive)
    want, current, v = reference.synaptic(np.asarray(drive, float), 0.6, 0.85, 1.1, wanted)
    assert want.any()
    assert not want.all()
    np.testing.assert_array_equal(spikes, want)
    np.testing.assert_allclose(state.current, current, atol=1e-5)
    np.testing.assert_allclose(state.v, v, atol=1e-5)


def test_impulse_response_is_the_double_exponential():
    """One input of 1: the potential is Σ_k λ^(t-k) α^k = (λ^(t+1) - α^(t+1)) / (λ - α)."""
    drive = jnp.zeros((12, 1)).at[0].set(0.1)
    _, (_, states) = spiking.run(
        spiking.synaptic_step, spiking.synaptic_init((1,)), drive, 0.5, 0.8, record=True
    )
    t = np.arange(1, 13)
    np.testing.assert_allclose(states.v[:, 0], 0.1 * (0.8**t - 0.5**t) / 0.3, rtol=1e-5)


def test_cell_under_rnn_equals_the_scan_and_reduces_to_leaky(key):
    drive = jax.random.normal(key, (2, 6, 3))
    cell = spiking.SynapticCell(current_decay=0.6, decay=0.8, learn_decay=True)
    rnn = nn.RNN(cell)
    variables = rnn.init(key, drive)
    assert set(variables["params"]["cell"]) == {"current_decay_logit", "decay_logit"}
    _, want = spiking.run(spiking.synaptic_step, spiking.synaptic_init((2, 3)), drive, 0.6, 0.8)
    np.testing.assert_array_equal(rnn.apply(variables, drive), want)
    instant = nn.RNN(spiking.SynapticCell(current_decay=0.0, decay=0.8)).apply({}, drive)
    np.testing.assert_array_equal(instant, spiking.leaky_sequence(drive, 0.8)[1])
    assert not np.array_equal(instant, want)
