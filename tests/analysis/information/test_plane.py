from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.metrics import mutual_info_score

from jaxnn.analysis import information

RNG = np.random.default_rng(0)
T, Y = RNG.normal(size=(40, 2)), RNG.integers(0, 3, 40)
ADAPTIVE = (information.adaptive_binned_information, information.adaptive_kde_information)


def array(x):
    return jnp.asarray(x, jnp.float32)


def mixture(t, variance):
    """Minus the mean log of the mean kernel, written out."""
    square = ((t[:, None] - t[None]) ** 2).sum(-1)
    return np.mean(np.log(len(t)) - logsumexp(-square / (2 * variance), axis=1))


def test_mixture_bounds_equal_scipy():
    lower, upper = information.mixture_information(array(T), 0.3)
    np.testing.assert_allclose(upper, mixture(T, 0.3), rtol=1e-5)
    np.testing.assert_allclose(lower, mixture(T, 4 * 0.3), rtol=1e-5)
    point = information.kde_information(array(T), jnp.asarray(Y), variance=0.3)
    within = sum(np.mean(c == Y) * mixture(T[c == Y], 0.3) for c in range(3))
    np.testing.assert_allclose(point.inputs, upper, rtol=1e-6)
    np.testing.assert_allclose(point.labels, mixture(T, 0.3) - within, rtol=1e-4)


def test_mixture_of_a_gaussian_has_a_closed_form():
    deviation, noise = 2.0, 0.25
    t = array(deviation * RNG.normal(size=(2000, 1)))
    lower, upper = information.mixture_information(t, noise)
    form = lambda v: 0.5 * np.log1p(4 / v) + 2 / (4 + v)  # noqa: E731
    np.testing.assert_allclose(upper, form(noise), atol=0.05)
    np.testing.assert_allclose(lower, form(4 * noise), atol=0.05)
    assert lower < 0.5 * np.log1p(4 / noise) < upper


def test_binned_points_equal_scikit_learn():
    t, y = array(T), jnp.asarray(Y)
    cases = {
        "uniform": (
            information.bin_uniform(t, bins=4, low=-2.0, high=2.0),
            information.binned_information(t, y, bins=4, low=-2.0, high=2.0),
        ),
        "adaptive": (
            information.bin_quantile(t, bins=4),
            information.adaptive_binned_information(t, y, bins=4),
        ),
    }
    for states, point in cases.values():
        names = np.asarray(states) @ [10, 1]
        np.testing.assert_allclose(point.inputs, mutual_info_score(names, names), rtol=1e-5)
        np.testing.assert_allclose(point.labels, mutual_info_score(names, Y), atol=1e-5)
        assert point.labels < point.inputs


@pytest.mark.parametrize("estimator", ADAPTIVE)
def test_adaptive_estimates_ignore_scale(estimator):
    want = estimator(array(T), jnp.asarray(Y))
    for scale in (1e-15, 100.0, 1e15):
        got = estimator(array(scale * T), jnp.asarray(Y))
        np.testing.assert_allclose(got, want, atol=1e-4)


def test_plane_has_one_point_a_layer():
    layers = {"a": array(T), "b": array(T[:, :1]), "image": array(T[:, :, None])}
    estimator = partial(information.adaptive_binned_information, bins=3)
    points = information.information_plane(layers, jnp.asarray(Y), estimator=estimator)
    assert points["a"] == points["image"] == estimator(array(T), jnp.asarray(Y))
    assert points["b"].inputs < points["a"].inputs
