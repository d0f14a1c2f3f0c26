"""From times to the ratios that are reported, and to the file that keeps them."""

import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._harness import LIMIT, OURS, YARDSTICK, Result


def record(result: Result) -> dict[str, Any]:
    """Make the entry of one benchmark in the file.

    Ratios are medians over rounds of the other's time by ours, so above 1 ours is faster;
    ``limit_ratio`` is ours by the limit's, so 1 is the best there can be. ``spread`` has the
    quartiles of both. Seconds are those of one unit (one training step).
    """
    units = result.benchmark.units
    others = [name for name in result.benchmark.others if name in result.wall]
    ours = result.wall[OURS]
    per_round = {name: result.wall[name] / ours for name in others}
    if LIMIT in result.wall:
        per_round[LIMIT] = ours / result.wall[LIMIT]
    return {
        "name": result.benchmark.name,
        "ours_seconds": _median(ours) / units,
        "others": {name: _median(result.wall[name]) / units for name in others},
        "ratios": {name: _median(per_round[name]) for name in others},
        "limit_ratio": _median(per_round[LIMIT]) if LIMIT in per_round else None,
        "spread": {name: _quartiles(values) for name, values in per_round.items()},
        "cpu_ratios": {
            name: _median(result.cpu[name] / np.maximum(result.cpu[OURS], 1e-9)) for name in others
        },
        "limit_seconds": _median(result.wall[LIMIT]) / units if LIMIT in result.wall else None,
        "compile_seconds": dict(result.compile_seconds),
        "disagreement": {
            name: value if np.isfinite(value) else None
            for name, value in result.disagreement.items()
        },
        "skipped": dict(result.skipped),
        "disqualified": dict(result.disqualified),
        "rounds": len(ours),
        "calls": dict(result.calls),
        "units": units,
        "shapes": dict(result.benchmark.shapes),
    }


def machine(
    described: Mapping[str, Any], results: Iterable[Result], operations: float
) -> dict[str, Any]:
    """Add to the machine's description the rate of its matrix product over all rounds.

    Args:
      described: processor, cores, versions.
      results: all that were run, with their yardstick.
      operations: floating-point operations of one yardstick.
    """
    seconds = [result.wall[YARDSTICK] for result in results if YARDSTICK in result.wall]
    if not seconds:
        return {**described, "matmul_gflops": None}
    rates = operations / np.concatenate(seconds) / 1e9
    return {**described, "matmul_gflops": _median(rates), "matmul_gflops_spread": _quartiles(rates)}


def write(path: Path, report: Mapping[str, Any]) -> None:
    """Write the file whole or not at all: a reader never sees half of it."""
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump(report, file, indent=2, allow_nan=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes the file private; a report is as readable as its neighbours.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _median(values: np.ndarray) -> float:
    return float(np.median(values))


def _quartiles(values: np.ndarray) -> list[float]:
    return [float(v) for v in np.quantile(values, [0.25, 0.75])]
