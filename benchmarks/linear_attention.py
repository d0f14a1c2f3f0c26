"""Causal linear attention, forward and backward, against the same weights as one matrix.

``dense`` makes all 4,096 by 4,096 weights, masks them and divides by their sums. The witness is
the error under descent in queries, keys and values.
"""

from functools import partial

import jax
import jax.numpy as jnp

from benchmarks._harness import Benchmark, Entry, Work
from benchmarks.linear_attention_scaling import BATCH, HEADS, TIME, WIDTH, ours, stepping


def benchmark() -> Benchmark:
    return Benchmark(
        name="linear-attention",
        ours=Entry(make=partial(ours, TIME)),
        others={"dense": Entry(make=dense)},
        shapes={"batch": BATCH, "time": TIME, "heads": HEADS, "width": WIDTH},
    )


def dense() -> Work:
    def attend(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
        q, k = (jax.nn.elu(x) + 1 for x in (query, key))
        scores = jnp.einsum("bihd,bjhd->bhij", q, k)
        weights = jnp.where(jnp.tri(TIME, dtype=bool), scores, 0)
        weights = weights / weights.sum(-1, keepdims=True)
        return jnp.einsum("bhij,bjhd->bihd", weights, value)

    return stepping(attend, TIME)
