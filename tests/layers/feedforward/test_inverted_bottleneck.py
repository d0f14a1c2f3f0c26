import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.layers import feedforward


def test_equals_a_numpy_loop(key):
    shapes = ((5, 3), (3,), (3,), (3, 8), (8,), (8, 3), (3,))
    keys = jax.random.split(key, len(shapes))
    arrays = [jax.random.normal(k, s) for k, s in zip(keys, shapes, strict=True)]
    x, g, b, up, a, down, c = (np.asarray(array, np.float64) for array in arrays)
    want = np.zeros(x.shape)
    for i, row in enumerate(x):
        normal = g * (row - row.mean()) / np.sqrt(row.var() + 1e-6) + b
        want[i] = row + np.maximum(normal @ up + a, 0) @ down + c
    got = feedforward.inverted_bottleneck(*arrays, activation=jax.nn.relu)
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_a_silent_block_is_the_identity(key):
    block, x = feedforward.InvertedBottleneck(), jax.random.normal(key, (2, 4))
    params = jax.jit(block.init)(key, x)["params"]
    assert params["feedforward"]["up"]["kernel"].shape == (4, 16)
    params["feedforward"]["down"] = jax.tree.map(jnp.zeros_like, params["feedforward"]["down"])
    np.testing.assert_array_equal(block.apply({"params": params}, x), x)


def test_drops_units_exactly_when_given_a_key(key):
    block, x = feedforward.InvertedBottleneck(64, dropout_rate=0.5), jnp.arange(6.0).reshape(2, 3)
    variables = jax.jit(block.init)(key, x)
    plain = block.apply(variables, x)
    assert not np.allclose(plain, block.apply(variables, x, rngs={"dropout": key}))
    forced = block.apply(variables, x, deterministic=True, rngs={"dropout": key})
    np.testing.assert_array_equal(plain, forced)


def test_feedforward_is_a_slot(key):
    lazy = functools.partial(feedforward.TopKFeedForward, 2, 8)
    block, x = feedforward.InvertedBottleneck(feedforward=lazy), jax.random.normal(key, (2, 3))
    y, sown = block.apply(jax.jit(block.init)(key, x), x, mutable=["intermediates"])
    assert y.shape == x.shape
    (hidden,) = sown["intermediates"]["feedforward"]["hidden"]
    assert ((hidden > 0).sum(-1) <= 2).all()
