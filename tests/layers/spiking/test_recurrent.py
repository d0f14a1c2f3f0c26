import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnn.layers import spiking


def test_equals_a_numpy_loop(key):
    drive = 0.3 + 0.5 * jax.random.normal(key, (12, 4))
    rnn = nn.RNN(spiking.RecurrentCell(spiking.LeakyCell(decay=0.8)))
    params = rnn.init(key, drive)["params"]
    kernel = np.asarray(params["cell"]["feedback"]["kernel"], float)
    assert kernel.shape == (4, 4)
    v = s = np.zeros(4)
    want = []
    for x in np.asarray(drive, float):
        u = 0.8 * v + x + s @ kernel
        s = (u > 1).astype(float)
        v = u - s
        want.append(s)
    np.testing.assert_array_equal(rnn.apply({"params": params}, drive), want)


def test_without_feedback_it_is_the_cell_itself_and_with_it_not(key):
    drive = 0.3 + jax.random.normal(key, (12, 4))
    rnn = nn.RNN(spiking.RecurrentCell(spiking.AdaptiveCell(learn_decay=True)))
    params = rnn.init(key, drive)["params"]
    kept = rnn.apply({"params": params}, drive)
    inner = nn.RNN(spiking.AdaptiveCell()).apply({}, drive)
    params["cell"]["feedback"]["kernel"] = jnp.zeros((4, 4))
    np.testing.assert_array_equal(rnn.apply({"params": params}, drive), inner)
    assert not np.array_equal(kept, inner)
