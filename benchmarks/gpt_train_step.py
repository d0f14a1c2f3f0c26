"""One training step of a small GPT, against plain Flax and eager PyTorch.

Pre-norm blocks, learned positions, GELU by the tanh formula everywhere. ``plain`` is made of
``nn.Dense``, ``nn.LayerNorm`` and ``nn.MultiHeadDotProductAttention`` under a causal mask;
``torch`` calls ``scaled_dot_product_attention`` and the fused AdamW. The limit is every matrix
product, forward and backward, those of attention over the triangle that causality leaves.
"""

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from benchmarks import _training as training
from benchmarks._harness import Benchmark, Entry, Work
from benchmarks.attention_train import causal_products

BATCH, TIME, WIDTH, DEPTH, HEADS, VOCABULARY = 8, 128, 256, 4, 4, 256
HIDDEN = 4 * WIDTH
EPSILON = 1e-6
# Of optax; PyTorch's own is a hundred times larger.
DECAY = 1e-4


def benchmark() -> Benchmark:
    return Benchmark(
        name="gpt-train-step",
        ours=Entry(make=ours),
        others={"plain": Entry(make=plain), "torch": Entry(make=torch, needs=("torch",))},
        limit=Entry(make=limit),
        shapes={
            "batch": BATCH,
            "time": TIME,
            "width": WIDTH,
            "depth": DEPTH,
            "heads": HEADS,
            "vocabulary": VOCABULARY,
        },
    )


class PlainBlock(nn.Module):
    """A pre-norm block."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``(batch, time, width)`` to the same shape."""
        mask = nn.make_causal_mask(x[..., 0])
        y = nn.MultiHeadDotProductAttention(HEADS, name="attention")(nn.LayerNorm()(x), mask=mask)
        x = x + y
        y = nn.gelu(nn.Dense(HIDDEN, name="up")(nn.LayerNorm()(x)))
        return x + nn.Dense(WIDTH, name="down")(y)


class PlainGPT(nn.Module):
    """Tokens, learned positions, blocks, and logits for each next token."""

    @nn.compact
    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Map ``(batch, time)`` to ``(batch, time, vocabulary)``."""
        init = nn.initializers.normal(0.02)
        x = nn.Embed(VOCABULARY, WIDTH, embedding_init=init, name="tokens")(tokens)
        position = self.param("position", init, (TIME, WIDTH))
        x = x + position[None]
        for i in range(DEPTH):
            x = PlainBlock(name=f"blocks_{i}")(x)
        return nn.Dense(VOCABULARY, name="head")(nn.LayerNorm(name="norm")(x))


@cache
def setting() -> tuple[Any, Any]:
    """Make the batch and the parameters that every entry starts from."""
    text = jax.random.randint(jax.random.key(0), (BATCH, TIME + 1), 0, VOCABULARY)
    batch = text[:, :-1], text[:, 1:]
    return batch, PlainGPT().init(jax.random.key(1), batch[0])["params"]


def renamed(params: Any) -> Any:
    """Give the plain parameters our names, heads and head width in one axis."""
    ours = {name: params[name] for name in ("tokens", "norm", "head")}
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
    from jaxnn.layers.position import PositionEmbedding

    batch, params = setting()
    model = models.Transformer(
        vocabulary=VOCABULARY,
        features=WIDTH,
        depth=DEPTH,
        num_heads=HEADS,
        position=partial(PositionEmbedding, TIME),
        rotary=None,
    )
    start = training.ours_starter(model, renamed(params), batch[0], training.optimiser())
    return training.stepping(start, training.ours_step(), batch)


def plain() -> Work:
    batch, params = setting()
    model, tx = PlainGPT(), training.optimiser()
    step = training.plain_step(lambda params, x: model.apply({"params": params}, x), tx)
    return training.stepping(training.plain_starter(params, tx), step, batch)


def torch() -> Work:
    import torch as pytorch
    from torch.nn import functional

    batch, params = setting()
    structure = jax.tree.structure(renamed(params))
    x, y = (pytorch.tensor(np.asarray(part), dtype=pytorch.long) for part in batch)

    def normalised(x: Any, p: Any) -> Any:
        return functional.layer_norm(x, (WIDTH,), p["scale"], p["bias"], EPSILON)

    def dense(x: Any, p: Any) -> Any:
        # Kernels as PyTorch keeps them, (outputs, inputs).
        return functional.linear(x, p["kernel"], p["bias"])

    def attend(x: Any, p: Any) -> Any:
        heads = [
            dense(x, p[name]).reshape(BATCH, TIME, HEADS, -1).transpose(1, 2)
            for name in ("query", "key", "value")
        ]
        y = functional.scaled_dot_product_attention(*heads, is_causal=True)
        return dense(y.transpose(1, 2).reshape(BATCH, TIME, WIDTH), p["out"])

    def mean_loss(params: Any) -> Any:
        z = functional.embedding(x, params["tokens"]["embedding"])
        z = z + params["position"]["embedding"]
        for i in range(DEPTH):
            p = params[f"blocks_{i}"]
            z = z + attend(normalised(z, p["attention_norm"]), p["attention"])
            hidden = dense(normalised(z, p["feedforward_norm"]), p["feedforward"]["up"])
            hidden = functional.gelu(hidden, approximate="tanh")
            z = z + dense(hidden, p["feedforward"]["down"])
        logits = dense(normalised(z, params["norm"]), params["head"])
        return functional.cross_entropy(logits.reshape(-1, VOCABULARY), y.reshape(-1))

    def oriented(path: Any, leaf: jax.Array) -> np.ndarray:
        array = np.asarray(leaf)
        return (array.T if path[-1].key == "kernel" else array).copy()

    arrays = jax.tree.leaves(jax.tree_util.tree_map_with_path(oriented, renamed(params)))

    def start() -> Any:
        tensors = [pytorch.tensor(array, requires_grad=True) for array in arrays]
        optimiser = pytorch.optim.AdamW(
            tensors, lr=training.LEARNING_RATE, weight_decay=DECAY, fused=True
        )
        return jax.tree.unflatten(structure, tensors), optimiser

    def step(state: Any, _: Any) -> tuple[Any, dict[str, float]]:
        params, optimiser = state
        loss = mean_loss(params)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return state, {"loss": loss.item()}

    return training.stepping(start, step, batch)  # pyright: ignore[reportArgumentType]


def limit() -> Work:
    n = BATCH * TIME
    maps = [(n, WIDTH, WIDTH)] * 4 * DEPTH
    maps += [(n, WIDTH, HIDDEN), (n, HIDDEN, WIDTH)] * DEPTH
    maps += [(n, WIDTH, VOCABULARY)]
    rows = [jnp.ones((n, inputs)) for _, inputs, _ in maps]
    kernels = [jnp.ones((inputs, outputs)) for _, inputs, outputs in maps]
    cotangents = [jnp.ones((n, outputs)) for _, _, outputs in maps]
    affine = training.products(rows, kernels, cotangents, constant=0)
    attention = causal_products(DEPTH * BATCH * HEADS, TIME, WIDTH // HEADS, block=64)
    return Work(call=lambda: (affine(), attention()))
