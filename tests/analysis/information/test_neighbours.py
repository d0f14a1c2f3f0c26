import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.special import digamma
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

from jaxnn.analysis import information

RNG = np.random.default_rng(0)
entropy = jax.jit(information.knn_entropy, static_argnames="neighbours")
mutual = jax.jit(information.knn_mutual_information, static_argnames="neighbours")
label = jax.jit(information.knn_label_information, static_argnames="neighbours")


def array(x):
    return jnp.asarray(x, jnp.float32)


@pytest.mark.parametrize("dimensions", [1, 3])
def test_entropy_equals_a_tree_and_the_gaussian(dimensions):
    x = RNG.normal(size=(500, dimensions)) * 3
    radius = cKDTree(x).query(x, k=4, p=np.inf)[0][:, -1]
    want = digamma(500) - digamma(3) + dimensions * np.mean(np.log(2 * radius))
    got = entropy(array(x), neighbours=3)
    np.testing.assert_allclose(got, want, atol=1e-4)
    gaussian = dimensions * 0.5 * np.log(2 * np.pi * np.e * 9)
    np.testing.assert_allclose(got, gaussian, atol=0.25)


def test_information_equals_scikit_learn():
    x = RNG.normal(size=400)
    y = 0.8 * x + 0.6 * RNG.normal(size=400)
    x, y = x / x.std(), y / y.std()
    got = mutual(array(x[:, None]), array(y[:, None]), neighbours=4)
    want = mutual_info_regression(x[:, None], y, n_neighbors=4)[0]
    # Ties that float32 makes move a count by one here and there.
    np.testing.assert_allclose(got, want, atol=2e-3)
    np.testing.assert_allclose(got, -0.5 * np.log(1 - 0.64), atol=0.12)
    labels = (y > 0).astype(int) + (y > 1)
    got = label(array(x[:, None]), jnp.asarray(labels), neighbours=3)
    want = mutual_info_classif(x[:, None], labels, n_neighbors=3)[0]
    np.testing.assert_allclose(got, want, atol=2e-3)
    assert want > 0.2


def test_information_of_several_dimensions_is_that_of_the_gaussian():
    rho, dimensions = 0.7, 2
    x = RNG.normal(size=(1000, dimensions))
    y = rho * x + np.sqrt(1 - rho**2) * RNG.normal(size=x.shape)
    want = -dimensions / 2 * np.log(1 - rho**2)
    np.testing.assert_allclose(mutual(array(x), array(y)), want, atol=0.15)
    alone = mutual(array(x), array(RNG.permutation(y)))
    np.testing.assert_allclose(alone, 0, atol=0.1)
