import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnn.layers import normalization


def test_equals_a_numpy_loop():
    rng = np.random.default_rng(0)
    x, scale = 2 + rng.normal(size=(4, 7)), rng.normal(size=7)
    want = np.stack([row / np.sqrt((row**2).mean() + 0.5) for row in x]) * scale
    arrays = [jnp.asarray(v, jnp.float32) for v in (x, scale)]
    got = normalization.rms_norm(*arrays, epsilon=0.5)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_loads_the_parameters_of_flax(key):
    x = jax.random.normal(key, (2, 3, 8)) + 1
    theirs, ours = nn.RMSNorm(), normalization.RMSNorm()
    variables = jax.tree.map(lambda v: v + 0.3, theirs.init(key, x))
    np.testing.assert_allclose(ours.apply(variables, x), theirs.apply(variables, x), atol=1e-6)


def test_does_not_centre_as_layer_norm_does():
    x = jnp.array([1.0, 1.0, 1.0, 1.0])
    np.testing.assert_allclose(normalization.rms_norm(x), x, atol=1e-5)
    np.testing.assert_array_equal(normalization.layer_norm(x), jnp.zeros(4))


def test_is_blind_to_the_length_of_a_row(key):
    x = jax.random.normal(key, (3, 8)) + 1
    got = normalization.rms_norm(100 * x)
    np.testing.assert_allclose(got, normalization.rms_norm(x), rtol=1e-4)
