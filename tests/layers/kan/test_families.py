import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from jaxnn.layers import kan

X = np.linspace(-0.99, 0.99, 41).astype(np.float32)
BOUNDED = [
    "bspline", "chebyshev", "fourier", "gaussian", "hermite", "legendre", "rational",
    "relu_power", "sine", "switch", "wavelet",
]  # fmt: skip


def values(basis, x=X, **options):
    """Evaluate a basis at points, as (functions, points) in float64."""
    got = jax.jit(functools.partial(basis, **options))(jnp.asarray(x)[:, None])
    return np.asarray(got[..., 0].T, np.float64)


@pytest.mark.parametrize(
    ("basis", "options", "reference"),
    [
        (kan.chebyshev_basis, {}, special.eval_chebyt),
        (kan.legendre_basis, {}, special.eval_legendre),
        (
            kan.jacobi_basis,
            {"alpha": 1.5, "beta": -0.5},
            lambda n, x: special.eval_jacobi(n, 1.5, -0.5, x),
        ),
    ],
    ids=["chebyshev", "legendre", "jacobi"],
)
def test_polynomials_equal_scipy(basis, options, reference):
    want = np.stack([reference(n, X.astype(np.float64)) for n in range(8)])
    got = values(basis, degree=7, squash=None, **options)
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())
    # The range and the squash come first: on [1, 5] with tanh it is the same of tanh((x - 3) / 2).
    other = values(basis, 2 * X + 3, degree=7, low=1.0, high=5.0, **options)
    squashed = np.stack([reference(n, np.tanh(X.astype(np.float64))) for n in range(8)])
    np.testing.assert_allclose(other, squashed, atol=1e-5 * np.abs(squashed).max())
    assert values(basis, degree=0, **options).tolist() == [[1.0] * len(X)]


def test_jacobi_holds_legendre():
    np.testing.assert_allclose(values(kan.jacobi_basis), values(kan.legendre_basis), atol=1e-5)


def test_hermite_functions_equal_scipy_and_are_orthonormal():
    x = np.linspace(-9, 9, 721)
    got = values(kan.hermite_basis, (1.5 * x).astype(np.float32), degree=6, scale=1.5)
    norms = [np.sqrt(2.0**n * special.factorial(n) * np.sqrt(np.pi)) for n in range(7)]
    want = [special.eval_hermite(n, x) * np.exp(-x * x / 2) / norms[n] for n in range(7)]
    np.testing.assert_allclose(got, np.stack(want), atol=2e-6)
    np.testing.assert_allclose(got @ got.T * (x[1] - x[0]), np.eye(7), atol=1e-5)


def test_fourier_equals_cosines_and_sines():
    angles = np.arange(1, 6)[:, None] * X.astype(np.float64) * (2 * np.pi / 3)
    want = np.concatenate([np.cos(angles), np.sin(angles)])
    np.testing.assert_allclose(values(kan.fourier_basis, period=3.0), want, atol=1e-5)


def test_bumps_equal_their_formulas():
    x = X.astype(np.float64)
    z = (x - np.linspace(-1, 2, 6)[:, None]) / 0.6
    gaussian = values(kan.gaussian_basis, grid=6, low=-1.0, high=2.0)
    switch = values(kan.switch_basis, grid=6, low=-1.0, high=2.0, width=0.6)
    np.testing.assert_allclose(gaussian, np.exp(-(z**2)), atol=1e-5)
    np.testing.assert_allclose(switch, 1 / np.cosh(z) ** 2, atol=1e-5)


def test_relu_power_equals_the_product_of_rectifiers():
    grid, span, step = 5, 3, 2 / 5
    start = -1 + (np.arange(grid + span)[:, None] - span) * step
    end = start + (span + 1) * step
    relu = functools.partial(np.maximum, 0)
    x = X.astype(np.float64)
    want = (relu(end - x) * relu(x - start)) ** 2 * 16 / (end - start) ** 4
    got = values(kan.relu_power_basis, grid=grid, span=span)
    np.testing.assert_allclose(got, want, atol=1e-5)
    # A higher power is a narrower bump of the same height.
    cubed = values(kan.relu_power_basis, grid=grid, span=span, power=3)
    np.testing.assert_allclose(cubed, want**1.5, atol=1e-5)


def test_wavelets_are_dyadic_copies_of_their_mother():
    x = np.linspace(-1, 1, 801)
    got = values(kan.wavelet_basis, x.astype(np.float32), levels=3)
    assert got.shape == (7, len(x))
    # Level l, place m, centred at -1 + (2m + 1) / 2^l and of width 1 / 2^(l+1).
    for row, (level, m) in enumerate([(0, 0), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (2, 3)]):
        z = (x - (-1 + (2 * m + 1) / 2**level)) * 2 ** (level + 1)
        hat = 2 / (np.sqrt(3) * np.pi**0.25) * (1 - z * z) * np.exp(-z * z / 2)
        np.testing.assert_allclose(got[row], 2 ** (level / 2) * hat, atol=1e-5)
    other = values(kan.wavelet_basis, levels=1, kind="derivative")
    np.testing.assert_allclose(other[0], -2 * X * np.exp(-2 * X**2), atol=1e-5)
    waves = values(kan.wavelet_basis, levels=1, kind="morlet")
    np.testing.assert_allclose(waves[0], np.cos(10 * X) * np.exp(-2 * X**2), atol=1e-5)


def test_rational_functions_are_cosines_of_the_inverse_cotangent():
    x = np.array([-40.0, -1.0, 0.0, 0.3, 7.0])
    got = values(kan.rational_basis, x.astype(np.float32), degree=6, scale=2.0)
    want = np.cos(np.arange(7)[:, None] * np.arctan2(2.0, x))
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_sines_are_standard_over_normal_inputs():
    """Means and variances by Gauss-Hermite quadrature; and the frequencies are what was asked."""
    x, weights = np.polynomial.hermite_e.hermegauss(40)
    waves = {"frequencies": jnp.array([0.5, 2.0, 3.0]), "phases": jnp.array([0.3, -1.0, 0.0])}
    got = values(kan.sine_basis, x.astype(np.float32), **waves)
    weights = weights / weights.sum()
    np.testing.assert_allclose(got @ weights, np.zeros(3), atol=1e-5)
    np.testing.assert_allclose(got**2 @ weights, np.ones(3), atol=1e-5)
    plain = np.sin(3.0 * x)
    np.testing.assert_allclose(got[2], plain / np.sqrt(plain**2 @ weights), atol=1e-5)


@pytest.mark.parametrize("name", BOUNDED)
def test_every_named_basis_keeps_the_variance_and_stays_bounded(name, key):
    """Outputs of one layer have the second moment of inputs, and far inputs do not explode."""
    layer = kan.KANLayer(64, basis=name, grid_range=(-2.0, 2.0), base=jnp.tanh)
    x = jax.random.uniform(key, (256, 64), minval=-2, maxval=2)
    variables = jax.jit(layer.init)(key, x)
    y = jax.jit(layer.apply)(variables, x)
    assert 0.8 < jnp.mean(y**2) / jnp.mean(x**2) < 1.25
    assert jnp.abs(jax.jit(layer.apply)(variables, 1e4 * x)).max() < 20


def test_a_basis_of_ones_own(key):
    """Powers of x with known coefficients: the layer is the polynomial."""

    def powers(x):
        return jnp.stack([x, x**2], axis=-2)

    layer = kan.KANLayer(1, basis=powers)
    x = jnp.array([[0.5, -2.0]])
    params = dict(layer.init(key, x)["params"])
    assert params["coefficients"].shape == (2, 2, 1)
    params["coefficients"] = jnp.array([[[1.0], [0.0]], [[0.0], [3.0]]])
    params["base_kernel"] = jnp.zeros((2, 1))
    np.testing.assert_allclose(layer.apply({"params": params}, x), [[0.5 + 12.0]], rtol=1e-6)
