import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnn.layers import spiking


def test_response_to_one_input_is_the_difference_of_exponentials():
    """No potential at the input's own step; the difference of powers after it."""
    drive = jnp.zeros((12, 1)).at[0].set(0.5)
    step = functools.partial(spiking.alpha_step, slow_decay=0.9, fast_decay=0.6)
    _, (_, states) = spiking.run(step, spiking.alpha_init((1,)), drive, record=True)
    t, tau = np.arange(12), 1 + np.log(0.9) / (np.log(0.6) - np.log(0.9))
    np.testing.assert_allclose(states.v[:, 0], 0.5 * tau * (0.9**t - 0.6**t), atol=1e-6)


def test_a_unit_that_fired_starts_from_rest(key):
    """A NumPy loop; the step after a spike has lost its currents and its input."""
    drive = 0.4 + 0.3 * jax.random.normal(key, (30, 4))
    cell = nn.RNN(spiking.AlphaCell(0.85, 0.7, threshold=0.8))
    e, h, v = np.zeros((3, 4))
    tau, want = 1 + np.log(0.85) / (np.log(0.7) - np.log(0.85)), []
    for i in np.asarray(drive, float):
        fired = v > 0.8
        e, h = np.where(fired, 0, 0.85 * e + i), np.where(fired, 0, 0.7 * h - i)
        v = tau * (e + h)
        want.append(v > 0.8)
    assert 0.1 < np.mean(want) < 0.6
    np.testing.assert_array_equal(cell.apply({}, drive[None])[0], want)
