import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.analysis import attribution
from tests.analysis.attribution.games import BASELINE, MASK, X, array, f, shapley, value


def test_equal_the_mean_over_all_orders():
    got = attribution.shapley_values(f, array(X), baseline=array(BASELINE), feature_mask=MASK)
    np.testing.assert_allclose(got, shapley(value, X, BASELINE, MASK), atol=2e-6)
    # Entry by entry, 720 orders; a chunk that does not divide the 64 coalitions.
    got = attribution.shapley_values(f, array(X), baseline=array(BASELINE), batch_size=7)
    want = shapley(value, X, BASELINE, np.arange(6).reshape(2, 3))
    np.testing.assert_allclose(got, want, atol=2e-6)
    np.testing.assert_allclose(got.sum(), value(X) - value(BASELINE), atol=2e-6)


def test_axioms():
    x = jnp.array([2.0, 2.0, -1.0, 5.0])
    game = lambda x: jnp.sin(x[0] * x[1]) * x[2] + jnp.exp(x[2])  # noqa: E731
    got = attribution.shapley_values(game, x, baseline=0.1)
    assert got[0] == got[1]  # alike in f, x and baseline
    assert got[3] == 0  # never read
    assert jnp.abs(got[:3]).min() > 0.1
    linear = attribution.shapley_values(lambda x: 1e3 + x @ jnp.arange(4.0), x, baseline=1.0)
    np.testing.assert_allclose(linear, np.arange(4) * (np.asarray(x) - 1), atol=1e-3)
    alone = attribution.shapley_values(lambda x: x.sum(), x, feature_mask=np.zeros(4, int))
    np.testing.assert_allclose(alone, np.full(4, 8.0), atol=1e-6)


def test_samples_are_unbiased_and_complete(key):
    want = shapley(value, X, BASELINE, np.arange(6).reshape(2, 3))
    method = jax.jit(
        lambda key: attribution.shapley_sampling(
            f, array(X), key=key, samples=40, baseline=array(BASELINE), batch_size=64
        )
    )
    runs = np.asarray(jax.vmap(method)(jax.random.split(key, 100)))
    # Every run is complete; the mean is right to five of its standard errors.
    np.testing.assert_allclose(runs.sum((1, 2)), value(X) - value(BASELINE), atol=1e-5)
    error = runs.std(0, ddof=1) / 10
    assert (np.abs(runs.mean(0) - want) < 5 * error + 1e-6).all()
    assert np.abs(want).max() > 20 * error.max()


def test_samples_equal_a_loop_over_the_same_orders(key):
    got = attribution.shapley_sampling(
        f, array(X), key=key, samples=5, feature_mask=MASK, batch_size=2
    )
    numbers = np.unique(MASK)
    want = np.zeros((2, 3))
    for k in jax.random.split(key, 5):
        order = np.argsort(np.argsort(jax.random.uniform(k, (3,))))  # of ranks
        current = np.zeros((2, 3))
        for number in numbers[order]:
            before = value(current)
            current = np.where(number == MASK, X, current)
            want[number == MASK] += (value(current) - before) / 5
    np.testing.assert_allclose(got, want, atol=2e-6)
    alone = attribution.shapley_sampling(
        jnp.sum, array(X), key=key, samples=2, feature_mask=np.zeros((2, 3), int)
    )
    np.testing.assert_allclose(alone, np.full((2, 3), X.sum()), atol=1e-6)


def test_many_features_are_refused():
    with pytest.raises(ValueError, match=r"shapley_values: `x` .* at most 20 features .it has 21"):
        attribution.shapley_values(jnp.sum, jnp.ones(21))
