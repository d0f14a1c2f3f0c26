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
    drive = 0.4 + 0.4 * jax.random.normal(key, (40, 5))

    def step(state, x):
        return spiking.adaptive_step(state, x, 0.85, 0.95, 0.3, threshold=0.9, reset=reset)

    state, spikes = spiking.run(step, spiking.adaptive_init((5,)), drive)
    want, v, a = reference.adaptive(np.asarray(drive, float), 0.85, 0.95, 0.3, 0.9, wanted)
    plain, _ = reference.leaky(np.asarray(drive, float), 0.85, 0.9, wanted)
    assert want.sum() < plain.sum()  # adaptation raises, not lowers, the threshold
    np.testing.assert_array_equal(spikes, want)
    np.testing.assert_allclose(state.v, v, atol=1e-5)
    np.testing.assert_allclose(state.adaptation, a, atol=1e-5)


def test_constant_drive_is_answered_ever_more_slowly():
    _, spikes = spiking.run(
        spiking.adaptive_step, spiking.adaptive_init((1,)), jnp.full((200, 1), 0.4), 0.9, 0.99, 0.2
    )
    intervals = np.diff(np.flatnonzero(spikes[:, 0]))
    assert len(intervals) >= 5
    assert intervals[-1] > intervals[0]


def test_without_strength_it_is_the_leaky_neuron(key):
    drive = jax.random.normal(key, (2, 9, 3))
    _, spikes = spiking.run(
        spiking.adaptive_step, spiking.adaptive_init((2, 3)), drive, 0.9, 0.95, 0.0
    )
    np.testing.assert_array_equal(spikes, spiking.leaky_sequence(drive, 0.9)[1])


def test_cell_under_rnn_equals_the_scan(key):
    drive = 0.5 + jax.random.normal(key, (2, 9, 3))
    cell = spiking.AdaptiveCell(0.8, 0.95, 0.3, learn_decay=True, learn_threshold=True)
    rnn = nn.RNN(cell)
    variables = rnn.init(key, drive)
    names = {"decay_logit", "adaptation_decay_logit", "threshold_raw"}
    assert set(variables["params"]["cell"]) == names
    _, want = spiking.run(
        spiking.adaptive_step, spiking.adaptive_init((2, 3)), drive, 0.8, 0.95, 0.3
    )
    np.testing.assert_array_equal(rnn.apply(variables, drive), want)
