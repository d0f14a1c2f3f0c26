"""Causal linear attention, forward and backward, at 4,096 tokens and at twice as many.

``double`` reads 8,192 tokens, of which the first half are those of the others: being causal, it
must give there what they give, which its witness checks, so that its ratio is by how much time
grows when the sequence doubles. The witness is the error over the first 4,096 tokens under
descent in queries, keys and values. Nothing else takes turns: an entry with an n by n matrix
makes the longer sequence here half as slow again, by the memory that it takes and gives back.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._harness import Benchmark, Entry, Work

BATCH, TIME, HEADS, WIDTH = 1, 4096, 2, 64
STEPS, RATE = 4, 100.0


def benchmark() -> Benchmark:
    return Benchmark(
        name="linear-attention-scaling",
        ours=Entry(make=partial(ours, TIME)),
        others={"double": Entry(make=partial(ours, 2 * TIME))},
        shapes={
            "batch": BATCH,
            "time": TIME,
            "time of double": 2 * TIME,
            "heads": HEADS,
            "width": WIDTH,
        },
    )


@cache
def setting() -> tuple[jax.Array, ...]:
    """Draw queries, keys, values and what the output should be, for the longer sequence."""
    return tuple(jax.random.normal(jax.random.key(0), (4, BATCH, 2 * TIME, HEADS, WIDTH)))


def stepping(attend: Callable[..., jax.Array], time: int) -> Work:
    """Make the work: the error over all tokens and its gradients."""
    *arrays, target = (x[:, :time] for x in setting())

    @jax.jit
    def run(counted: jax.Array, *arrays: jax.Array) -> Any:
        def error(*arrays: jax.Array) -> jax.Array:
            square = (attend(*arrays) - target) ** 2
            return jnp.einsum("btnd,t->", square, counted) / (BATCH * TIME * HEADS * WIDTH)

        return jax.value_and_grad(error, argnums=(0, 1, 2))(*arrays)

    def witness() -> np.ndarray:
        first = (jnp.arange(time) < TIME).astype(jnp.float32)
        losses, current = [], arrays
        for _ in range(STEPS):
            loss, gradients = run(first, *current)
            losses.append(float(loss))
            current = [x - RATE * g for x, g in zip(current, gradients, strict=True)]
        return np.asarray(losses)

    everything = jnp.ones(time)
    return Work(call=lambda: run(everything, *arrays), witness=witness)


def ours(time: int) -> Work:
    from jaxnn.layers import attention

    return stepping(partial(attention.linear_attention, is_causal=True), time)
