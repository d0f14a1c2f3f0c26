import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.analysis import sparsity

count = jax.jit(sparsity.softmax_support, static_argnames="mass")


@pytest.mark.parametrize("mass", [0.5, 0.9])
def test_equals_a_loop_over_sorted_weights(key, mass):
    weights = jax.nn.softmax(jax.random.normal(key, (4, 5, 20)))
    got = count(weights, mass=mass)
    want = np.zeros((4, 5), int)
    weights = np.asarray(weights)
    for place in np.ndindex(4, 5):
        row, total = sorted(weights[place].tolist(), reverse=True), 0.0
        while total < mass * sum(row):
            total += row[want[place]]
            want[place] += 1
    assert 1 < want.min() < want.max() < 20
    np.testing.assert_array_equal(got, want)


def test_uniform_single_and_zero_weights():
    for n in (1, 10, 100, 1000):
        uniform = jnp.full(n, 1 / n)
        assert count(uniform) == np.ceil(0.9 * n)
        # Scale does not matter.
        assert count(7 * uniform) == np.ceil(0.9 * n)
    assert count(jnp.eye(5)).tolist() == [1] * 5
    assert count(jnp.zeros((2, 5))).tolist() == [0, 0]


def test_falls_as_the_softmax_sharpens(key):
    logits = jax.random.normal(key, (6, 50))
    sharpness = jnp.array([0.0, 0.5, 1.0, 2.0, 4.0, 1e3])
    counts = count(jax.nn.softmax(sharpness[:, None, None] * logits[None]))
    assert (jnp.diff(counts, axis=0) <= 0).all()
    assert (counts[0] == 45).all()
    assert (counts[2] > 1).all()
    assert (counts[-1] == 1).all()
