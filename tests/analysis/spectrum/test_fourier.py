import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.analysis.spectrum import fourier_log_amplitude, high_frequency_fraction

amplitude = jax.jit(fourier_log_amplitude)
fraction = jax.jit(high_frequency_fraction, static_argnames="cutoff")


def wave(size, down, across, phase=0.3):
    y, x = np.indices((size, size)) / size
    return np.cos(2 * np.pi * (down * y + across * x) + phase)[..., None]


def as_maps(x):
    return jnp.asarray(x, jnp.float32)


@pytest.fixture
def noise():
    return np.random.default_rng(0).normal(size=(2, 8, 8, 3)) + 0.5


def test_amplitudes_equal_numpys_along_the_shifted_diagonal(noise):
    """As published: the transform, shifted, logarithms, averaged, from the centre to a corner."""
    logs = np.log(np.abs(np.fft.fftshift(np.fft.fft2(noise, axes=(1, 2)), axes=(1, 2))))
    diagonal = np.diag(logs.mean((0, 3)))
    # The shifted spectrum runs from -n/2: the far corner is its first, and mirrors the last.
    want = diagonal[4::-1] - diagonal[4]
    np.testing.assert_allclose(amplitude(as_maps(noise)), want, atol=1e-5)
    np.testing.assert_allclose(amplitude(as_maps(1e-6 * noise)), want, atol=1e-5)


def test_amplitudes_of_waves_and_a_constant():
    """A wave of amplitude a on a mean m has a / 2 of m's amplitude; the corner has all of a."""
    got = amplitude(as_maps(2 + 0.5 * wave(8, 2, 2) + 0.25 * wave(8, 4, 4, 0.0)))
    np.testing.assert_allclose(got[2], np.log(0.25 / 2), atol=1e-5)
    np.testing.assert_allclose(got[4], np.log(0.25 / 2), atol=1e-5)
    assert got[1] < -10 > got[3]
    constant = amplitude(as_maps(np.full((8, 8, 1), 2.0)))
    np.testing.assert_allclose(constant[1:], np.log(np.finfo(np.float32).eps), atol=1)
    assert amplitude(jnp.zeros((6, 6, 2))).tolist() == [0.0] * 4


@pytest.mark.parametrize(
    ("down", "across", "cutoff", "want"),
    [(1, 0, 0.5, 0), (2, 0, 0.5, 0), (3, 0, 0.5, 1), (0, -3, 0.5, 1), (2, 1, 0.5, 1), (4, 4, 1, 1)],
)
def test_fraction_of_a_wave_is_all_or_nothing(down, across, cutoff, want):
    got = fraction(as_maps(7 + wave(8, down, across)), cutoff=cutoff)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_fraction_of_two_waves_is_that_of_their_variances():
    both = as_maps(1 + 2 * wave(8, 1, 0) + wave(8, 0, 3))
    np.testing.assert_allclose(fraction(both), 1 / 5, atol=1e-5)


def test_fraction_equals_numpys_and_counts_the_bins_of_an_impulse(noise):
    maps = noise[:, :, :6]  # not square
    power = np.abs(np.fft.fft2(maps, axes=(1, 2))) ** 2
    y, x = np.meshgrid(2 * np.fft.fftfreq(8), 2 * np.fft.fftfreq(6), indexing="ij")
    high = (y**2 + x**2 > 0.7**2)[None, ..., None]
    want = (power * high).sum() / (power.sum() - power[:, 0, 0].sum())
    np.testing.assert_allclose(fraction(as_maps(maps), cutoff=0.7), want, rtol=1e-5)
    impulse = jnp.zeros((8, 6, 1)).at[2, 1].set(5.0)
    np.testing.assert_allclose(fraction(impulse, cutoff=0.7), high.sum() / 47, rtol=1e-5)
    assert fraction(jnp.full((8, 6, 1), 0.3)) == 0
