"""``--profile``: a trace of early steps, and how much of the device a step uses."""

from collections.abc import Callable
from pathlib import Path

import jax

from jaxnn import train

# Dispatches traced, after the first, in which the step is compiled.
DISPATCHES = 3


class Profiler:
    """Trace some dispatches of :func:`train.fit`, asked after each whether to stop.

    Args:
      folder: where the trace is written, for TensorBoard, Perfetto or XProf.
      should_stop: answers for it.
    """

    def __init__(self, folder: Path, should_stop: Callable[[], bool]) -> None:
        self.folder, self.should_stop = folder, should_stop
        self.dispatches = 0
        self.tracing = False

    def __call__(self) -> bool:
        """Count a dispatch; begin after the first, and end some later."""
        self.dispatches += 1
        if self.dispatches == 1:
            jax.profiler.start_trace(str(self.folder))
            self.tracing = True
        elif self.dispatches > DISPATCHES:
            self._end()
        return self.should_stop()

    def __enter__(self) -> "Profiler":
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def _end(self) -> None:
        if self.tracing:
            jax.profiler.stop_trace()
            self.tracing = False


def describe_cost(cost: train.Cost, steps_per_second: float) -> str:
    """Say what a step costs, and what share of the device's peak is used."""
    peak, measured = train.peak_flops()
    kind = "the rate of matrix products measured here" if measured else "its maker's peak"
    share = 100 * cost.utilization(1 / max(steps_per_second, 1e-9), peak)
    return (
        f"a step: {cost.flops / 1e6:.3g} Mflop, {cost.bytes_accessed / 1e6:.3g} MB; "
        f"{cost.flops * steps_per_second / 1e9:.3g} Gflop/s, {share:.1f} % of {kind} "
        f"({peak / 1e9:.4g} Gflop/s)"
    )
