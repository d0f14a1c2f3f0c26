import jax
import numpy as np

from jaxnn.analysis import attribution
from tests.analysis.attribution.games import BASELINE, MASK, X, array, f, value


def test_equals_ridge_regression_of_scikit_learn(key):
    from sklearn.linear_model import Ridge

    samples, width, penalty = 60, 0.3, 0.7
    numbers = np.unique(MASK)
    z = np.stack([jax.random.bernoulli(k, 0.5, (3,)) for k in jax.random.split(key, samples)])
    kept = z[:, np.searchsorted(numbers, MASK)]
    outputs = [value(np.where(k, X, BASELINE)) + 100 for k in kept]
    cosine = z.sum(1) / np.maximum(np.sqrt(3 * z.sum(1)), 1e-12)
    weight = np.exp(-((1 - cosine) ** 2) / (2 * width**2))
    fit = Ridge(alpha=penalty).fit(z, outputs, sample_weight=weight)
    got = attribution.lime(
        lambda x: f(x) + 100,
        array(X),
        key=key,
        samples=samples,
        kernel_width=width,
        penalty=penalty,
        baseline=array(BASELINE),
        feature_mask=MASK,
        batch_size=7,
    )
    # 100 + f is rounded to 8e-6.
    np.testing.assert_allclose(got, fit.coef_[np.searchsorted(numbers, MASK)], atol=2e-5)
