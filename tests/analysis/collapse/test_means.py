import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import NearestCentroid

from jaxnn.analysis import collapse

K, UNITS = 4, 6


def samples(counts=(7, 7, 7, 7), seed=0):
    random = np.random.default_rng(seed)
    y = random.permutation(np.repeat(np.arange(K), counts))
    centres = random.normal(size=(K, UNITS)) * 2
    return centres[y] + random.normal(size=(len(y), UNITS)) + 3, y


def arrays(x, y):
    return jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.int32)


def scatter(x, y):
    """Give the two covariances, every class counting the same."""
    classes = np.unique(y)
    means = np.stack([x[y == c].mean(0) for c in classes])
    within = np.mean([np.cov(x[y == c].T, bias=True) for c in classes], 0)
    return within, np.cov(means.T, bias=True)


@pytest.mark.parametrize("counts", [(7, 7, 7, 7), (3, 9, 1, 12), (5, 0, 4, 6)])
def test_equals_covariances_written_out(counts):
    x, y = samples(counts)
    classes = np.unique(y)
    statistics = collapse.class_means(*arrays(x, y), num_classes=K)
    np.testing.assert_array_equal(statistics.counts, counts)
    means = np.stack([x[y == c].mean(0) for c in classes])
    np.testing.assert_allclose(statistics.means[classes], means, rtol=1e-5)
    np.testing.assert_allclose(statistics.centred[classes], means - means.mean(0), atol=1e-5)
    variances = [x[y == c].var(0).sum() for c in classes]
    np.testing.assert_allclose(statistics.variances[classes], variances, rtol=1e-5)
    within, between = scatter(x, y)
    want = np.trace(within @ np.linalg.pinv(between, rcond=1e-6)) / len(classes)
    got = collapse.within_class_variability(*arrays(x, y), num_classes=K)
    np.testing.assert_allclose(got, want, rtol=1e-4)

    ratios = [
        (variances[a] + variances[b]) / (2 * np.sum((means[a] - means[b]) ** 2))
        for a in range(len(classes))
        for b in range(a)
    ]
    got = collapse.class_distance_variance(*arrays(x, y), num_classes=K)
    np.testing.assert_allclose(got, np.mean(ratios), rtol=1e-5)


def test_equals_the_discriminant_analysis_of_scikit_learn():
    """Its directions whiten Σ_W; along them Σ_B is diagonal, and NC1 the sum of the inverses."""
    x, y = samples((30, 30, 30, 30))
    fitted = LinearDiscriminantAnalysis(solver="eigen").fit(x, y)
    _, between = scatter(x, y)
    directions = fitted.scalings_[:, : K - 1]
    ratios = np.diag(directions.T @ between @ directions)
    # tr(A B⁺) is not tr(B⁺ A) of whitened matrices unless d = K - 1: compare there.
    x3 = x @ directions
    got = collapse.within_class_variability(*arrays(x3, y), num_classes=K)
    np.testing.assert_allclose(got, np.sum(1 / ratios) / K, rtol=1e-4)


def test_labels_outside_are_padding():
    x, y = samples()
    x, y = arrays(x, y)
    more = (
        jnp.concatenate([x, jnp.full((3, UNITS), 1e3)]),
        jnp.concatenate([y, jnp.array([-1, K, 99])]),
    )
    for measure in (collapse.within_class_variability, collapse.class_distance_variance):
        np.testing.assert_allclose(
            measure(*more, num_classes=K), measure(x, y, num_classes=K), rtol=1e-5
        )


def test_collapse_is_zero_whatever_the_scale_and_overlap_is_infinite():
    centres, y = jnp.eye(K), jnp.arange(8) % K
    for scale in (1e-8, 1.0, 1e8):
        x = scale * centres[y]
        assert collapse.within_class_variability(x, y, num_classes=K) < 1e-10
        assert collapse.class_distance_variance(x, y, num_classes=K) == 0
    assert jnp.isinf(collapse.class_distance_variance(jnp.ones((8, 2)), y, num_classes=K))


def test_nearest_centre_equals_scikit_learns():
    x, y = samples()
    centres = collapse.class_means(*arrays(x, y), num_classes=K).means
    want = NearestCentroid().fit(x, y).predict(x)
    assert (want != y).any()
    got = collapse.nearest_centre(arrays(x, y)[0], centres)
    np.testing.assert_array_equal(got, want)
    far = jnp.float32(1000)  # a thousand units from the origin, as well
    np.testing.assert_array_equal(
        collapse.nearest_centre(arrays(x, y)[0] + far, centres + far), want
    )
    agreement = collapse.nearest_centre_agreement(arrays(x, y)[0], centres, jnp.eye(K)[y])
    np.testing.assert_allclose(agreement, np.mean(want == y), rtol=1e-6)
