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


def test_a_fraction_turns_the_first_features_as_if_they_were_all(key):
    x = jax.random.normal(key, (2, 5, 3, 16))
    got = position.rotary_embedding(x, jnp.arange(5), fraction=0.25)
    np.testing.assert_array_equal(got[..., 4:], x[..., 4:])
    want = position.rotary_embedding(x[..., :4], jnp.arange(5))
    np.testing.assert_array_equal(got[..., :4], want)
    assert not np.allclose(got[:, 1:, :, :4], x[:, 1:, :, :4], atol=1e-2)


def test_given_frequencies_replace_those_of_the_base(key):
    x = jax.random.normal(key, (2, 3, 1, 6))
    own = position.rotary_frequencies(6, base=50.0)
    got = position.rotary_embedding(x, jnp.arange(3), frequencies=own)
    want = position.rotary_embedding(x, jnp.arange(3), base=50.0)
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_products_grow_by_the_square_of_the_attention_factor(key):
    query, key_ = jax.random.normal(key, (2, 4, 1, 8))

    def products(factor):
        turned = (
            position.rotary_embedding(x, jnp.arange(4), fraction=0.5, attention_factor=factor)
            for x in (query, key_)
        )
        return [jnp.einsum("qhd,khd->qk", *part) for part in zip(*map(halves, turned), strict=True)]

    def halves(x):
        return x[..., :4], x[..., 4:]

    for part, factor in zip(zip(products(1.0), products(1.5), strict=True), (2.25, 1), strict=True):
        np.testing.assert_allclose(part[1], factor * part[0], rtol=1e-5)
