import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.preprocessing import PolynomialFeatures

from jaxnn.layers import polynomial


def reference(degree, interaction_only=False, include_bias=True):
    return PolynomialFeatures(degree, interaction_only=interaction_only, include_bias=include_bias)


@pytest.mark.parametrize("interaction_only", [False, True])
@pytest.mark.parametrize("include_bias", [False, True])
@pytest.mark.parametrize(("inputs", "degree"), [(3, 4), (1, 3)])
def test_columns_are_those_of_scikit_learn(inputs, degree, include_bias, interaction_only):
    x = np.random.default_rng(0).normal(size=(2, 3, inputs)).astype(np.float32)
    options = {"interaction_only": interaction_only, "include_bias": include_bias}
    sklearn = reference(degree, **options)
    want = sklearn.fit_transform(x.reshape(6, inputs))
    got = polynomial.polynomial_features(jnp.asarray(x), degree=degree, **options)
    np.testing.assert_allclose(got, want.reshape(2, 3, -1), rtol=1e-5)
    exponents = polynomial.polynomial_exponents(inputs, degree=degree, **options)
    np.testing.assert_array_equal(exponents, sklearn.powers_)


def problem(samples=60, inputs=3, outputs=2):
    random = np.random.default_rng(1)
    x = random.normal(size=(samples, inputs)) + 0.5
    return jnp.float32(x), jnp.float32(random.normal(size=(samples, outputs)) + x[:, :1] ** 2 + 3)


@pytest.mark.parametrize("ridge", [0.0, 0.3, 30.0])
def test_the_fit_is_that_of_scikit_learn(ridge):
    """With many more examples than monomials, and with fewer."""
    for samples in (60,) if ridge == 0 else (60, 8):
        x, y = problem(samples)
        values = reference(2, include_bias=False).fit_transform(np.asarray(x, float))
        ours = polynomial.fit_polynomial(x, y, degree=2, ridge=ridge)
        theirs = Ridge(ridge, solver="svd").fit(values, np.asarray(y, float))
        np.testing.assert_allclose(ours["kernel"].T, theirs.coef_, atol=2e-4)
        np.testing.assert_allclose(ours["bias"], theirs.intercept_, atol=2e-4)
        module = polynomial.PolynomialRegression(2)
        got = module.apply({"params": ours}, x)
        np.testing.assert_allclose(got, theirs.predict(values), atol=1e-3)


def test_components_are_those_of_scikit_learn():
    """Polynomials of all degrees up to one span the same space wherever their origin is."""
    x, y = problem()
    x = x * jnp.array([[3.0, 1.0, 0.2]])
    ours = polynomial.fit_polynomial(x, y, degree=2, ridge=0.0, components=2)
    pca = PCA(2).fit(np.asarray(x, float))
    cosines = np.asarray(ours["projection"]).T @ pca.components_.T
    np.testing.assert_allclose(np.abs(cosines), np.eye(2), atol=1e-4)
    values = reference(2, include_bias=False).fit_transform(pca.transform(np.asarray(x, float)))
    theirs = Ridge(0.0, solver="svd").fit(values, np.asarray(y, float))
    module = polynomial.PolynomialRegression(2, components=2)
    np.testing.assert_allclose(module.apply({"params": ours}, x), theirs.predict(values), atol=2e-3)
    unlike = polynomial.fit_polynomial(x, y, degree=2, ridge=0.0)
    other = polynomial.PolynomialRegression(2).apply({"params": unlike}, x)
    assert np.abs(other - theirs.predict(values)).max() > 0.1


def test_interactions_alone_find_a_product_and_no_square():
    x, _ = problem()
    for target, residual in ((x[:, :1] * x[:, 1:2], 0.0), (x[:, :1] ** 2, 0.5)):
        options = {"interaction_only": True}
        params = polynomial.fit_polynomial(x, target, degree=2, ridge=0.0, **options)
        module = polynomial.PolynomialRegression(1, **options)
        off = np.abs(module.apply({"params": params}, x) - target).max()
        assert off < 1e-4 if residual == 0 else off > residual


def test_no_neighbour_has_a_lower_loss(key):
    """The solution is a minimum of the loss as written, bias unpenalised."""
    x, y = problem()
    params = polynomial.fit_polynomial(x, y, degree=2, ridge=2.0)
    module = polynomial.PolynomialRegression(2)

    def loss(params):
        left = y - module.apply({"params": params}, x)
        return jnp.sum(left**2) + 2.0 * jnp.sum(params["kernel"] ** 2)

    for gradient in jax.tree.leaves(jax.grad(loss)(params)):
        np.testing.assert_allclose(gradient, 0, atol=5e-3)


def square_network(key, sizes):
    shapes = list(itertools.pairwise(sizes))
    draws = [
        jax.random.normal(k, (s[0] + 1, s[1]))
        for k, s in zip(jax.random.split(key, len(shapes)), shapes, strict=True)
    ]
    return [d[1:] / len(d) for d in draws], [d[0] / 2 for d in draws]


@pytest.mark.parametrize(("sizes", "degree"), [((3, 2), 1), ((3, 4, 2), 2), ((2, 3, 4, 1), 4)])
def test_a_network_of_squares_is_a_polynomial(key, sizes, degree):
    kernels, biases = square_network(key, sizes)
    x = jax.random.normal(key, (50, sizes[0]))
    h = np.asarray(x, float)
    for i, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        h = (h**2 if i else h) @ np.asarray(kernel, float) + np.asarray(bias, float)
    params = polynomial.expand_network(kernels, biases)
    module = polynomial.PolynomialRegression(sizes[-1], degree)
    got = module.apply({"params": params}, x)
    np.testing.assert_allclose(got, h, rtol=1e-4, atol=1e-4 * np.abs(h).max())
    # And no other polynomial of that degree is: fitted to the outputs, the same coefficients.
    values = reference(degree).fit_transform(np.asarray(x, float))
    coefficients = np.linalg.lstsq(values, h, rcond=None)[0]
    np.testing.assert_allclose(params["bias"], coefficients[0], atol=1e-4)
    np.testing.assert_allclose(params["kernel"], coefficients[1:], atol=1e-4)
