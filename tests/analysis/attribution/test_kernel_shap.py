import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.analysis import attribution
from jaxnn.analysis.attribution._kernel_shap import coalition
from tests.analysis.attribution.games import BASELINE, X, array, f, shapley, value


def test_coalitions_come_with_the_chance_of_the_kernel(key):
    n, count = 4, 20_000
    draws = np.asarray(jax.vmap(lambda k: coalition(k, n))(jax.random.split(key, count)))
    sets = [s for s in itertools.product([False, True], repeat=n) if 0 < sum(s) < n]
    weights = np.array([1 / (math.comb(n, sum(s)) * sum(s) * (n - sum(s))) for s in sets])
    chances = weights / weights.sum()
    counts = np.array([(draws == np.array(s)).all(1).sum() for s in sets])
    assert counts.sum() == count
    # Chi-squared of 13 degrees: 40 is exceeded once in ten thousand.
    assert ((counts - count * chances) ** 2 / (count * chances)).sum() < 40


def test_exact_where_features_act_alone_or_in_pairs(key):
    random = np.random.default_rng(2)
    pairs, w = random.normal(size=(6, 6)), random.normal(size=6)

    def parabola(x, np=np):
        return x.reshape(6) @ np.asarray(pairs) @ x.reshape(6) + x.reshape(6) @ np.asarray(w)

    g = lambda x: x.reshape(6) @ array(pairs) @ x.reshape(6) + x.reshape(6) @ array(w)  # noqa: E731
    got = attribution.kernel_shap(g, array(X), key=key, samples=12, baseline=array(BASELINE))
    want = shapley(parabola, X, BASELINE, np.arange(6).reshape(2, 3))
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_converges_to_shapley_values(key):
    want = shapley(value, X, BASELINE, np.arange(6).reshape(2, 3))
    method = jax.jit(
        lambda key, samples: attribution.kernel_shap(
            f, array(X), key=key, samples=samples, baseline=array(BASELINE), batch_size=50
        ),
        static_argnums=1,
    )
    got = method(key, 4000)
    np.testing.assert_allclose(got.sum(), value(X) - value(BASELINE), atol=1e-5)
    few, many = np.abs(method(key, 40) - want).max(), np.abs(got - want).max()
    assert many < 0.02 * np.abs(want).max()
    assert many < few


@pytest.mark.parametrize("features", [1, 2])
def test_few_features(features, key):
    x = jnp.array([2.0, 3.0])[:features]
    got = attribution.kernel_shap(lambda x: x.prod() + x[0], x, key=key, samples=3)
    want = attribution.shapley_values(lambda x: x.prod() + x[0], x)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_too_few_samples_are_refused(key):
    with pytest.raises(ValueError, match="kernel_shap: `samples` is 3; it needs at least 5"):
        attribution.kernel_shap(f, array(X), key=key, samples=3)
