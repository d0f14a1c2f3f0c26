import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnn import models
from jaxnn.layers import feedforward


def test_equals_a_numpy_loop(key):
    x = jax.random.normal(key, (5, 6))
    module = feedforward.MuLayer(16, 4)
    variables = jax.jit(module.init)(key, x)
    leaves, tree = jax.tree.flatten(variables)
    variables = jax.tree.unflatten(tree, [leaf + 0.1 for leaf in leaves])  # no ones, no zeros
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables["params"])
    assert p["d"]["kernel"].shape == (6, 2)

    def norm(v, name):
        v = (v - v.mean(-1, keepdims=True)) / np.sqrt(v.var(-1, keepdims=True) + 1e-6)
        return p[name]["scale"] * v + p[name]["bias"]

    def affine(v, name):
        return v @ p[name]["kernel"] + p[name]["bias"]

    v = np.asarray(x, np.float64)
    left = norm(affine(v, "a"), "left_norm")
    right = norm(affine(affine(v, "d"), "b"), "right_norm")
    want = affine(left + 1.1 * left * right, "c")
    np.testing.assert_allclose(jax.jit(module.apply)(variables, x), want, atol=1e-4)


def test_layers_in_a_row_are_a_polynomial_of_known_degree(key):
    """Along any line, the differences of order 2^k + 1 vanish and those of order 2^k do not."""
    model = nn.Sequential([feedforward.MuLayer(8, norm=None) for _ in range(2)])
    with jax.enable_x64(True):
        start, way = jax.random.normal(key, (2, 4), jnp.float64)
        line = start[None] + jnp.arange(6.0)[:, None] / 5 * way[None]
        params = jax.tree.map(lambda v: v.astype(jnp.float64), jax.jit(model.init)(key, line))
        values = jax.jit(model.apply)(params, line)
        fourth, fifth = (jnp.abs(jnp.diff(values, n, axis=0)).max() for n in (4, 5))
    assert fifth < 1e-10 * jnp.abs(values).max()
    assert fourth > 1e-6 * jnp.abs(values).max()


@pytest.mark.parametrize("axes", [(-3, -2), (-2,)])
def test_shift_equals_a_loop(key, axes):
    x = np.asarray(jax.random.normal(key, (2, 4, 3, 9)))
    got = feedforward.spatial_shift(jnp.asarray(x), axes=axes)
    want = x.copy()
    ways = [(axis % 4, step) for axis in axes for step in (-1, 1)]
    for index in np.ndindex(x.shape):
        group = max(g for g in range(len(ways)) if 9 * g // len(ways) <= index[-1])
        axis, step = ways[group]
        source = list(index)
        source[axis] = min(max(source[axis] + step, 0), x.shape[axis] - 1)
        want[index] = x[tuple(source)]
    np.testing.assert_array_equal(got, want)


def test_shift_of_one_position_or_none():
    for size in (0, 1):
        x = jnp.ones((size, 4))
        np.testing.assert_array_equal(feedforward.spatial_shift(x, axes=(-2,)), x)


@functools.partial(jax.jit, static_argnums=0)
def reads(module, key, x, mask=None):
    """Say which tokens each token reads."""
    variables = module.init(key, x)
    jacobian = jax.jacrev(lambda x: module.apply(variables, x, mask=mask))(x)
    return jnp.abs(jacobian).sum((1, 3)) > 0


def test_a_mixers_tokens_read_their_neighbours(key):
    x = jax.random.normal(key, (12, 16))
    near = np.zeros((12, 12), bool)
    for i, j in np.ndindex(12, 12):
        (a, b), (c, d) = divmod(i, 4), divmod(j, 4)
        near[i, j] = abs(a - c) + abs(b - d) == 1
    inner = [5, 6]  # borders keep channels of their own
    got = np.asarray(reads(feedforward.MuMixer(grid=(3, 4)), key, x))
    np.testing.assert_array_equal(got[inner], near[inner])
    got = np.asarray(reads(feedforward.MuMixer(), key, x))
    np.testing.assert_array_equal(got[1:-1], (np.eye(12, k=1) + np.eye(12, k=-1) > 0)[1:-1])


def test_padding_is_not_read(key):
    x, valid = jax.random.normal(key, (6, 16)), jnp.arange(6) < 4
    got = reads(feedforward.MuMixer(), key, x, valid[None, None])
    assert not got[:, 4:].any()
    assert got[2, 3]


def test_two_slots_make_a_poly_block(key):
    x = jax.random.normal(key, (2, 6, 16))
    block = models.TransformerBlock(
        1,
        mixer=functools.partial(feedforward.MuMixer, grid=(2, 3)),
        feedforward=functools.partial(feedforward.MuLayer, 48),
    )
    y, variables = jax.jit(functools.partial(block.init_with_output, deterministic=True))(key, x)
    assert y.shape == x.shape
    assert variables["params"]["feedforward"]["b"]["kernel"].shape == (6, 48)
    with pytest.raises(ValueError, match="MuMixer: `is_causal` is True; it needs False"):
        block.apply(variables, x, is_causal=True)
