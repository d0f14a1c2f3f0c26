"""Attention in memory linear in length, forward and backward, against the table of all weights.

``plain`` is softmax attention as the papers write it, ``whole`` our own with all weights at
once, and ``dpa`` is ``jax.nn.dot_product_attention``. How much memory each program takes beside
its arguments and results is in the shapes, in mebibytes, for this length, half and double.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._harness import Benchmark, Entry, Work
from benchmarks._training import descent

BATCH, TIME, HEADS, WIDTH = 1, 4096, 1, 64
STEPS, RATE = 3, 100.0


def benchmark() -> Benchmark:
    lengths = (TIME // 2, TIME, 2 * TIME)
    return Benchmark(
        name="blockwise-attention",
        ours=Entry(make=ours),
        others={
            "plain": Entry(make=lambda: stepping(plain)),
            "whole": Entry(make=whole),
            "dpa": Entry(make=lambda: stepping(jax.nn.dot_product_attention)),
        },
        shapes={
            "batch": BATCH,
            "time": TIME,
            "heads": HEADS,
            "width": WIDTH,
            "memory": {
                name: {length: memory(attend, length) for length in lengths}
                for name, attend in (("ours", blockwise()), ("plain", plain))
            },
        },
    )


def gradient(attend: Callable[..., jax.Array]) -> Any:
    """Make the function timed: the mean square error of the output, and its gradients."""

    def error(target: jax.Array, *arrays: jax.Array) -> jax.Array:
        return jnp.mean((attend(*arrays) - target) ** 2)

    return jax.jit(jax.value_and_grad(error, argnums=(1, 2, 3)))


def memory(attend: Callable[..., jax.Array], length: int) -> float:
    """Compile for a length, and give the mebibytes of intermediate results."""
    x = jax.ShapeDtypeStruct((BATCH, length, HEADS, WIDTH), jnp.float32)
    program = gradient(attend).lower(x, x, x, x).compile()
    return round(program.memory_analysis().temp_size_in_bytes / 2**20, 1)


@cache
def setting() -> tuple[jax.Array, ...]:
    """Draw queries, keys, values and what the output should be."""
    return tuple(jax.random.normal(jax.random.key(0), (4, BATCH, TIME, HEADS, WIDTH)))


def stepping(attend: Callable[..., jax.Array]) -> Work:
    """Make the work; some losses of descent are the witness."""
    *arrays, target = setting()
    run = gradient(attend)

    def witness() -> np.ndarray:
        return descent(lambda arrays: run(target, *arrays), tuple(arrays), RATE, STEPS)

    return Work(call=lambda: run(target, *arrays), witness=witness)


def plain(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    """Attend by the formula."""
    logits = jnp.einsum("bqhd,bkhd->bhqk", query, key) / np.sqrt(WIDTH)
    return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(logits), value)


def blockwise() -> Callable[..., jax.Array]:
    from jaxnn.layers import attention

    return attention.blockwise_attention


def ours() -> Work:
    return stepping(blockwise())


def whole() -> Work:
    from jaxnn.layers import attention

    return stepping(attention.dot_product_attention)
