"""One training step of a small vision transformer, against plain Flax.

``plain`` is made of ``nn.Dense``, ``nn.LayerNorm`` and ``nn.MultiHeadDotProductAttention``. The
limit is every matrix product, forward and backward, with those of attention batched by head.
"""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from benchmarks import _training as training
from benchmarks._harness import Benchmark, Entry, Work

BATCH, SIDE, PATCH, WIDTH, DEPTH, HEADS, CLASSES = 16, 32, 4, 128, 2, 4, 10
PATCHES, INPUTS, HIDDEN = (SIDE // PATCH) ** 2, PATCH * PATCH * 3, 4 * WIDTH


def benchmark() -> Benchmark:
    return Benchmark(
        name="vit-train-step",
        ours=Entry(make=ours),
        others={"plain": Entry(make=plain)},
        limit=Entry(make=limit),
        shapes={
            "batch": BATCH,
            "image": (SIDE, SIDE, 3),
            "patches": PATCHES,
            "width": WIDTH,
            "depth": DEPTH,
            "heads": HEADS,
        },
    )


class PlainBlock(nn.Module):
    """A pre-norm block."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``(batch, time, width)`` to the same shape."""
        x = x + nn.MultiHeadDotProductAttention(HEADS, name="attention")(nn.LayerNorm()(x))
        y = nn.gelu(nn.Dense(HIDDEN, name="up")(nn.LayerNorm()(x)))
        return x + nn.Dense(WIDTH, name="down")(y)


class PlainVisionTransformer(nn.Module):
    """Patches, learned positions, blocks, and the mean of the patches."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map images to logits."""
        side = SIDE // PATCH
        x = x.reshape(-1, side, PATCH, side, PATCH, 3).swapaxes(2, 3).reshape(-1, PATCHES, INPUTS)
        x = nn.Dense(WIDTH, name="patches")(x)
        position = self.param("position", nn.initializers.normal(0.02), (PATCHES, WIDTH))
        x = x + position[None]
        for i in range(DEPTH):
            x = PlainBlock(name=f"blocks_{i}")(x)
        x = nn.LayerNorm(name="norm")(x).mean(axis=1)
        return nn.Dense(CLASSES, name="head")(x)


@cache
def setting() -> tuple[Any, Any]:
    """Make the batch and the parameters that every entry starts from."""
    batch = training.labelled(jax.random.key(0), (BATCH, SIDE, SIDE, 3), CLASSES)
    return batch, PlainVisionTransformer().init(jax.random.key(1), batch[0])["params"]


def renamed(params: Any) -> Any:
    """Give the plain parameters our names, heads and head width in one axis."""
    ours = {name: params[name] for name in ("patches", "norm", "head")}
    ours["position"] = {"embedding": params["position"]}
    for i in range(DEPTH):
        block = params[f"blocks_{i}"]
        attention = {
            name: {"kernel": part["kernel"].reshape(WIDTH, WIDTH), "bias": part["bias"].ravel()}
            for name, part in block["attention"].items()
        }
        ours[f"blocks_{i}"] = {
            "attention": attention,
            "attention_norm": block["LayerNorm_0"],
            "feedforward": {"up": block["up"], "down": block["down"]},
            "feedforward_norm": block["LayerNorm_1"],
        }
    return ours


def ours() -> Work:
    from jaxnn import models

    batch, params = setting()
    model = models.VisionTransformer(
        outputs=CLASSES,
        features=WIDTH,
        depth=DEPTH,
        num_heads=HEADS,
        patch_size=PATCH,
        position="learned",
        pooling="mean",
        shift=0,
        dropout_rate=0.0,
    )
    start = training.ours_starter(model, renamed(params), batch[0], training.optimiser())
    return training.stepping(start, training.ours_step(), batch)


def plain() -> Work:
    batch, params = setting()
    model, tx = PlainVisionTransformer(), training.optimiser()
    step = training.plain_step(lambda params, x: model.apply({"params": params}, x), tx)
    return training.stepping(training.plain_starter(params, tx), step, batch)


def limit() -> Work:
    n = BATCH * PATCHES
    maps = [(n, INPUTS, WIDTH)]
    maps += [(n, WIDTH, WIDTH)] * 4 * DEPTH
    maps += [(n, WIDTH, HIDDEN), (n, HIDDEN, WIDTH)] * DEPTH
    maps += [(BATCH, WIDTH, CLASSES)]
    rows = [jnp.ones((n, inputs)) for n, inputs, _ in maps]
    kernels = [jnp.ones((inputs, outputs)) for _, inputs, outputs in maps]
    cotangents = [jnp.ones((n, outputs)) for n, _, outputs in maps]
    affine = training.products(rows, kernels, cotangents)
    # Each array is its own: equal operands would let the compiler share a product.
    narrow = [jnp.ones((DEPTH * BATCH * HEADS, PATCHES, WIDTH // HEADS)) for _ in range(4)]
    wide = [jnp.ones((DEPTH * BATCH * HEADS, PATCHES, PATCHES)) for _ in range(2)]

    @jax.jit
    def attention(narrow: list[jax.Array], wide: list[jax.Array]) -> Any:
        (q, k, v, dy), (weights, dlogits) = narrow, wide
        forward = q @ k.mT, weights @ v
        return forward, (weights.mT @ dy, dy @ v.mT, dlogits @ k, dlogits.mT @ q)

    return Work(call=lambda: (affine(), attention(narrow, wide)))
