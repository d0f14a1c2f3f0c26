import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from sklearn.linear_model import Ridge

from jaxnn.layers import kernel

FUNCTIONS = {
    "sine": (kernel.sine_spectrum, np.sin),
    "cosine": (kernel.cosine_spectrum, np.cos),
    "exponential": (kernel.exponential_spectrum, np.exp),
    "gaussian": (kernel.gaussian_spectrum, lambda z: np.exp(-(z**2) / 8)),
}


def growing_wave(key, features):
    """Give a spectrum whose parts all matter: e^{z/2} cos(0.8 z + 0.3), twice."""
    del key
    return kernel.Spectrum(*(jnp.full(features, part) for part in (0.5, 0.8, 2.0, 0.3)))


WAVE = growing_wave, lambda z: 2 * np.exp(z / 2) * np.cos(0.8 * z + 0.3)


@pytest.mark.parametrize("name", ["sine", "cosine", "exponential", "growing wave"])
def test_the_mean_over_directions_is_the_function(name):
    """With the nodes of Gauss and Hermite for directions, the mean is a sum without noise."""
    spectrum, function = {**FUNCTIONS, "growing wave": WAVE}[name]
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    directions = jnp.float32(nodes[:, None])
    x, w = jnp.linspace(-1.5, 1.5, 7)[:, None], jnp.linspace(-1, 1.2, 5)[:, None]
    phi = kernel.universal_phi(x, directions, spectrum(None, 40))
    psi = kernel.universal_psi(w, directions)
    got = np.einsum("xk,wk,k->xw", phi, psi, 40 * weights / weights.sum())
    np.testing.assert_allclose(got, function(np.asarray(x) * np.asarray(w).T), atol=2e-4)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_estimates_are_unbiased_and_their_error_falls_with_features(name, key):
    """Within five standard errors over 2¹⁶ features; the mean square is inverse in their number."""
    spectrum, function = FUNCTIONS[name]
    keys, count = jax.random.split(key), 2**16
    x, w = jnp.array([0.5, -0.3, 0.4]), jnp.array([0.6, 0.7, -0.2])
    directions, draws = kernel.random_directions(keys[0], 3, count), spectrum(keys[1], count)
    exact = function(float(x @ w))
    products = count * np.asarray(
        kernel.universal_phi(x, directions, draws) * kernel.universal_psi(w, directions), float
    )
    assert abs(products.mean() - exact) < 5 * products.std() / np.sqrt(count)

    @jax.jit
    @jax.vmap
    def estimate(directions, draws):
        phi = kernel.universal_phi(x, directions, draws)
        return phi @ kernel.universal_psi(w, directions)

    errors = []
    for m in (16, 256):
        parts = jax.tree.map(lambda a, m=m: a.reshape(-1, m, *a.shape[1:]), (directions, draws))
        errors.append(np.mean((np.asarray(estimate(*parts), float) - exact) ** 2))
    assert -1.2 < np.log(errors[1] / errors[0]) / np.log(16) < -0.8


def test_a_bias_is_one_more_input(key):
    """The sine of w·x + b, with 1 appended to x and b to w: not the sine of w·x."""
    directions = kernel.random_directions(key, 3, 2**17)
    x, w = jnp.array([0.4, -0.3, 1.0]), jnp.array([0.5, 0.2, 0.6])
    phi = kernel.universal_phi(x, directions, kernel.sine_spectrum(None, 2**17))
    got = float(phi @ kernel.universal_psi(w, directions))
    np.testing.assert_allclose(got, np.sin(0.4 * 0.5 - 0.3 * 0.2 + 0.6), atol=0.05)


def test_arc_cosine_by_quadrature():
    """A normal direction in the plane has a uniform angle and a mean square length of 2."""
    angles = np.linspace(0, 2 * np.pi, 20_000, endpoint=False)
    directions = jnp.float32(np.stack([np.cos(angles), np.sin(angles)], 1) * np.sqrt(2))
    random = np.random.default_rng(0)
    x, w = (jnp.float32(random.normal(size=(6, 2))) for _ in range(2))
    w = w.at[0].set(2 * x[0]).at[1].set(-x[1])
    closed = kernel.arc_cosine_kernel(x, w)
    features = [np.asarray(kernel.relu_features(a, directions), float) for a in (x, w)]
    np.testing.assert_allclose(closed, (features[0] * features[1]).sum(1), atol=1e-4)
    np.testing.assert_allclose(closed[0], 2 * jnp.sum(x[0] ** 2), rtol=1e-5)
    np.testing.assert_allclose(closed[1], 0, atol=1e-6)
    slope = jax.grad(lambda a: kernel.arc_cosine_kernel(a, a))(x[0])
    np.testing.assert_allclose(slope, 2 * x[0], rtol=1e-5)
    assert kernel.arc_cosine_kernel(jnp.zeros(2), w[0]) == 0


def test_a_layer_begins_as_the_layer_it_stands_for(key):
    """Its kernel holds features of a dense layer's weights: with many, the layer's own sine."""
    x = 0.3 * jax.random.normal(key, (5, 3))
    module = kernel.SNNKDense(4, 2**15, kernel.sine_spectrum)
    variables = jax.jit(module.init)(key, x)
    assert variables["params"]["kernel"].shape == (2**15, 4)
    drawn = {}

    def remember(key, shape, dtype=jnp.float32):
        drawn["w"] = nn.initializers.lecun_normal()(key, (3, 4), dtype)
        return jnp.zeros(shape, dtype)

    kernel.SNNKDense(4, 8, kernel.sine_spectrum, kernel_init=remember).init(key, x)
    want = jnp.sin(x @ drawn["w"])
    np.testing.assert_allclose(module.apply(variables, x), want, atol=0.15)
    assert np.abs(np.asarray(want)).max() > 0.3


def test_an_adapter_begins_as_nothing_and_learns(key):
    x = jax.random.normal(key, (5, 6))
    module = kernel.SNNKAdapter(3)
    variables = module.init(key, x)
    np.testing.assert_array_equal(module.apply(variables, x), x)
    slope = jax.grad(lambda v: jnp.sum(module.apply(v, x) ** 2))(variables)["params"]
    assert np.abs(slope["kernel"]).max() > 0
    assert {name: v.shape for name, v in slope.items()} == {"kernel": (3, 6), "bias": (6,)}


@pytest.mark.parametrize("use_bias", [(True, True), (True, False), (False, True), (False, False)])
def test_bundled_layers_are_the_two_layers(key, use_bias):
    bias = nn.initializers.normal()
    first = kernel.SNNKDense(4, 8, use_bias=use_bias[0], bias_init=bias)
    second = nn.Dense(3, use_bias=use_bias[1], bias_init=bias)
    x = jax.random.normal(key, (5, 6))
    below = jax.jit(first.init)(key, x)
    h = first.apply(below, x)
    above = second.init(key, h)
    params = kernel.bundle(below["params"], above["params"])
    both = kernel.SNNKDense(3, 8, use_bias=any(use_bias))
    np.testing.assert_allclose(both.apply({"params": params}, x), second.apply(above, h), atol=1e-5)


def test_the_bundled_network_has_a_closed_form(key):
    module = kernel.BundledSNNK(2, (16, 7))
    x, y = jax.random.normal(key, (40, 5)), jax.random.normal(jax.random.key(1), (40, 2)) + 3
    values = module.apply({}, x, method="embed")
    params = kernel.fit_readout(values, y, ridge=0.5)
    theirs = Ridge(0.5, solver="svd").fit(np.asarray(values, float), np.asarray(y, float))
    np.testing.assert_allclose(params["kernel"].T, theirs.coef_, atol=1e-4)
    got = module.apply({"params": params}, x)
    np.testing.assert_allclose(got, theirs.predict(np.asarray(values, float)), atol=1e-4)
    layers = kernel.BundledSNNK(2, (16,)).apply({}, x, method="embed")
    upper = kernel.BundledSNNK(2, (7,), seed=1).apply({}, layers, method="embed")
    np.testing.assert_allclose(values, upper, atol=1e-6)
