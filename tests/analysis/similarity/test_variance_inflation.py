import jax.numpy as jnp
import numpy as np
from sklearn.linear_model import LinearRegression

from jaxnn.analysis import similarity


def mixed(samples=80, units=5):
    random = np.random.default_rng(0)
    x = random.normal(size=(samples, units)) @ random.normal(size=(units, units)) + 4
    return x * np.array([1.0, 100.0, 0.01, 1.0, 1.0])


def test_equals_one_regression_a_unit():
    x = mixed()
    want = []
    for j in range(5):
        others = np.delete(x, j, axis=1)
        want.append(1 / (1 - LinearRegression().fit(others, x[:, j]).score(others, x[:, j])))
    assert max(want) > 10
    np.testing.assert_allclose(similarity.variance_inflation(jnp.float32(x)), want, rtol=2e-3)
    inverse = np.linalg.inv(np.corrcoef(x.T))
    np.testing.assert_allclose(want, np.diag(inverse))


def test_two_units_by_hand():
    """Of correlation r each has 1 / (1 - r²), whatever its sign."""
    for r in (0.6, -0.8):
        a, b = np.array([[1.0, -1, 1, -1], [1, 1, -1, -1]])
        x = jnp.float32(np.stack([a, r * a + np.sqrt(1 - r**2) * b], 1))
        np.testing.assert_allclose(similarity.variance_inflation(x), 1 / (1 - r**2), rtol=1e-5)


def test_sums_of_others_stand_out_and_leave_the_rest_alone():
    x = jnp.float32(mixed())
    alone = similarity.variance_inflation(x)
    random = jnp.float32(np.random.default_rng(1).normal(size=(80, 2)))
    twice = jnp.concatenate([x, random, random[:, :1] - 2 * random[:, 1:] + 1], 1)
    got = similarity.variance_inflation(twice)
    assert got[5:].min() > 1e6
    assert jnp.isfinite(got).all()
    # The others' own explain two directions more of 80.
    np.testing.assert_allclose(got[:5], alone, rtol=0.2)


def test_a_unit_that_never_changes_has_one():
    x = jnp.concatenate([jnp.float32(mixed()), jnp.full((80, 1), 0.1), jnp.zeros((80, 1))], 1)
    got = similarity.variance_inflation(x)
    np.testing.assert_array_equal(got[5:], 1)
    np.testing.assert_allclose(got[:5], similarity.variance_inflation(x[:, :5]), rtol=2e-3)


def test_more_units_than_samples_are_sums_of_each_other():
    x = jnp.float32(np.random.default_rng(2).normal(size=(6, 9)))
    assert similarity.variance_inflation(x).min() > 1e6
