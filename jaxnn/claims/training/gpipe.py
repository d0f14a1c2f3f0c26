"""Eight blocks of a transformer in four stages, on four simulated devices.

Causal blocks of width 16 with 4 heads, 16 sequences of 8. Idle turns are counted as the program
runs, memory is the compiler's count of what the gradient's program needs beside its arguments.
"""

import collections

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator
from jaxnn.claims.training import _devices
from jaxnn.models import TransformerBlock
from jaxnn.train import parallel

STAGES, BLOCKS, BATCH, TIME, WIDTH = 4, 8, 16, 8, 16
MICRO_BATCHES = (1, 4, 8)
BLOCK = TransformerBlock(num_heads=4)


def effects(key: jax.Array) -> list[Check]:
    """What one device gives, in so many ticks, with less memory."""
    found = _devices.measure(measure, key, devices=STAGES)
    checks = []
    for m in MICRO_BATCHES:
        idle = (STAGES - 1) / (m + STAGES - 1)
        checks += [
            Check(f"{m} micro-batches: loss, against blocks in a row", found[f"y {m}"], "<=", 1e-5),
            Check("gradients, worst entry", found[f"d {m}"], "<=", 1e-5),
            Check("ticks", found[f"ticks {m}"], "=", m + STAGES - 1),
            Check("share of idle turns", found[f"idle {m}"], "=", idle, 1e-9),
        ]
    return [
        *checks,
        Check("memory, 8 micro-batches over 1", found["more"], "<=", 0.5),
        Check("memory, 8 recomputed over kept", found["again"], "<=", 0.5),
    ]


def measure(key: jax.Array) -> dict[str, float]:
    """Compare on four devices, and count."""
    random = generator(key)
    mesh = parallel.make_mesh({"stage": STAGES})
    x, y = (_array(random.normal(size=(BATCH, TIME, WIDTH))) for _ in range(2))
    shapes = jax.eval_shape(BLOCK.init, jax.random.key(0), x[:1])["params"]
    params = jax.tree.map(
        lambda leaf: _array(random.normal(size=(BLOCKS, *leaf.shape)) / WIDTH**0.5), shapes
    )

    def loss(run, params, x):
        return jnp.mean((run(params, x) - y) ** 2)

    def in_a_row(params, x):
        return jax.lax.scan(lambda x, one: (_block(one, x), None), x, params)[0]

    gradient = jax.jit(jax.value_and_grad(loss, (1, 2)), static_argnums=0)
    value, wanted = gradient(in_a_row, params, x)
    sharding = NamedSharding(mesh, PartitionSpec("stage"))
    spread = jax.device_put(params, sharding)
    found: dict[str, float] = {}
    memory = {}
    for m in MICRO_BATCHES:
        run = parallel.pipeline(_block, mesh, micro_batches=m)
        program = gradient.lower(run, spread, x).compile()
        memory[m] = _memory(program)
        got, gradients = program(spread, x)
        found[f"y {m}"] = abs(float(got - value))
        pairs = zip(jax.tree.leaves(gradients), jax.tree.leaves(wanted), strict=True)
        found[f"d {m}"] = max(np.abs(np.asarray(a) - np.asarray(b)).max() for a, b in pairs)
        found[f"ticks {m}"] = ticks = _ticks(run, params, x)
        found[f"idle {m}"] = 1 - _turns(mesh, m) / (STAGES * ticks)
    kept = parallel.pipeline(_block, mesh, micro_batches=8, recompute=False)
    kept_size = _memory(gradient.lower(kept, spread, x).compile())
    return found | {"more": memory[8] / memory[1], "again": memory[8] / kept_size}


def _memory(program: jax.stages.Compiled) -> int:
    analysis = program.memory_analysis()
    assert analysis is not None, "processors have a count"
    return analysis.temp_size_in_bytes


def _block(params, x: jax.Array) -> jax.Array:
    return BLOCK.apply({"params": params}, x, is_causal=True)  # pyright: ignore[reportReturnType]


def _ticks(run, *args) -> int:
    """Read the length of the outermost loop from the traced program."""
    (mapped,) = [e for e in jax.make_jaxpr(run)(*args).eqns if e.primitive.name == "shard_map"]
    inner = mapped.params["jaxpr"]
    (loop,) = [e for e in getattr(inner, "jaxpr", inner).eqns if e.primitive.name == "scan"]
    return loop.params["length"]


def _turns(mesh: jax.sharding.Mesh, micro_batches: int) -> float:
    """Count how often a stage works while the pipeline runs once, by calls from the devices."""
    calls: collections.Counter[int] = collections.Counter()

    def counted(number, x):
        jax.debug.callback(lambda n: calls.update([int(n)]), number)
        return x

    run = parallel.pipeline(counted, mesh, micro_batches=micro_batches)
    jax.block_until_ready(run(jnp.arange(BLOCKS), jnp.zeros((BATCH, 1))))
    jax.effects_barrier()
    return calls.total() / (BLOCKS // STAGES)


def _array(values: np.ndarray) -> jax.Array:
    return jnp.asarray(values, jnp.float32)


CLAIM = Claim(
    name="gpipe",
    title="GPipe: Efficient Training of Giant Neural Networks using Pipeline Parallelism",
    year=2019,
    says="stages in a pipeline give the gradient of the whole batch, with little idle time",
    effects=effects,
    quick=False,
)
