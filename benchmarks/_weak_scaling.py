"""What each device computes and sends as devices and work grow together, beside theory.

Counted from compiled programs on simulated devices, so that there is nothing to time:
``JAX_NUM_CPU_DEVICES=8 python -m benchmarks._weak_scaling``. Operations are those of the matrix
products, bytes those a device sends. The work is the gradient of a stack of residual blocks,
``x + tanh(x U) V``, or of attention.

============= ========================= ======================================================
form          what grows with P devices bytes of a device, times (P - 1) / P
============= ========================= ======================================================
data          examples                  2 for each parameter
fully-sharded examples                  3: gathered once, its gradient summed
tensor        width within a block      2 for each block's output and input's gradient
sequence      time                      1 for q, k, v, y and their gradients
pipeline      blocks                    2 for the output and the input's gradient; besides a
                                        micro-batch each way a tick, but for one stage
============= ========================= ======================================================

Operations stay the same, but for attention's, which grow with time, and a pipeline's, which
counts idle turns as if they worked: (M + P - 1) / M with M micro-batches.
"""

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from jaxnn.layers import attention
from jaxnn.train import parallel
from jaxnn.train.parallel._collectives import computations

DEVICES = (1, 2, 4, 8)
BLOCKS, BATCH, WIDTH, HIDDEN = 2, 16, 32, 64
MICRO_BATCHES = 8
TIME, HEADS, HEAD_WIDTH = 16, 8, 8


class Row(NamedTuple):
    """One form on so many devices: counted, and by theory."""

    form: str
    devices: int
    flops: float
    flops_theory: float
    sent: float
    sent_theory: float


def table(devices: tuple[int, ...] = DEVICES) -> list[Row]:
    """Compile every form on every number of devices, and count."""
    rows = []
    for form, make in FORMS.items():
        for ways in devices:
            compiled, flops, sent = make(ways)
            text = compiled.as_text() or ""
            found = sum(collective.sent for collective in parallel.collectives(text))
            rows.append(Row(form, ways, products(text), flops, found, sent))
    return rows


Made = tuple[jax.stages.Compiled, float, float]


def data(ways: int) -> Made:
    size = 4 * 2 * BLOCKS * WIDTH * HIDDEN
    return _stack(ways, "data", (), ways * BATCH, HIDDEN), _flops(), 2 * size * _share(ways)


def fully_sharded(ways: int) -> Made:
    size = 4 * 2 * BLOCKS * WIDTH * HIDDEN
    rules = parallel.fully_sharded(min_size=1)
    return _stack(ways, "data", rules, ways * BATCH, HIDDEN), _flops(), 3 * size * _share(ways)


def tensor(ways: int) -> Made:
    rules = (("up", PartitionSpec(None, "model")), ("down", PartitionSpec("model")))
    size = 4 * BLOCKS * 2 * BATCH * WIDTH
    compiled = _stack(ways, "model", rules, BATCH, ways * HIDDEN)
    return compiled, _flops(), 2 * size * _share(ways)


def sequence(ways: int) -> Made:
    mesh = parallel.make_mesh({"sequence": ways})
    attend = parallel.ulysses_attention(attention.dot_product_attention, mesh)
    sharding = NamedSharding(mesh, PartitionSpec(None, "sequence"))
    x = jax.ShapeDtypeStruct((1, ways * TIME, HEADS, HEAD_WIDTH), jnp.float32, sharding=sharding)

    def run(*arrays: jax.Array) -> Any:
        y, pull = jax.vjp(attend, *arrays[:3])
        return y, pull(arrays[3])

    compiled = jax.jit(run).lower(x, x, x, x).compile()
    # Two products forward and four backward, each of all pairs of times.
    flops = 6 * 2 * (ways * TIME) ** 2 * HEADS // ways * HEAD_WIDTH
    return compiled, flops, 8 * 4 * TIME * HEADS * HEAD_WIDTH * _share(ways)


def pipeline(ways: int) -> Made:
    mesh = parallel.make_mesh({"stage": ways})
    run = parallel.pipeline(_block, mesh, micro_batches=MICRO_BATCHES, recompute=False)
    params = _params(ways * BLOCKS, HIDDEN, NamedSharding(mesh, PartitionSpec("stage")))
    x = jax.ShapeDtypeStruct((BATCH, WIDTH), jnp.float32)
    compiled = _gradient(run).lower(params, x).compile()
    ticks = MICRO_BATCHES + ways - 1
    batch = 4 * BATCH * WIDTH
    sent = 2 * 2 * batch * _share(ways)
    sent += 2 * batch * ticks / MICRO_BATCHES if ways > 1 else 0
    return compiled, _flops() * ticks / MICRO_BATCHES, sent


FORMS: dict[str, Callable[[int], Made]] = {
    "data": data,
    "fully-sharded": fully_sharded,
    "tensor": tensor,
    "sequence": sequence,
    "pipeline": pipeline,
}


def products(text: str) -> float:
    """Count the operations of a program's matrix products, loops as often as they run."""
    total = 0
    for lines, times in computations(text):
        shapes = {
            m[1]: m[2] for line in lines if (m := re.search(r"%(\S+) = \w+\[([\d,]*)\]", line))
        }
        for line in lines:
            dot = re.search(r"= \w+\[([\d,]*)\]\S* dot\(%([\w.-]+),", line)
            if dot:
                left = _sizes(shapes[dot[2]])
                summed = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", line)
                over = math.prod(left[i] for i in _sizes(summed[1])) if summed else 1
                total += 2 * times * math.prod(_sizes(dot[1])) * over
    return total


def _sizes(text: str) -> list[int]:
    return [int(size) for size in text.split(",") if size]


def _share(ways: int) -> float:
    return (ways - 1) / ways


def _flops() -> int:
    """Two products a block forward, four backward."""
    return BLOCKS * 6 * 2 * BATCH * WIDTH * HIDDEN


def _block(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    return x + jnp.tanh(x @ params["up"]) @ params["down"]


def _params(blocks: int, hidden: int, sharding: NamedSharding | None = None) -> dict[str, Any]:
    sizes = {"up": (blocks, WIDTH, hidden), "down": (blocks, hidden, WIDTH)}
    return {
        name: jax.ShapeDtypeStruct(size, jnp.float32, sharding=sharding)
        for name, size in sizes.items()
    }


def _gradient(run: Callable[[Any, jax.Array], jax.Array], **options: Any) -> Any:
    return jax.jit(jax.grad(lambda params, x: jnp.sum(run(params, x) ** 2), (0, 1)), **options)


def _stack(
    ways: int, axis: str, rules: parallel.Rules, batch: int, hidden: int
) -> jax.stages.Compiled:
    """Compile the gradient of blocks in a row, laid out by rules."""
    layout = parallel.Layout(parallel.make_mesh({axis: ways}), rules)
    one = {
        name: jax.ShapeDtypeStruct(p.shape[1:], p.dtype) for name, p in _params(1, hidden).items()
    }
    params = [one] * BLOCKS
    x = jax.ShapeDtypeStruct((batch, WIDTH), jnp.float32)
    rows = PartitionSpec("data") if axis == "data" else PartitionSpec()
    places = (layout.shardings(params), NamedSharding(layout.mesh, rows))

    def run(params: Any, x: jax.Array) -> jax.Array:
        for block in layout.gather(params):
            x = _block(block, x)
        return x

    return _gradient(run, in_shardings=places, out_shardings=places).lower(params, x).compile()


def main() -> None:
    """Print the table as far as there are devices."""
    print(f"{'form':14} devices {'FLOPs':>9} {'theory':>9} {'bytes':>9} {'theory':>9}")
    for row in table(tuple(n for n in DEVICES if n <= jax.device_count())):
        numbers = " ".join(f"{number:9.0f}" for number in row[2:])
        print(f"{row.form:14} {row.devices:7} {numbers}")


if __name__ == "__main__":
    main()
