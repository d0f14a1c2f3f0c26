"""What the figures were measured on, and the matrix product that is its yardstick."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks._harness import Entry, Work

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "torch", "snntorch", "spyx", "jaxkan")
SIZE = 768
OPERATIONS = 2 * SIZE**3


def product() -> Entry:
    """Make the yardstick: the product of two float32 squares of ``SIZE``."""

    def make() -> Work:
        left, right = jax.random.normal(jax.random.key(0), (2, SIZE, SIZE))
        multiply = jax.jit(jnp.matmul)
        return Work(call=lambda: multiply(left, right))

    return Entry(make=make)


def describe() -> dict[str, Any]:
    """Say what runs: processor, cores, device and versions."""
    device = jax.devices()[0]
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "device": f"{device.platform}: {device.device_kind}",
        "devices": jax.device_count(),
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
