import jax.numpy as jnp
import numpy as np

from jaxnn.layers import operator


def test_equals_a_loop():
    random = np.random.default_rng(0)
    branch, bias = random.normal(size=(3, 2, 4)), random.normal(size=2)
    own = random.normal(size=(3, 5, 2, 4))
    for trunk in (own, own[0]):
        want = np.zeros((3, 5, 2))
        for n, q, o in np.ndindex(*want.shape):
            places = trunk[n] if trunk.ndim == 4 else trunk
            want[n, q, o] = sum(branch[n, o, k] * places[q, o, k] for k in range(4)) + bias[o]
        got = operator.deep_onet(*(jnp.asarray(a, jnp.float32) for a in (branch, trunk, bias)))
        np.testing.assert_allclose(got, want, atol=1e-5)
