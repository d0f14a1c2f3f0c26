import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import kan

X = jnp.linspace(-0.7, 1.3, 101)
CURVES = {
    "x": 0.3 * X - 2,
    "x^2": -2 * (X - 0.2) ** 2 + 1,
    "exp": 0.5 * jnp.exp(1.7 * X) - 3,
    "sin": 1.5 * jnp.sin(jnp.pi * X) + 0.2,
    "log": jnp.log(X + 0.8),
    "sqrt": 2 * jnp.sqrt(X + 0.71),
    "abs": jnp.abs(2 * X - 0.5),
    "tanh": -jnp.tanh(3 * X - 1),
    "gaussian": jnp.exp(-((2.5 * X - 0.5) ** 2)),
    "1/x": 1 / (X + 1),
    "x^3": 3 * (X - 0.4) ** 3,
    "x^4": (1.2 * X - 0.1) ** 4,
}


@pytest.mark.parametrize("name", CURVES)
def test_picks_the_function_that_made_the_curve(name):
    (best, fit), *_ = kan.suggest_symbolic(X, CURVES[name])
    assert best == name
    assert fit.r2 > 0.999
    function = kan.symbolic_library()[name].function
    got = fit.c * function(fit.a * X + fit.b) + fit.d
    np.testing.assert_allclose(got, CURVES[name], atol=0.05 * float(jnp.ptp(CURVES[name])))


def test_r2_is_the_share_of_explained_variance(key):
    y = jnp.sin(X) + 0.3 * jax.random.normal(key, X.shape)
    fit = kan.fit_symbolic(X, y, lambda x: x)
    np.testing.assert_allclose(fit.r2, np.corrcoef(X, y)[0, 1] ** 2, atol=1e-5)
    slope, offset = np.polyfit(X, y, 1)
    np.testing.assert_allclose(fit.c * fit.a, slope, rtol=1e-4)
    np.testing.assert_allclose(fit.c * fit.b + fit.d, offset, atol=1e-4)


def test_a_constant_curve_and_an_undefined_function():
    assert kan.fit_symbolic(X, jnp.ones_like(X), jnp.sin).r2 == 0
    never = kan.fit_symbolic(X, X, lambda x: jnp.log(-1 - x**2))
    assert never.r2 == -1


def test_batches_by_vmap():
    ys = jnp.stack([CURVES["sin"], CURVES["x"]])
    fits = jax.vmap(lambda y: kan.fit_symbolic(X, y, jnp.sin))(ys)
    assert fits.r2.shape == (2,)
    assert (fits.r2 > 0.999).all()
