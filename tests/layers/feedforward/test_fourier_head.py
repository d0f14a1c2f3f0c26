import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import feedforward

density = jax.jit(feedforward.fourier_density)
head = jax.jit(feedforward.fourier_head, static_argnums=1, static_argnames="floor")
Z = jnp.linspace(-1, 1, 64, endpoint=False)
N = 6


def amplitudes(key, *batch):
    return jax.random.normal(key, (*batch, 2 * (N + 1)))


def complex_of(a):
    real, imaginary = np.split(np.asarray(a, np.float64), 2, axis=-1)
    return real + 1j * imaginary


def series(a, z):
    """The paper's series, term by term, from the coefficients of a double loop."""
    c = np.array([sum(a[i] * np.conj(a[i + k]) for i in range(N + 1 - k)) for k in range(N + 1)])
    waves = sum(c[k] / c[0].real * np.exp(1j * k * np.pi * z) for k in range(1, N + 1))
    return c, 0.5 + waves.real


def test_density_equals_the_series_of_the_paper(key):
    a = amplitudes(key, 3)
    got = density(a, Z)
    real, imaginary = feedforward.fourier_coefficients(a)
    for i in range(3):
        c, want = series(complex_of(a[i]), np.asarray(Z))
        np.testing.assert_allclose(got[i], want, atol=1e-5)
        np.testing.assert_allclose(real[i] + 1j * np.asarray(imaginary[i]), c, atol=1e-5)


def test_density_is_never_negative_and_integrates_to_one(key):
    # 64 points integrate a series of 6 frequencies exactly, with weights 2/64.
    p = density(amplitudes(key, 100), Z)
    assert (p >= 0).all()
    assert p.min() < 0.01  # or it would be no test
    np.testing.assert_allclose(2 * p.mean(-1), 1, atol=1e-5)


def test_turning_the_amplitudes_shifts_the_density(key):
    a = complex_of(amplitudes(key)) * np.exp(1j * np.arange(N + 1) * np.pi * 0.25)
    turned = jnp.asarray(np.concatenate([a.real, a.imag]), jnp.float32)
    np.testing.assert_allclose(density(turned, Z), density(amplitudes(key), Z - 0.25), atol=1e-5)


@pytest.mark.parametrize("bins", [9, 50])
def test_softmax_of_the_logits_is_the_density_at_the_centres(key, bins):
    a = amplitudes(key, 2, 3)
    edges = np.linspace(-1, 1, bins + 1)
    centres = jnp.asarray((edges[1:] + edges[:-1]) / 2, jnp.float32)
    want = 2 / bins * density(a, centres)
    np.testing.assert_allclose(jax.nn.softmax(head(a, bins, floor=0.0)), want, atol=1e-5)
    np.testing.assert_allclose(jnp.exp(head(a, bins)), want + 1e-5, atol=1e-5)


def test_scale_does_not_matter_and_silence_is_uniform(key):
    a = amplitudes(key)
    for scale in (1e-30, 1e30):  # whose squares are zero and infinite
        np.testing.assert_allclose(head(scale * a, 10), head(a, 10), rtol=1e-4)
    np.testing.assert_allclose(jnp.exp(head(0 * a, 10)), 0.1, atol=2e-5)


def test_penalty_is_the_integral_of_the_squared_slope(key):
    a = amplitudes(key, 4)
    with jax.enable_x64(True):
        wide, z = a.astype(jnp.float64), Z.astype(jnp.float64)
        power = 2 * jnp.sum(wide**2, axis=-1)
        slope = jax.jvp(functools.partial(feedforward.fourier_density, wide), (z,), (z * 0 + 1,))
        want = (power[:, None] * slope[1]) ** 2
        np.testing.assert_allclose(feedforward.fourier_penalty(wide), 2 * want.mean(-1), rtol=1e-10)


def test_module_sows_its_penalty_and_learns_from_it(key):
    x = jax.random.normal(key, (4, 5, 3))
    module = feedforward.FourierHead(20, 8, regularization=1e-3)
    variables = module.init(key, x)
    assert set(variables) == {"params", "losses"}
    params = {"params": variables["params"]}
    logits, sown = module.apply(params, x, mutable=["losses"])
    a = feedforward.dense(x, **variables["params"]["amplitudes"])
    want = 1e-3 * feedforward.fourier_penalty(a).mean()
    np.testing.assert_allclose(sown["losses"]["fourier_penalty"][0], want, rtol=1e-5)
    np.testing.assert_allclose(logits, head(a, 20), atol=1e-4)
    np.testing.assert_array_equal(module.apply(params, x), logits)
    _, silent = feedforward.FourierHead(20, 8).apply(params, x, mutable=["losses"])
    assert not silent


def test_a_gradient_raises_the_target(key):
    """Steps on one target move all mass near it: the logits' sign and order are right."""
    a = amplitudes(key)
    loss = lambda a: -jax.nn.log_softmax(head(a, 20))[13]  # noqa: E731

    def step(a, _):
        return a - 0.3 * jax.grad(loss)(a), None

    a, _ = jax.jit(lambda a: jax.lax.scan(step, a, None, 300))(a)
    probabilities = jax.nn.softmax(head(a, 20))
    assert probabilities.argmax() == 13
    assert probabilities[11:16].sum() > 0.8
