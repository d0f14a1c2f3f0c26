import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import kan


@pytest.mark.parametrize(("strides", "padding"), [(1, "VALID"), ((2, 1), "SAME")])
def test_equals_a_loop_over_taps(strides, padding, key):
    """Every tap is a KAN layer on a shifted image; beyond the edges nothing is added."""
    layer = kan.KANConv(2, (3, 2), strides, padding, grid=2, degree=2)
    x = jax.random.uniform(key, (2, 5, 4, 3), minval=-1.0)
    variables = jax.jit(layer.init)(key, x)
    c, w = variables["params"]["coefficients"], variables["params"]["base_kernel"]
    assert c.shape == (3, 2, 4, 3, 2)
    assert w.shape == (3, 2, 3, 2)
    down, right = (strides, strides) if isinstance(strides, int) else strides
    if padding == "VALID":
        (top, left), (height, width) = (0, 0), (3, 3)
    else:  # as many places as the stride gives, the smaller half of the padding first
        height, width = -(-5 // down), -(-4 // right)
        top = max((height - 1) * down + 3 - 5, 0) // 2
        left = max((width - 1) * right + 2 - 4, 0) // 2
    basis = lambda rows: kan.uniform_bspline_basis(rows, grid=2, degree=2)  # noqa: E731
    want = np.zeros((2, height, width, 2))
    tap = jax.jit(lambda v, c, w: kan.kan_layer(v, c, w, basis=basis))
    for r, q, p, s in itertools.product(range(3), range(2), range(height), range(width)):
        row, column = p * down + r - top, s * right + q - left
        if 0 <= row < 5 and 0 <= column < 4:
            want[:, p, s] += tap(x[:, row, column], c[r, q], w[r, q])
    np.testing.assert_allclose(jax.jit(layer.apply)(variables, x), want, atol=1e-5)


def test_one_tap_is_a_layer_at_every_place(key):
    conv, layer = kan.KANConv(4, (1,), basis="chebyshev"), kan.KANLayer(4, basis="chebyshev")
    x = jax.random.normal(key, (2, 3, 6, 5))  # two batch axes, one of space
    variables = jax.jit(conv.init)(key, x)
    params = {name: value[0] for name, value in variables["params"].items()}
    want = jax.jit(layer.apply)({"params": params}, x)
    np.testing.assert_allclose(jax.jit(conv.apply)(variables, x), want, atol=1e-5)


def test_keeps_the_second_moment_inside(key):
    layer = kan.KANConv(32, (3, 3), padding="VALID", grid_range=(-2.0, 2.0), base=jnp.tanh)
    x = jax.random.uniform(key, (4, 9, 9, 16), minval=-2.0, maxval=2.0)
    y = jax.jit(layer.init_with_output)(key, x)[0]
    assert 0.8 < jnp.mean(y**2) / jnp.mean(x**2) < 1.25
