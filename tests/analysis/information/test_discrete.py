import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from jaxnn.analysis import information

RNG = np.random.default_rng(0)


def test_states_are_the_different_rows():
    rows = RNG.integers(-2, 3, (300, 3))
    for kind in (jnp.int32, jnp.int8, jnp.float32, jnp.bfloat16):
        states = np.asarray(information.discrete_states(jnp.asarray(rows, kind)))
        pairs = np.unique(
            np.stack([np.unique(rows, axis=0, return_inverse=True)[1], states]), axis=1
        )
        count = len(np.unique(rows, axis=0))
        assert pairs.shape[1] == count == states.max() + 1
    zeros = jnp.array([[0.0, 1.0], [-0.0, 1.0]])
    assert (information.discrete_states(zeros) == 0).all()


def test_many_similar_rows_stay_apart():
    """All 4096 rows of 12 bits, as a network's inputs are; and one unit that alone differs."""
    bits = (np.arange(4096)[:, None] >> np.arange(12)) & 1
    for rows in (bits, bits << 20, bits.astype(bool), np.arange(4096)[:, None] * [1, 0]):
        assert information.discrete_states(jnp.asarray(rows)).max() == 4095
    np.testing.assert_allclose(
        information.discrete_entropy(jnp.asarray(bits)), 12 * np.log(2), rtol=1e-6
    )
    assert information.discrete_entropy(jnp.ones((5, 3))) == 0


def test_equals_scikit_learn_and_is_jit_and_vmap_safe():
    a, b = RNG.integers(0, 4, (2, 50, 2)), RNG.integers(0, 3, (2, 50))
    b[0] = a[0, :, 0] % 3
    got = jax.jit(jax.vmap(information.discrete_mutual_information))(jnp.asarray(a), jnp.asarray(b))
    want = [mutual_info_score(x[:, 0] * 4 + x[:, 1], y) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(got, want, atol=2e-6)


def test_uniform_bins():
    t = RNG.normal(size=(30, 3))
    edges = np.linspace(-1, 1, 8)
    want = np.clip(np.digitize(t, edges) - 1, 0, 6)
    got = information.bin_uniform(jnp.asarray(t, jnp.float32), bins=7)
    np.testing.assert_array_equal(got, want)
    t = jnp.abs(jnp.asarray(t, jnp.float32))
    got = information.bin_uniform(t, bins=5, low=jnp.min(t), high=jnp.max(t))
    assert got.min() == 0
    assert got.max() == 4
    assert (information.bin_uniform(jnp.ones(3), low=jnp.ones(()), high=jnp.ones(())) == 0).all()


@pytest.mark.parametrize("bins", [2, 7, 30])
def test_adaptive_bins_hold_equally_many_different_values(bins):
    t = np.maximum(RNG.normal(size=(40, 5)), 0) ** 3
    got = np.asarray(information.bin_quantile(jnp.asarray(t, jnp.float32), bins=bins))
    values = np.unique(t.astype(np.float32))
    assert len(values) < t.size
    of = dict(zip(t.astype(np.float32).ravel(), got.ravel(), strict=True))
    states = [of[value] for value in values]
    assert (np.diff(states) >= 0).all()
    sizes = np.bincount(states, minlength=bins)
    assert len(sizes) == bins
    assert sizes.max() - sizes.min() <= 1
    scaled = information.bin_quantile(jnp.asarray(t * 1e6, jnp.float32), bins=bins)
    np.testing.assert_array_equal(scaled, got)


def test_fewer_values_than_bins_stay_apart():
    t = jnp.array([5.0, 1.0, 1.0, 9.0])
    got = information.bin_quantile(t, bins=30)
    assert len(np.unique(got)) == 3
    assert (information.bin_quantile(jnp.zeros(4)) == 0).all()
