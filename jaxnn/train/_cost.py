"""What a step costs by XLA's count, and what the device could do."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn._check import require_positive

# Products of bfloat16 matrices a second, dense, as makers state them; by the start of what
# JAX calls the device.
PEAKS = {
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5e": 197e12,
    "TPU v5": 459e12,
    "TPU v6": 918e12,
    "NVIDIA A100": 312e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H100": 989e12,
    "NVIDIA H200": 989e12,
}


class Cost(NamedTuple):
    """What a compiled function does once, on each device.

    Attributes:
      flops: floating-point operations, a multiply-add counted as two.
      bytes_accessed: read and written by all its parts, in caches or not.
    """

    flops: float
    bytes_accessed: float

    def utilization(self, seconds: float, peak: float) -> float:
        """Give the share of the peak that was used: model FLOPs utilisation, MFU.

        Args:
          seconds: measured, for the function once.
          peak: operations a second that the device could do, as :func:`peak_flops` says.

        Raises:
          ValueError: a number is not above zero.
        """
        require_positive("Cost.utilization", seconds=seconds, peak=peak)
        return self.flops / seconds / peak


def cost_of(f: Callable[..., Any], *args: Any) -> Cost:
    """Count what a function does, by XLA's analysis of its compiled program.

    A loop's body is counted once, however often it runs: of a scan over time or layers, count
    the body by itself. Recomputation (``jax.checkpoint``) is counted, so that what comes of it is
    hardware utilisation.

    Args:
      f: a step, or any function that JAX can trace; compiled anew.
      args: its arguments, or their shapes as ``jax.ShapeDtypeStruct``; nothing is run or consumed.

    Returns:
      The cost on one device; not a number where the backend has no count.

    Example:
      >>> train.cost_of(jnp.matmul, jnp.zeros((2, 3)), jnp.zeros((3, 5))).flops
      60.0
    """
    analysis = jax.jit(f).lower(*args).compile().cost_analysis() or {}
    if not isinstance(analysis, dict):
        analysis = analysis[0]
    nan = float("nan")
    return Cost(float(analysis.get("flops", nan)), float(analysis.get("bytes accessed", nan)))


def peak_flops(device: Any = None) -> tuple[float, bool]:
    """Give the operations a second of a device: its maker's figure for bfloat16, or measured.

    Args:
      device: one of ``jax.devices()``; the first if ``None``.

    Returns:
      The rate, and whether it was measured here: as the best of five products of float32 matrices
      of 2048 by 2048, where the device is none of those with a figure, such as a CPU.
    """
    device = jax.devices()[0] if device is None else device
    for name in sorted(PEAKS, key=len, reverse=True):
        if device.device_kind.startswith(name):
            return PEAKS[name], False
    size = 2048
    x = jax.device_put(jnp.ones((size, size)), device)
    product = jax.jit(jnp.matmul)
    product(x, x).block_until_ready()
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        product(x, x).block_until_ready()
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / min(seconds), True
