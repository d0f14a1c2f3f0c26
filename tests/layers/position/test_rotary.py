import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.layers import position


def test_equals_complex_multiplication(key):
    x = jax.random.normal(key, (2, 5, 3, 8))
    got = position.rotary_embedding(x, jnp.arange(5))
    pairs = np.asarray(x[..., :4]) + 1j * np.asarray(x[..., 4:])
    for t in range(5):
        for i in range(4):
            pairs[:, t, :, i] *= np.exp(1j * t * 10_000 ** (-2 * i / 8))
    np.testing.assert_allclose(got[..., :4], pairs.real, atol=1e-5)
    np.testing.assert_allclose(got[..., 4:], pairs.imag, atol=1e-5)


def test_products_depend_on_the_distance_alone(key):
    query, key_ = jax.random.normal(key, (2, 4, 1, 8))

    def products(offset):
        turned = (position.rotary_embedding(x, jnp.arange(4) + offset) for x in (query, key_))
        return jnp.einsum("qhd,khd->qk", *turned)

    np.testing.assert_allclose(products(0), products(117), atol=1e-4)
    shifted = position.rotary_embedding(query, jnp.arange(4) + 1)
    moved = jnp.einsum("qhd,khd->qk", shifted, position.rotary_embedding(key_, jnp.arange(4)))
    assert not np.allclose(moved, products(0), atol=1e-2)


def test_each_example_may_have_its_own_positions(key):
    x = jax.random.normal(key, (2, 3, 1, 4))
    steps = jnp.array([[0, 1, 2], [7, 8, 9]])
    got = position.rotary_embedding(x, steps)
    for row in range(2):
        want = position.rotary_embedding(x[row], steps[row])
        np.testing.assert_allclose(got[row], want, atol=1e-6)


def test_a_larger_base_turns_more_slowly(key):
    x = jnp.zeros((2, 1, 4)).at[:, 0, 1].set(1.0)
    fast, slow = (position.rotary_embedding(x, jnp.arange(2), base=b) for b in (10.0, 1e4))
    assert fast[1, 0, 3] > slow[1, 0, 3] > 0
