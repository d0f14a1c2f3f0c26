import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import spiking

K = 1.7


def density(x, mean, deviation):
    return np.exp(-(((x - mean) / deviation) ** 2) / 2) / (deviation * np.sqrt(2 * np.pi))


# Written again from the papers, in NumPy, as functions of x and the slope.
FORMULAS = {
    spiking.fast_sigmoid: lambda x, k: 1 / (1 + k * np.abs(x)) ** 2,
    spiking.arctan: lambda x, k: (k / 2) / (1 + (np.pi / 2 * k * x) ** 2),
    spiking.triangular: lambda x, k: np.maximum(0, 1 - k * np.abs(x)),
    spiking.sigmoid: lambda x, k: k * np.exp(-k * x) / (1 + np.exp(-k * x)) ** 2,
    spiking.gaussian: lambda x, k: k / np.sqrt(2 * np.pi) * np.exp(-((k * x) ** 2) / 2),
    spiking.straight_through: lambda x, k: (np.abs(x) <= 1 / k).astype(float),
    spiking.exponential: lambda x, k: np.exp(-k * np.abs(x)),
    spiking.multi_gaussian: lambda x, k: (
        1.15 * density(x, 0, 1 / k)
        - 0.15 * density(x, 1 / k, 6 / k)
        - 0.15 * density(x, -1 / k, 6 / k)
    ),
}
# What each formula is the derivative of, so that a wrong constant in both would be seen.
PRIMITIVES = {
    spiking.fast_sigmoid: lambda x, k: x / (1 + k * abs(x)),
    spiking.arctan: lambda x, k: math.atan(math.pi / 2 * k * x) / math.pi,
    spiking.sigmoid: lambda x, k: 1 / (1 + math.exp(-k * x)),
    spiking.gaussian: lambda x, k: math.erf(k * x / math.sqrt(2)) / 2,
}
DEFAULTS = {
    spiking.fast_sigmoid: 25.0,
    spiking.arctan: 2.0,
    spiking.triangular: 1.0,
    spiking.sigmoid: 4.0,
    spiking.gaussian: 2.5,
    spiking.straight_through: 1.0,
    spiking.exponential: 2.0,
    spiking.multi_gaussian: 2.28,
}
X = jnp.linspace(-2, 2, 41)


@pytest.fixture(params=list(FORMULAS), ids=lambda f: f.__name__)
def spike(request):
    return request.param


def test_forward_is_the_strict_step(spike):
    x = jnp.array([-2.0, -1e-6, 0.0, 1e-6, 2.0])
    for dtype in (jnp.float32, jnp.bfloat16):
        spikes = spike(x.astype(dtype))
        assert spikes.dtype == dtype
        assert spikes.tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("how", ["grad", "jvp", "scan"])
def test_derivative_is_the_stated_formula(spike, how):
    bound = functools.partial(spike, slope=K)
    if how == "grad":
        got = jax.jit(jax.vmap(jax.grad(bound)))(X)
    elif how == "jvp":
        got = jax.jvp(bound, (X,), (jnp.ones_like(X),))[1]
    else:

        def total(x):
            return jax.lax.scan(lambda c, v: (c + bound(v), None), jnp.zeros(()), x)[0]

        got = jax.grad(total)(X)
    np.testing.assert_allclose(got, FORMULAS[spike](np.asarray(X, float), K), atol=2e-6)


def test_formula_is_the_slope_of_the_named_function():
    for spike, primitive in PRIMITIVES.items():
        for x in (-0.7, 0.0, 0.3):
            slope = (primitive(x + 1e-6, K) - primitive(x - 1e-6, K)) / 2e-6
            got = jax.grad(functools.partial(spike, slope=K))(jnp.array(x)).item()
            assert abs(got - slope) < 1e-5, spike.__name__


def test_default_slopes_have_height_one(spike):
    """Within 1 %: the Gaussian's 2.5 stands for the square root of 2π, as 2.28 for its kin."""
    assert abs(jax.grad(spike)(jnp.array(0.0)).item() - 1) < 0.01
    got = jax.grad(spike)(jnp.array(0.3))
    np.testing.assert_allclose(got, FORMULAS[spike](0.3, DEFAULTS[spike]), rtol=1e-5)


def test_slope_may_be_annealed_inside_jit(spike):
    height = jax.jit(jax.grad(lambda x, k: spike(x, slope=k)))
    for k in (0.5, 2.0):
        np.testing.assert_allclose(
            height(jnp.array(0.2), jnp.array(k)), FORMULAS[spike](0.2, k), rtol=1e-5
        )


def test_derivative_can_be_differentiated():
    """Second derivative of the fast sigmoid: -2k / (1 + kx)^3 on the right."""
    curvature = jax.grad(jax.grad(functools.partial(spiking.fast_sigmoid, slope=2.0)))
    np.testing.assert_allclose(curvature(jnp.array(0.5)), -2 * 2 / 2**3, rtol=1e-6)


def test_multi_gaussian_has_negative_tails_and_the_area_of_its_parts():
    x = np.linspace(-20, 20, 4001, dtype=np.float32)
    bump = jax.vmap(jax.grad(spiking.multi_gaussian))(jnp.asarray(x))
    np.testing.assert_allclose(np.trapezoid(bump, x), 1.15 - 2 * 0.15, rtol=1e-3)
    assert bump[np.abs(x) < 0.5].min() > 0 > bump[(np.abs(x) > 2) & (np.abs(x) < 5)].max()


def test_own_derivative():
    spike = spiking.surrogate(lambda x, slope: slope + 0 * x, name="flat")
    assert jax.grad(lambda x: spike(x, slope=3.0))(jnp.array(-9.0)).item() == 3
    assert spike(jnp.array(-9.0)).item() == 0
