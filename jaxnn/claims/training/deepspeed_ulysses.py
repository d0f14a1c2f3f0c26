"""Attention over a split sequence, on two and four simulated devices.

What the compiled program sends is read from its text; the size of an exchange is what a device has
of one array. The baseline is the same attention split over time by the compiler, which gathers
keys and values. Batch 1, 8 heads of width 8.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator
from jaxnn.claims.training import _devices
from jaxnn.layers import attention
from jaxnn.train import parallel

HEADS, WIDTH = 8, 8


def effects(key: jax.Array) -> list[Check]:
    """Output and derivatives of one device; four exchanges, which do not grow."""
    found = _devices.measure(measure, key)
    return [
        Check("against one device, full: output, worst", found["full y"], "<=", 1e-5),
        Check("dQ, dK, dV", found["full d"], "<=", 1e-5),
        Check("against one device, causal: output", found["causal y"], "<=", 1e-5),
        Check("dQ, dK, dV of it", found["causal d"], "<=", 1e-5),
        Check("all-to-all in the forward program", found["all-to-all"], "=", 4),
        Check("all other collectives there", found["others"], "=", 0),
        Check("bytes exchanged, (512, 4) over (256, 2)", found["growth"], "=", 1),
        Check("the compiler's own split: bytes, likewise", found["gather growth"], ">=", 2),
    ]


def measure(key: jax.Array) -> dict[str, float]:
    """Compare on four devices, and count on two and four."""
    random = generator(key)
    size = (1, 32, HEADS, WIDTH)
    *qkv, cotangent = (jnp.asarray(random.normal(size=size), jnp.float32) for _ in range(4))
    mesh = parallel.make_mesh("sequence=4")
    split = parallel.ulysses_attention(attention.dot_product_attention, mesh)
    sharding = _over_time(mesh)
    found: dict[str, float] = {}
    for name in ("full", "causal"):

        def run(attend, *qkv, is_causal=name == "causal"):
            y, pull = jax.vjp(functools.partial(attend, is_causal=is_causal), *qkv)
            return y, *pull(cotangent)

        got = jax.jit(functools.partial(run, split))(*jax.device_put(qkv, sharding))
        want = jax.jit(functools.partial(run, attention.dot_product_attention))(*qkv)
        gaps = [np.abs(np.asarray(a) - np.asarray(b)).max() for a, b in zip(got, want, strict=True)]
        found[f"{name} y"], found[f"{name} d"] = gaps[0], max(gaps[1:])
    counts = {n: _forward(256 * n // 2, n, ulysses=True) for n in (2, 4)}
    found["all-to-all"] = sum(c.kind == "all-to-all" for c in counts[4])
    found["others"] = len(counts[4]) - found["all-to-all"]
    found["growth"] = _bytes(counts[4]) / _bytes(counts[2])
    gathers = {n: _bytes(_forward(256 * n // 2, n, ulysses=False)) for n in (2, 4)}
    found["gather growth"] = gathers[4] / gathers[2]
    return found


def _forward(time: int, devices: int, *, ulysses: bool) -> tuple[parallel.Collective, ...]:
    """Compile the forward program and list what it sends."""
    mesh = parallel.make_mesh({"sequence": devices})
    attend = attention.dot_product_attention
    if ulysses:
        attend = parallel.ulysses_attention(attend, mesh)
    sharding = _over_time(mesh)
    run = jax.jit(attend, in_shardings=(sharding,) * 3, out_shardings=sharding)
    shape = jax.ShapeDtypeStruct((1, time, HEADS, WIDTH), jnp.float32)
    return parallel.collectives(run.lower(shape, shape, shape).compile())


def _over_time(mesh: jax.sharding.Mesh) -> NamedSharding:
    return NamedSharding(mesh, PartitionSpec(None, "sequence"))


def _bytes(found: tuple[parallel.Collective, ...]) -> int:
    return sum(collective.size * collective.times for collective in found)


CLAIM = Claim(
    name="ulysses",
    title="DeepSpeed Ulysses: System Optimizations for Enabling Training of Extreme Long Sequence "
    "Transformer Models",
    year=2023,
    says="attention over a split sequence sends no more when time and devices grow together",
    effects=effects,
    quick=False,
)
