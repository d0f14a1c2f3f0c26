import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import operator

convolve = jax.jit(operator.spectral_convolution)


def kernels(random, *shape):
    return (random.normal(size=shape).astype(np.float32) for _ in range(2))


def test_is_a_circular_convolution_in_one_dimension():
    """The convolution theorem: the same sum over places, with the kernel the modes make."""
    random = np.random.default_rng(0)
    n, m = 11, 3
    x = random.normal(size=(2, n, 2)).astype(np.float32)
    real, imaginary = kernels(random, m, 2, 3)
    w = real + 1j * imaginary
    # The kernel in space: a real function with these Fourier coefficients.
    places = np.arange(n)
    kernel = np.zeros((n, 2, 3))
    for k in range(m):
        wave = np.exp(2j * np.pi * k * places / n)[:, None, None]
        kernel += (1 if k == 0 else 2) * (wave * w[k]).real / n
    want = np.zeros((2, n, 3))
    for p, q in np.ndindex(n, n):
        want[:, p] += x[:, q] @ kernel[(p - q) % n]
    np.testing.assert_allclose(convolve(x, real, imaginary), want, atol=1e-5)


def test_is_a_circular_convolution_in_two_dimensions():
    random = np.random.default_rng(1)
    shape, m = (6, 9), (2, 3)
    x = random.normal(size=(*shape, 2)).astype(np.float32)
    real, imaginary = kernels(random, 2 * m[0] - 1, m[1], 2, 1)
    kernel = np.zeros((*shape, 2, 1))
    row, column = np.meshgrid(*map(np.arange, shape), indexing="ij")
    for k in range(-m[0] + 1, m[0]):
        for j in range(m[1]):
            w = (real + 1j * imaginary)[k + m[0] - 1, j]
            wave = np.exp(2j * np.pi * (k * row / shape[0] + j * column / shape[1]))
            # Modes of j = 0 stand for themselves, the inverse taking their hermitian part.
            kernel += (1 if j == 0 else 2) * (wave[..., None, None] * w).real / row.size
    want = np.zeros((*shape, 1))
    for p in np.ndindex(*shape):
        for q in np.ndindex(*shape):
            want[p] += x[q] @ kernel[(p[0] - q[0]) % shape[0], (p[1] - q[1]) % shape[1]]
    np.testing.assert_allclose(convolve(x, real, imaginary), want, atol=2e-5)


def test_does_not_depend_on_the_resolution():
    """A band-limited function at 9 and 18, 8 and 24 places a side: the same values."""
    random = np.random.default_rng(2)
    real, imaginary = kernels(random, 5, 3, 1, 1)
    a, b = random.normal(size=(2, 3, 3))

    def sample(rows, columns):
        y, x = np.arange(rows)[:, None] / rows, np.arange(columns)[None] / columns
        f = sum(
            a[k, j] * np.cos(2 * np.pi * (k * y + j * x))
            + b[k, j] * np.sin(2 * np.pi * (k * y - j * x))
            for k, j in np.ndindex(3, 3)
        )
        return np.asarray(f, np.float32)[..., None]

    coarse = convolve(sample(9, 8), real, imaginary)
    fine = convolve(sample(18, 24), real, imaginary)
    np.testing.assert_allclose(fine[::2, ::3], coarse, atol=1e-5)
    assert jnp.abs(coarse).max() > 0.5


def test_module_is_the_function_on_its_parameters(key):
    layer = operator.SpectralConv(3, (2, 2))
    x = jax.random.normal(key, (2, 4, 5, 2))
    variables = jax.jit(layer.init)(key, x)
    got = jax.jit(layer.apply)(variables, x)
    np.testing.assert_array_equal(got, convolve(x, **variables["params"]))
    with pytest.raises(ValueError, match="at least 3 places on an axis of 2 modes"):
        layer.init(key, x[:, :2])
