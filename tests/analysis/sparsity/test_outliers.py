import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxnn.analysis import sparsity

RNG = np.random.default_rng(0)
X = RNG.laplace(size=(3, 4, 5)) + 2


def array(x):
    return jnp.asarray(x, jnp.float32)


@pytest.mark.parametrize("axis", [None, 0, (0, 2)])
def test_kurtosis_equals_scipys(axis):
    got = sparsity.kurtosis(array(X), axis=axis)
    flat = X if axis != (0, 2) else X.transpose(1, 0, 2).reshape(4, 15)
    want = scipy.stats.kurtosis(flat, axis={(0, 2): 1}.get(axis, axis), fisher=False)
    np.testing.assert_allclose(got, want, rtol=1e-4)


def test_kurtosis_of_known_distributions():
    one = jnp.zeros(100).at[17].set(-7.0)
    np.testing.assert_allclose(sparsity.kurtosis(one), 98 + 1 / 99, rtol=1e-4)
    uniform = (jnp.arange(1000) + 0.5) / 1000
    np.testing.assert_allclose(sparsity.kurtosis(uniform), 1.8, rtol=1e-4)
    assert abs(sparsity.kurtosis(array(RNG.normal(size=50_000))) - 3) < 0.15
    assert sparsity.kurtosis(jnp.full(5, 3.0)) == 1


def test_kurtosis_ignores_scale_and_offset():
    want = sparsity.kurtosis(array(X))
    for scale in (1e-15, -1.0, 1e15):
        np.testing.assert_allclose(sparsity.kurtosis(array(scale * X)), want, rtol=1e-4)
    np.testing.assert_allclose(sparsity.kurtosis(array(X + 50)), want, rtol=1e-3)


def test_infinity_norm_is_the_largest_magnitude():
    x = X.copy()
    x[1, 2, 3] = -99
    assert sparsity.infinity_norm(array(x)) == 99
    np.testing.assert_allclose(
        sparsity.infinity_norm(array(x), axis=(0, -1)), np.abs(x).max((0, 2)), rtol=1e-6
    )
    assert sparsity.infinity_norm(array(x).astype(jnp.bfloat16)).dtype == jnp.float32
