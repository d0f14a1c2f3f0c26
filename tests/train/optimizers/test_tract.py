import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.train import optimizers

RNG = np.random.default_rng(0)


def setting(rows, inputs):
    sizes = ((rows, inputs), (inputs, 3), (rows, 3))
    return [jnp.asarray(RNG.normal(size=size), jnp.float32) for size in sizes]


@functools.partial(jax.jit, static_argnums=3)
def gradients(kernel, x, y, damping):
    """Of the mean over rows, plain and of trainable outputs, and the outputs' own."""

    def loss(kernel, x):
        return jnp.mean(jnp.sum(jnp.sin(x @ kernel) * y, axis=-1))

    def changed(kernel, x):
        return loss(optimizers.tract(kernel, x, damping=damping), x)

    outputs = jax.grad(lambda z: jnp.mean(jnp.sum(jnp.sin(z) * y, axis=-1)))(x @ kernel)
    return jax.grad(loss, (0, 1))(kernel, x), jax.grad(changed, (0, 1))(kernel, x), outputs


@pytest.mark.parametrize(("rows", "inputs"), [(9, 4), (4, 9)])
def test_solves_the_least_squares_of_the_paper(rows, inputs):
    """By NumPy's least squares over stacked equations; both systems of the closed form."""
    x, kernel, y = setting(rows, inputs)
    _, (found, to_x), g = gradients(kernel, x, y, 0.1)
    left = np.concatenate([x / rows**0.5, 0.1**0.5 * np.eye(inputs)]).astype(float)
    right = np.concatenate([rows**0.5 * g, np.zeros((inputs, 3))])
    np.testing.assert_allclose(found, np.linalg.lstsq(left, right)[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(to_x, np.cos(x @ kernel) * y / rows @ kernel.T, atol=1e-5)


def test_much_damping_is_the_usual_gradient():
    x, kernel, y = setting(9, 4)
    (plain, _), (found, _), _ = gradients(kernel, x, y, 1e5)
    np.testing.assert_allclose(1e5 * found, plain, rtol=1e-3, atol=1e-5)


def test_a_convolution_by_its_patches():
    x = jnp.asarray(RNG.normal(size=(2, 5, 5, 2)), jnp.float32)
    kernel = jnp.asarray(RNG.normal(size=(3, 3, 2, 4)), jnp.float32)
    patches = jnp.concatenate([x[:, i : i + 3, j : j + 3] for i in range(3) for j in range(3)], -1)

    def convolve(kernel):
        dims = jax.lax.conv_dimension_numbers(x.shape, kernel.shape, ("NHWC", "HWIO", "NHWC"))
        kernel = optimizers.tract(kernel, patches)
        return jnp.sum(jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", None, None, dims))

    def multiply(kernel):
        return jnp.sum(patches @ optimizers.tract(kernel, patches))

    found = jax.jit(jax.grad(convolve))(kernel)
    wanted = jax.jit(jax.grad(multiply))(kernel.reshape(18, 4))
    np.testing.assert_allclose(found.reshape(18, 4), wanted, rtol=1e-3, atol=1e-4)
