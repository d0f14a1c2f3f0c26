"""The same work as lif-train-step in a fraction of its memory: stretches, computed again.

Ours keeps the potentials between stretches of 25 steps, and makes drives, potentials and spikes
of a stretch again when its gradient is due. ``whole`` is our layer over all steps at once and
``flat`` the ordinary scan. The memory that each program takes beside its arguments and results
is in the shapes, in mebibytes.
"""

from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import lif_train_step as lif
from benchmarks._harness import Benchmark, Entry

LENGTH = 25


def benchmark() -> Benchmark:
    networks = {"ours": stretches, "whole": lif.layer(), "flat": lif.flat}
    return Benchmark(
        name="lif-memory",
        ours=Entry(make=lambda: lif.stepping(stretches)),
        others={
            "whole": Entry(make=lif.ours),
            "flat": Entry(make=lambda: lif.stepping(lif.flat)),
            "plain": Entry(make=lambda: lif.stepping(lif.plain)),
        },
        shapes={
            "time": lif.TIME,
            "batch": lif.BATCH,
            "units": lif.UNITS,
            "stretch": LENGTH,
            "memory": {
                name: memory(network) for name, network in {**networks, "plain": lif.plain}.items()
            },
        },
    )


def stretches(params: lif.Params, x: jax.Array) -> jax.Array:
    from jaxnn.layers import recurrent, spiking

    def network(x: jax.Array, state: Any) -> tuple[jax.Array, Any]:
        rows = x.reshape(-1, lif.UNITS) @ params["kernel"] + params["bias"][None]
        drive = rows.reshape(x.shape)
        state, spikes = spiking.leaky_sequence(drive, lif.DECAY, state=state, time_axis=0)
        return spikes, state

    rest = spiking.leaky_init(x.shape[1:])
    return recurrent.run_stretches(network, x, rest, length=LENGTH, time_axis=0)[0]


def memory(network: Any) -> float:
    """Compile, and give the mebibytes of intermediate results."""
    x = jax.ShapeDtypeStruct((lif.TIME, lif.BATCH, lif.UNITS), jnp.float32)
    rates = jax.ShapeDtypeStruct(x.shape[1:], jnp.float32)
    program = lif.gradient(network).lower(lif.setting()[2], x, rates).compile()
    return round(program.memory_analysis().temp_size_in_bytes / 2**20, 1)
