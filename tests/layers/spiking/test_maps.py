"""Convolutions, pools, mixers and blocks of spike maps, against loops over steps and places."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import spiking
from jaxnn.layers.spiking._windows import convolution


def draw(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def windows(x, size, strides):
    """Give the places of each window that lie on the map, and their offsets in the window."""
    height, width = x.shape[:2]
    for p, row in enumerate(range(0, height, strides)):
        for q, column in enumerate(range(0, width, strides)):
            places = [
                (row + i - (size - 1) // 2, column + j - (size - 1) // 2, i, j)
                for i in range(size)
                for j in range(size)
            ]
            inside = [o for o in places if 0 <= o[0] < height and 0 <= o[1] < width]
            yield p, q, inside


@pytest.mark.parametrize(("size", "strides"), [(3, 1), (3, 2), (2, 2), (5, 1)])
def test_pools_and_convolutions_equal_loops_over_places(size, strides, monkeypatch):
    arrays = draw(0, 5, 6, 2), draw(1, size, size, 2), draw(2, size, size, 2, 3)
    x, kernel, full = (np.asarray(a) for a in arrays)
    shape = (-(-5 // strides), -(-6 // strides))
    biggest, mean = np.zeros((*shape, 2)), np.zeros((*shape, 2))
    depthwise, dense = np.zeros((*shape, 2)), np.zeros((*shape, 3))
    for p, q, inside in windows(x, size, strides):
        values = np.array([x[a, b] for a, b, _, _ in inside], float)
        biggest[p, q], mean[p, q] = values.max(0), values.mean(0)
        depthwise[p, q] = sum(x[a, b] * kernel[i, j] for a, b, i, j in inside)
        dense[p, q] = sum(x[a, b] @ full[i, j] for a, b, i, j in inside)
    options = {"size": size, "strides": strides}
    np.testing.assert_allclose(spiking.max_pool(arrays[0], **options), biggest)
    np.testing.assert_allclose(spiking.avg_pool(arrays[0], **options), mean, atol=1e-6)
    for backend in ("cpu", "gpu"):  # each has its own form, and both run here
        monkeypatch.setattr(jax, "default_backend", lambda backend=backend: backend)
        got = spiking.depthwise_convolution(*arrays[:2], strides=strides)
        np.testing.assert_allclose(got, depthwise, atol=1e-5)
        got = convolution(arrays[0], arrays[2], strides=strides)
        np.testing.assert_allclose(got, dense, atol=1e-5)


def test_pooled_spikes_are_spikes_by_maxima_and_shares_by_means():
    spikes = (draw(0, 4, 2, 6, 6, 3) > 0.8).astype(jnp.float32)
    assert set(np.unique(spiking.max_pool(spikes))) == {0, 1}
    shares = np.unique(np.asarray(spiking.avg_pool(spikes))[..., 1:-1, 1:-1, :])
    np.testing.assert_allclose(shares * 9, np.round(shares * 9), atol=1e-5)
    assert len(shares) > 3


def charge(x, tau=2.0, threshold=1.0):
    """The paper's neuron: u = v + (x - v) / tau, hard reset, along the first axis."""
    v, spikes = np.zeros(x.shape[1:]), []
    for now in np.asarray(x):
        u = v + (now - v) / tau
        s = (u > threshold).astype(float)
        v = u * (1 - s)
        spikes.append(s)
    return np.array(spikes)


@pytest.mark.parametrize("tau", [1.0, 2.0, 5.0])
def test_neuron_is_the_papers(tau):
    x = 3 * draw(0, 9, 2, 4, 4, 3)
    got = jax.jit(spiking.map_neuron(tau=tau, threshold=0.7).apply)({}, x)
    want = charge(x, tau, 0.7)
    assert 0.05 < want.mean() < 0.95
    np.testing.assert_array_equal(got, want)


def test_reset_passes_no_gradient():
    """Where the first step fired, the second does not depend on the first's drive."""
    neuron = spiking.map_neuron()

    def second(x):
        return neuron.apply({}, x)[1, 0]

    slope = jax.jit(jax.grad(second))
    fired = slope(jnp.array([[2.5], [1.0]]))
    silent = slope(jnp.array([[1.5], [1.0]]))
    assert fired[0, 0] == 0 < fired[1, 0]
    assert silent[0, 0] == pytest.approx(0.5 * silent[1, 0])


def filled(module, x, seed=3):
    """Give variables in which every number, the statistics too, is drawn."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), x)
    random = np.random.default_rng(seed)

    def one(path, leaf):
        name = path[-1].key
        if name == "var":
            return jnp.asarray(random.uniform(0.5, 2, leaf.shape), leaf.dtype)
        if name == "scale":
            return jnp.asarray(random.uniform(2, 3, leaf.shape), leaf.dtype)
        fan = max(np.prod(leaf.shape[:-1]), 1)
        return jnp.asarray(random.normal(size=leaf.shape) / np.sqrt(fan), leaf.dtype)

    return jax.tree_util.tree_map_with_path(one, shapes)


def mapped(variables, *path):
    """Make the NumPy form of a convolution of one tap, or of any with ``apply``, and its norm."""
    params, stats = variables["params"], variables["batch_stats"]
    for name in path:
        params, stats = params[name], stats[name]
    kernel = np.asarray(params["kernel"], float)

    def norm(y):
        mean, var = (np.asarray(stats["norm"][name], float) for name in ("mean", "var"))
        scale, bias = (np.asarray(params["norm"][name], float) for name in ("scale", "bias"))
        return (y - mean) / np.sqrt(var + 1e-5) * scale + bias

    def apply(x):
        x = np.asarray(x)
        if kernel.shape[0] == 1:
            return norm(x @ kernel[0, 0])
        y = np.zeros((*x.shape[:-1], kernel.shape[-1]))
        for index in np.ndindex(*x.shape[:-3]):
            for p, q, inside in windows(x[index], kernel.shape[0], 1):
                for a, b, i, j in inside:
                    row = x[index][a, b]
                    full = kernel.ndim == 4
                    y[*index, p, q] += row @ kernel[i, j] if full else row * kernel[i, j]
        return norm(y)

    return apply


def test_attention_block_equals_a_loop_over_steps_and_tokens():
    """Every step's tokens meet that step's tokens alone; the neurons link the steps."""
    x = 2 * draw(0, 3, 2, 2, 3, 4)
    mixer = functools.partial(spiking.SpikingSelfAttention, num_heads=2, scale=0.4)
    block = spiking.SpikingBlock(mixer=mixer)
    variables = filled(block, x)
    spikes = charge(x)
    q, k, v = (
        charge(mapped(variables, "mixer", name)(spikes)).reshape(3, 2, 6, 2, 2)
        for name in ("query", "key", "value")
    )
    y = np.zeros_like(v)
    for t, b, h, i, j in np.ndindex(3, 2, 2, 6, 6):
        y[t, b, i, h] += 0.4 * (q[t, b, i, h] @ k[t, b, j, h]) * v[t, b, j, h]
    spikes = charge(y.reshape(x.shape), threshold=0.5)
    assert 0.02 < spikes.mean() < 0.98
    want = x + mapped(variables, "mixer", "output")(spikes)
    hidden = charge(mapped(variables, "feedforward", "hidden")(charge(want)))
    want = want + mapped(variables, "feedforward", "output")(hidden)
    np.testing.assert_allclose(jax.jit(block.apply)(variables, x), want, atol=1e-4)


def test_depthwise_block_with_spike_shortcuts_equals_a_loop():
    x = (draw(0, 3, 2, 3, 3, 4) > 0.3).astype(jnp.float32)
    block = spiking.SpikingBlock(mixer=spiking.DepthwiseMixer, shortcut="spike")
    variables = filled(block, x)
    want = x + charge(mapped(variables, "mixer")(x))
    hidden = charge(mapped(variables, "feedforward", "hidden")(want))
    want = want + charge(mapped(variables, "feedforward", "output")(hidden))
    np.testing.assert_array_equal(jax.jit(block.apply)(variables, x), want)
    assert {0, 1, 2} <= set(np.unique(want))


def test_embedding_equals_a_loop_and_halves_the_map():
    x = 2 * draw(0, 3, 2, 4, 4, 3)
    embedding = spiking.SpikingPatchEmbedding(5)
    variables = filled(embedding, x)
    pool = jax.jit(functools.partial(spiking.max_pool, strides=2))
    spikes = charge(x)
    y = pool(jnp.asarray(mapped(variables, "first", "conv")(spikes)))
    y = mapped(variables, "second", "conv")(charge(y))
    want = y + pool(jnp.asarray(mapped(variables, "shortcut", "conv")(spikes)))
    got = jax.jit(embedding.apply)(variables, x)
    assert got.shape == (3, 2, 2, 2, 5)
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_pooling_block_without_shortcut_is_the_papers_code():
    x = 2 * draw(0, 3, 2, 3, 3, 4)
    mixer = functools.partial(spiking.PoolMixer, spiking.avg_pool)
    block = spiking.SpikingBlock(mixer=mixer, keeps=False)
    variables = filled(block, x)
    alone = spiking.SpikingBlock(mixer=None)
    want = jax.jit(alone.apply)(variables, jax.jit(spiking.avg_pool)(x))
    np.testing.assert_allclose(jax.jit(block.apply)(variables, x), want, atol=1e-5)


def test_statistics_are_collected_over_all_steps_and_used_afterwards():
    x = draw(0, 4, 3, 3, 3, 2) + 5
    layer = spiking.SpikingConv(3, neuron=None)
    variables = filled(layer, x)
    variables["batch_stats"]["conv"]["norm"]["mean"] = jnp.ones(3)
    variables["params"]["conv"]["norm"] = {"scale": jnp.ones(3), "bias": jnp.zeros(3)}
    apply = jax.jit(functools.partial(layer.apply, mutable=["batch_stats"]))
    y, seen = apply(variables, x)
    np.testing.assert_allclose(np.mean(y, (0, 1, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(np.std(y, (0, 1, 2, 3)), 1, atol=1e-2)
    kept = seen["batch_stats"]["conv"]["norm"]["mean"]
    plain = convolution(jnp.asarray(x), variables["params"]["conv"]["kernel"])
    np.testing.assert_allclose(kept, 0.9 + 0.1 * np.mean(plain, (0, 1, 2, 3)), rtol=1e-4)
