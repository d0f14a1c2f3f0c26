"""Gradients of a digits transformer for each example by itself, by vmap and by a loop.

``loop`` calls the compiled gradient of one example again and again and stacks what it gives;
``torch-loop`` does so with the same network in PyTorch, ``torch-vmap`` is ``torch.func`` on it.
``mean`` is the gradient of the mean loss, as any training step takes it, which tells no example
from another: the least that a batch can cost.
"""

import os
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks._harness import Benchmark, Entry, Work

BATCH, SIDE, PATCH, WIDTH, DEPTH, HEADS, CLASSES = 256, 8, 2, 48, 2, 4, 10
PATCHES, HEAD = (SIDE // PATCH) ** 2, WIDTH // HEADS


def benchmark() -> Benchmark:
    return Benchmark(
        name="per-example-gradients",
        ours=Entry(make=ours),
        others={
            "loop": Entry(make=loop),
            "mean": Entry(make=mean, alike=False),
            "torch-loop": Entry(make=torch_loop, needs=("torch",)),
            "torch-vmap": Entry(make=torch_vmap, needs=("torch",)),
        },
        shapes={"batch": BATCH, "patches": PATCHES, "width": WIDTH, "depth": DEPTH},
    )


@cache
def setting() -> tuple[Any, Any, jax.Array, jax.Array]:
    """Make the network, its parameters, images and labels."""
    from jaxnn.models import VisionTransformer

    model = VisionTransformer(CLASSES, features=WIDTH, depth=DEPTH, num_heads=HEADS)
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.uniform(keys[0], (BATCH, SIDE, SIDE))
    y = jax.random.randint(keys[1], (BATCH,), 0, CLASSES)
    return model, model.init(keys[2], x[:1])["params"], x, y


def slope() -> Callable[..., Any]:
    """Make the gradient of one example's loss."""
    model = setting()[0]

    def loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        logits = model.apply({"params": params}, x[None])[0]
        return optax.softmax_cross_entropy_with_integer_labels(logits, y)

    return jax.grad(loss)


def norms(gradients: Any) -> np.ndarray:
    """Give the length of every example's gradient, to compare the entries by."""
    squares = [np.square(np.asarray(g).reshape(BATCH, -1)).sum(1) for g in gradients]
    return np.sqrt(np.sum(squares, axis=0))


def ours() -> Work:
    _, params, x, y = setting()
    run = jax.jit(jax.vmap(slope(), in_axes=(None, 0, 0)))
    return Work(
        call=lambda: run(params, x, y),
        witness=lambda: norms(jax.tree.leaves(run(params, x, y))),
    )


def mean() -> Work:
    model, params, x, y = setting()

    @jax.jit
    def run(params: Any, x: jax.Array, y: jax.Array) -> Any:
        def loss(params: Any) -> jax.Array:
            logits = model.apply({"params": params}, x)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        return jax.grad(loss)(params)

    return Work(call=lambda: run(params, x, y))


def loop() -> Work:
    _, params, x, y = setting()
    run = jax.jit(slope())

    def call() -> Any:
        each = [run(params, x[i], y[i]) for i in range(BATCH)]
        return jax.tree.map(lambda *parts: jnp.stack(parts), *each)

    return Work(call=call, witness=lambda: norms(jax.tree.leaves(call())))


def network() -> tuple[Any, dict[str, Any], Any, Any]:
    """Make the loss of one example in torch, its parameters, images and labels."""
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    _, tree, x, y = setting()
    params = {
        jax.tree_util.keystr(path, simple=True, separator="/"): torch.tensor(np.asarray(leaf))
        for path, leaf in jax.tree.leaves_with_path(tree)
    }

    def loss(params: dict[str, Any], x: Any, y: Any) -> Any:
        def dense(name: str, x: Any) -> Any:
            return x @ params[f"{name}/kernel"] + params[f"{name}/bias"]

        def norm(name: str, x: Any) -> Any:
            scale, bias = params[f"{name}/scale"], params[f"{name}/bias"]
            return F.layer_norm(x, (WIDTH,), scale, bias, 1e-6)

        side = SIDE // PATCH
        x = x.reshape(side, PATCH, side, PATCH).transpose(1, 2).reshape(PATCHES, PATCH * PATCH)
        x = dense("patches", x) + params["position/embedding"]
        for i in range(DEPTH):
            block = f"blocks_{i}"
            h = norm(f"{block}/attention_norm", x)
            heads = [
                dense(f"{block}/attention/{part}", h).reshape(PATCHES, HEADS, HEAD).transpose(0, 1)
                for part in ("query", "key", "value")
            ]
            h = F.scaled_dot_product_attention(*heads).transpose(0, 1).reshape(PATCHES, WIDTH)
            x = x + dense(f"{block}/attention/out", h)
            h = dense(f"{block}/feedforward/up", norm(f"{block}/feedforward_norm", x))
            h = F.gelu(h, approximate="tanh")
            x = x + dense(f"{block}/feedforward/down", h)
        logits = dense("head", norm("norm", x).mean(0))
        return torch.logsumexp(logits, 0) - logits.gather(0, y[None])[0]

    return loss, params, torch.tensor(np.asarray(x)), torch.tensor(np.asarray(y)).long()


def torch_loop() -> Work:
    import torch

    loss, params, x, y = network()
    for p in params.values():
        p.requires_grad_()

    def call() -> Any:
        leaves = list(params.values())
        each = [torch.autograd.grad(loss(params, x[i], y[i]), leaves) for i in range(BATCH)]
        return [torch.stack(parts) for parts in zip(*each, strict=True)]

    return Work(call=call, witness=lambda: norms(call()))


def torch_vmap() -> Work:
    import torch

    loss, params, x, y = network()
    run = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))
    return Work(call=lambda: run(params, x, y), witness=lambda: norms(run(params, x, y).values()))
