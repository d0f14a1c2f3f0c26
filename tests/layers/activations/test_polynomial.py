import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import models
from jaxnn.layers import activations, feedforward

A = jnp.array([0.3, -1.2, 0.7, 0.4])
poly_relu = jax.jit(activations.poly_relu)
poly_norm = jax.jit(activations.poly_norm)


def test_poly_relu_equals_numpys_polynomial(key):
    x = jax.random.normal(key, (5, 7))
    want = np.polynomial.Polynomial(np.asarray(A, np.float64))(np.maximum(x, 0))
    np.testing.assert_allclose(poly_relu(x, A), want, atol=1e-5)


def test_poly_relu_holds_relu_and_its_square(key):
    x = jax.random.normal(key, (5, 7))
    np.testing.assert_array_equal(poly_relu(x, jnp.array([0.0, 1.0])), jax.nn.relu(x))
    square = poly_relu(x, jnp.array([0.0, 0.0, 1.0]))
    np.testing.assert_array_equal(square, jax.nn.relu(x) ** 2)


def test_poly_norm_equals_a_numpy_loop(key):
    x = np.asarray(jax.random.normal(key, (5, 7)), np.float64)
    want = np.full(x.shape, float(A[0]))
    for i in range(1, 4):
        want += float(A[i]) * x**i / np.sqrt(np.mean((x**i) ** 2, axis=-1, keepdims=True))
    np.testing.assert_allclose(poly_norm(jnp.asarray(x, jnp.float32), A), want, atol=1e-5)


@pytest.mark.parametrize("scale", [0.1, 1e15])  # 1e15 to the third power has no float32 square
def test_poly_norm_does_not_see_the_scale(key, scale):
    x = jax.random.normal(key, (5, 7))
    # ε is 1e-6 of the mean square of x, and 1e-4 of it once x is ten times smaller.
    np.testing.assert_allclose(poly_norm(scale * x, A), poly_norm(x, A), atol=1e-3)


def test_turning_the_sign_turns_the_odd_powers(key):
    x = jax.random.normal(key, (5, 7))
    turned = A * jnp.array([1.0, -1.0, 1.0, -1.0])
    np.testing.assert_allclose(poly_norm(-x, A), poly_norm(x, turned), atol=1e-6)
    assert not np.allclose(poly_norm(-x, A), poly_norm(x, A), atol=0.1)


@pytest.mark.parametrize("module", [activations.PolyReLU, activations.PolyNorm])
def test_starts_as_in_the_paper_with_one_set_a_block(key, module):
    def block(**options):
        return feedforward.FeedForward(16, activation=module(parent=None), **options)

    model = models.Transformer(vocabulary=7, features=8, depth=2, num_heads=2, feedforward=block)
    tokens = jnp.arange(5)[None]
    params = jax.jit(model.init)(key, tokens)["params"]
    for i in (0, 1):
        own = params[f"blocks_{i}"]["feedforward"]["activation"]["coefficients"]
        np.testing.assert_allclose(own, [0, 1 / 3, 1 / 3, 1 / 3])

    def loss(params):
        return jnp.sum(jnp.asarray(model.apply({"params": params}, tokens)) ** 2)

    gradient = jax.jit(jax.grad(loss))(params)
    both = [gradient[f"blocks_{i}"]["feedforward"]["activation"]["coefficients"] for i in (0, 1)]
    assert not np.allclose(*both)
    assert all((jnp.abs(g) > 0).all() for g in both)


def test_one_instance_is_one_set(key):
    model = models.MLP((4, 4, 2), activation=activations.PolyReLU())
    params = jax.jit(model.init)(key, jnp.ones((2, 3)))["params"]
    assert set(params) == {"dense_0", "dense_1", "dense_2", "activation"}
