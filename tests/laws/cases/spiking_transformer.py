"""Rows of ``layers.spiking``: maps of spikes, their mixers, and attention between spikes."""

import functools

import jax
import jax.numpy as jnp

from jaxnn.layers import spiking
from tests.laws.case import Case, Plain, Reject
from tests.laws.makers import normal

HOME = "layers.spiking"
MAPS = "tests/layers/spiking/test_maps.py"
ATTENTION = "tests/layers/spiking/test_self_attention.py"
X = jnp.ones((2, 1, 2, 2, 4))
JUMPS = {
    "gradients": "spikes are steps and their gradient a surrogate's, which finite differences "
    "cannot see; the parity test holds the values"
}
COMPOSED = JUMPS | {
    "jit": "made of parts that are held to it; eagerly each operation is a program of its own"
}


def rejects(call, error, match):
    return Reject(call=call, error=error, match=match)


def refused(make, match, x=X):
    return rejects(lambda: make().init(jax.random.key(0), x), ValueError, match)


def map_case(name, module, *refusals, exempt=JUMPS):
    init = jax.jit(module.init)

    def inputs(key):
        (x,) = normal(key, X.shape)
        return init(key, x).get("params", {}), x

    def function(params, x):
        # The statistics are no parameters: kept as they start, so that no law scales them.
        shapes = jax.eval_shape(module.init, jax.random.key(0), X).get("batch_stats", {})
        fill = {"mean": jnp.zeros, "var": jnp.ones}
        stats = jax.tree_util.tree_map_with_path(
            lambda path, leaf: fill[path[-1].key](leaf.shape, x.dtype), shapes
        )
        return module.apply({"params": params, "batch_stats": stats}, x)

    return Case(
        name=f"{HOME}.{name}",
        function=function,
        inputs=inputs,
        parity=MAPS,
        exempt=exempt,
        differentiable=(1,) if name == "PoolMixer" else None,
        rejects=(
            refused(
                lambda: module, rf"{name}: `x` is .*it needs shape \(time, \*batch, height", X[0, 0]
            ),
            *refusals,
        ),
    )


CASES = [
    *(
        Case(
            name=f"{HOME}.{name}",
            function=functools.partial(getattr(spiking, name), strides=2),
            inputs=lambda key: normal(key, (5, 4, 2)),
            parity=MAPS,
            rejects=(
                rejects(
                    lambda name=name: getattr(spiking, name)(X > 0),
                    TypeError,
                    f"{name}: `x` .*floating-point",
                ),
                rejects(
                    lambda name=name: getattr(spiking, name)(X, size=0),
                    ValueError,
                    f"{name}: `size` is 0; it needs a whole number above zero",
                ),
            ),
        )
        for name in ("max_pool", "avg_pool")
    ),
    Case(
        name=f"{HOME}.depthwise_convolution",
        function=spiking.depthwise_convolution,
        inputs=lambda key: normal(key, (4, 3, 2), (3, 3, 2)),
        parity=MAPS,
        rejects=(
            rejects(
                lambda: spiking.depthwise_convolution(X, jnp.ones((3, 3, 2))),
                ValueError,
                r"depthwise_convolution: `kernel` .* needs shape \(size, size, 4\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.spiking_self_attention",
        function=spiking.spiking_self_attention,
        inputs=lambda key: normal(key, (5, 2, 2), (5, 1, 2), (5, 1, 2)),
        parity=ATTENTION,
        rejects=(
            rejects(
                lambda: spiking.spiking_self_attention(X, X[..., :2], X),
                ValueError,
                "spiking_self_attention: `key` is .*",
            ),
        ),
    ),
    Plain(
        name=f"{HOME}.map_neuron",
        reason="makes a module, Leaky, which has its own row",
        parity=MAPS,
    ),
    map_case(
        "SpikingConv",
        spiking.SpikingConv(2),
        refused(lambda: spiking.SpikingConv(0), "SpikingConv: `features` is 0"),
    ),
    map_case("SpikingPatchEmbedding", spiking.SpikingPatchEmbedding(2), exempt=COMPOSED),
    map_case(
        "SpikingSelfAttention",
        spiking.SpikingSelfAttention(num_heads=2),
        refused(
            lambda: spiking.SpikingSelfAttention(num_heads=3),
            "SpikingSelfAttention: `num_heads` is 3; it needs a divisor of the 4 channels",
        ),
        exempt=COMPOSED,
    ),
    map_case("SpikingFeedForward", spiking.SpikingFeedForward(expansion=1), exempt=COMPOSED),
    map_case("DepthwiseMixer", spiking.DepthwiseMixer(), exempt={}),
    map_case("PoolMixer", spiking.PoolMixer(), exempt={}),
    map_case(
        "SpikingBlock",
        spiking.SpikingBlock(mixer=spiking.PoolMixer),
        refused(
            lambda: spiking.SpikingBlock(shortcut="dense"),  # pyright: ignore[reportArgumentType]
            'SpikingBlock: `shortcut` is .*"membrane" or "spike"',
        ),
        exempt=COMPOSED,
    ),
]
