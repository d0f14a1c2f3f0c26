"""Spiking networks for images: what they are composed of, and that they learn."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import spiking
from jaxnn.models import SpikingConvNetConfig, SpikingTransformerConfig

X = jnp.asarray(np.random.default_rng(0).uniform(size=(3, 4, 4)), jnp.float32)
CONV = SpikingConvNetConfig(features=(3, 4), time_steps=2, threshold=0.5)
MAX_FORMER = SpikingTransformerConfig(
    features=(4, 4), num_heads=2, time_steps=2, tau=1.5, threshold=0.4
)
SPIKFORMER = SpikingTransformerConfig(
    features=(4,), depths=(1,), num_heads=2, time_steps=2, threshold=0.5, shortcut="spike"
)


@functools.cache
def made(config):
    model = config.build((4, 4), 5)
    return model, jax.jit(model.init)(jax.random.key(0), X)


@pytest.mark.parametrize("config", [CONV, SPIKFORMER], ids=["conv", "transformer"])
def test_every_parameter_learns_and_examples_do_not_mix(config):
    model, variables = made(config)
    assert set(variables) == {"params", "batch_stats"}
    # Units must fire: where no value does, no query or key matters.
    params = jax.tree.map(lambda p: 1.5 * p + 0.5 * (p.ndim == 1), variables["params"])

    def total(params, x):
        return jnp.sum(model.apply(variables | {"params": params}, x)[1] ** 2)

    of_params, of_x = jax.jit(jax.grad(total, (0, 1)))(params, X)
    for path, leaf in jax.tree_util.tree_leaves_with_path(of_params):
        assert np.isfinite(leaf).all()
        assert np.any(leaf), path
    assert np.any(of_x[1])
    assert not np.any(of_x[0])
    assert not np.any(of_x[2])


def test_the_convolutional_network_is_its_layers():
    model, variables = made(CONV)
    variables = variables | {"params": jax.tree.map(lambda p: 2 * p + 0.1, variables["params"])}

    def part(name, layer, x):
        inner = {kind: tree[name] for kind, tree in variables.items() if name in tree}
        return layer.apply(inner, x)

    @jax.jit
    def by_hand(x):
        neuron = functools.partial(spiking.map_neuron, threshold=0.5)
        # Each step anew, the first convolution included; the model computes it once.
        shown = jnp.broadcast_to(x[None, ..., None], (2, *x.shape, 1))
        y = part("convs_0", spiking.SpikingConv(3, neuron=None), shown)
        y = spiking.max_pool(y, size=2, strides=2)
        y = part("convs_1", spiking.SpikingConv(4, neuron=neuron), y)
        spikes = neuron().apply({}, spiking.max_pool(y, size=2, strides=2)).reshape(2, 3, -1)
        head = variables["params"]["head"]
        i = spikes @ head["kernel"] + head["bias"][None, None]
        return spikes, (i[0] + (0.9 * i[0] + i[1])) / 2

    spikes, want = by_hand(X)
    assert 0.1 < spikes.mean() < 0.9
    got, seen = jax.jit(functools.partial(model.apply, mutable=["intermediates"]))(variables, X)
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert seen["intermediates"]["spikes"][0].shape == (3, 2, 1, 1, 4)


def test_the_transformer_is_its_stages():
    model, variables = made(MAX_FORMER)
    params = variables["params"]
    blocks = {"blocks_0_0", "blocks_1_0"}
    assert set(params) == {"stem", "embeddings_0", "embeddings_1", "head"} | blocks
    assert "kernel" in params["blocks_0_0"]["mixer"]
    assert "query" in params["blocks_1_0"]["mixer"]

    def part(name, layer, x):
        return layer.apply({kind: tree[name] for kind, tree in variables.items()}, x)

    @jax.jit
    def by_hand(x):
        neuron = functools.partial(spiking.map_neuron, tau=1.5, threshold=0.4)
        shown = jnp.broadcast_to(x[None, ..., None], (2, *x.shape, 1))
        y = part("stem", spiking.SpikingConv(4, neuron=None), shown)
        y = part("embeddings_0", spiking.SpikingPatchEmbedding(4, None, neuron=neuron), y)
        block = functools.partial(
            spiking.SpikingBlock,
            feedforward=functools.partial(spiking.SpikingFeedForward, neuron=neuron),
            neuron=neuron,
        )
        y = part("blocks_0_0", block(spiking.DepthwiseMixer), y)
        y = part("embeddings_1", spiking.SpikingPatchEmbedding(4, neuron=neuron), y)
        half = functools.partial(neuron, threshold=0.2)
        attention = functools.partial(
            spiking.SpikingSelfAttention, 2, neuron=neuron, attention_neuron=half
        )
        y = part("blocks_1_0", block(attention), y)
        assert y.shape == (2, 3, 2, 2, 4)
        rates = neuron().apply({}, y.mean((2, 3))).mean(0)
        return rates @ params["head"]["kernel"]  # its offset starts at zero

    np.testing.assert_allclose(jax.jit(model.apply)(variables, X), by_hand(X), atol=1e-5)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("config", "shape", "match"),
    [
        (CONV, (8,), "SpikingConvNetConfig: `input_shape` is .* images"),
        (dataclasses.replace(CONV, features=()), (8, 8), "`features` is .* at least one width"),
        (dataclasses.replace(CONV, tau=0.5), (8, 8), "`tau` is 0.5; it needs"),
        (dataclasses.replace(MAX_FORMER, depths=(1,)), (8, 8), "`depths` is .* 2 numbers"),
        (dataclasses.replace(MAX_FORMER, num_heads=3), (8, 8), "`num_heads` is 3; .*4 channels"),
    ],
)
def test_bad_configs_are_named(config, shape, match):
    with pytest.raises(ValueError, match=match):
        config.build(shape, 10)
