"""What the benchmarks of attribution share: a perceptron of images in jax.numpy and in torch."""

import itertools
import os
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._harness import Work

SIDE, WIDTH, CLASSES = 8, 256, 10
SIZES = (SIDE * SIDE, WIDTH, WIDTH, CLASSES)
Params = list[tuple[jax.Array, jax.Array]]


@cache
def setting(examples: int) -> tuple[Params, jax.Array, jax.Array]:
    """Draw weights, images (examples, 8, 8) and the outputs to attribute."""
    random = np.random.default_rng(0)
    params = [
        (
            jnp.asarray(random.normal(size=shape) / np.sqrt(shape[0]), jnp.float32),
            jnp.asarray(0.1 * random.normal(size=shape[1]), jnp.float32),
        )
        for shape in itertools.pairwise(SIZES)
    ]
    x = jnp.asarray(random.uniform(size=(examples, SIDE, SIDE)), jnp.float32)
    return params, x, jnp.asarray(random.integers(CLASSES, size=examples), jnp.int32)


def logits(params: Params, x: jax.Array) -> jax.Array:
    """Give the outputs for one image."""
    h = x.reshape(-1)
    for kernel, bias in params[:-1]:
        h = jax.nn.relu(h @ kernel + bias)
    kernel, bias = params[-1]
    return h @ kernel + bias


def vmapped(
    attribute: Callable[..., jax.Array], examples: int, *arguments: Any
) -> Callable[..., jax.Array]:
    """Compile ``attribute(f, x, *arguments)`` for a batch; arguments are shared by all."""
    params, x, targets = setting(examples)

    @jax.jit
    def run(params: Params, x: jax.Array, targets: jax.Array, *arguments: Any) -> jax.Array:
        def one(x: jax.Array, target: jax.Array) -> jax.Array:
            return attribute(lambda x: logits(params, x)[target], x, *arguments)

        return jax.vmap(one)(x, targets)

    return lambda *other: run(params, x, targets, *(other or arguments))


def ours(attribute: Callable[..., jax.Array], examples: int, *arguments: Any) -> Work:
    return Work(call=vmapped(attribute, examples, *arguments))


def products(copies: int, chunk: int, *, gradient: bool = False) -> Work:
    """Make the matrix products alone of ``copies`` evaluations, ``chunk`` rows at a time.

    Two of the perceptron forward, and two back for a gradient; the last layer, a column of its
    kernel, is left out.
    """
    params, x, _ = setting(chunk)
    first, second = params[0][0], params[1][0]
    steps = -(-copies // chunk)

    @jax.jit
    def run(rows: jax.Array, first: jax.Array, second: jax.Array) -> jax.Array:
        def step(total: jax.Array, scale: jax.Array) -> tuple[jax.Array, None]:
            out = (rows * scale) @ first @ second
            return total + (out @ second.T @ first.T if gradient else out), None

        start = jnp.zeros((chunk, first.shape[0] if gradient else second.shape[1]))
        return jax.lax.scan(step, start, jnp.linspace(0.0, 1.0, steps))[0]

    rows = x.reshape(chunk, -1)
    return Work(call=lambda: run(rows, first, second))


def torch_setting(examples: int) -> tuple[Any, Any, Any]:
    """Make the same network, images and outputs in torch, with all cores for it."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    params, x, targets = setting(examples)
    layers: list[Any] = [torch.nn.Flatten()]
    for number, (kernel, bias) in enumerate(params):
        layer = torch.nn.Linear(*kernel.shape)
        layer.weight.data = torch.tensor(np.asarray(kernel)).T.contiguous()
        layer.bias.data = torch.tensor(np.asarray(bias))
        layers += [layer] if number == len(params) - 1 else [layer, torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers).requires_grad_(False)
    return network, torch.tensor(np.asarray(x)), torch.tensor(np.asarray(targets)).long()
