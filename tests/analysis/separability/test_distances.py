import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist
from sklearn.metrics import silhouette_score

from jaxnn.analysis import separability

K = 3
gdv = jax.jit(separability.generalized_discrimination_value, static_argnames="num_classes")
silhouette = jax.jit(separability.silhouette, static_argnames="num_classes")


def samples(counts=(9, 4, 7), units=5):
    random = np.random.default_rng(0)
    y = random.permutation(np.repeat(np.arange(K), counts))
    x = 2 * random.normal(size=(K, units))[y] + random.normal(size=(len(y), units))
    return x * [1, 100, 0.01, 1, 3] + 2, y


def by_hand(x, y):
    """Distances of all pairs, written out."""
    z = 0.5 * (x - x.mean(0)) / x.std(0)
    clouds = [z[y == c] for c in np.unique(y)]
    within = np.mean([pdist(cloud).mean() for cloud in clouds])
    between = [cdist(a, b).mean() for i, a in enumerate(clouds) for b in clouds[:i]]
    return (within - np.mean(between)) / np.sqrt(x.shape[1])


def measure(function, x, y):
    return function(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.int32), num_classes=K)


@pytest.mark.parametrize("counts", [(9, 4, 7), (10, 0, 10)])
def test_equals_pairs_written_out_and_scikit_learn(counts):
    x, y = samples(counts)
    want = by_hand(x, y)
    assert want < -0.05
    np.testing.assert_allclose(measure(gdv, x, y), want, atol=1e-5)
    np.testing.assert_allclose(measure(silhouette, x, y), silhouette_score(x, y), atol=1e-5)


def test_discrimination_ignores_shift_scale_order_and_repetition_of_units():
    x, y = samples()
    want = measure(gdv, x, y)
    np.testing.assert_allclose(measure(gdv, x[:, ::-1] * -7 + 30, y), want, atol=1e-5)
    np.testing.assert_allclose(measure(gdv, np.repeat(x, 2, axis=1), y), want, atol=1e-5)
    # Samples that are padding count for nothing, least of all for the scale.
    padded = np.concatenate([x, 1e4 + x[:4]]), np.concatenate([y, [-1, -1, K, 99]])
    for function in (gdv, silhouette):
        np.testing.assert_allclose(measure(function, *padded), measure(function, x, y), atol=1e-5)


def test_extremes():
    y = np.arange(12) % K
    one_hot = np.eye(K)[y]
    # Two classes in one unit, half a standard deviation each to either side.
    two = np.arange(12) % 2
    assert abs(measure(gdv, np.where(two[:, None] == 0, 3.0, -1.0), two) + 1) < 1e-6
    assert measure(silhouette, one_hot, y) == 1
    assert measure(gdv, np.ones((12, 2)), y) == 0
    assert measure(gdv, one_hot, np.zeros(12)) == 0
    assert measure(silhouette, one_hot, np.zeros(12)) == 0
