"""Time several ways of doing the same work, in turns, after checking that it is the same."""

import dataclasses
import gc
import importlib.util
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

LIMIT = "limit"
OURS = "ours"
YARDSTICK = "yardstick"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """One way of doing the work, built and ready to run.

    Attributes:
      call: does the work once and returns arrays to wait for.
      witness: returns numbers that could not come from other work (the losses of the first
        training steps); they are compared with those of ours. The value of ``call`` if ``None``.
      reset: undoes what calls left behind (a trained state), before each sample, untimed.
    """

    call: Callable[[], Any]
    witness: Callable[[], Any] | None = None
    reset: Callable[[], Any] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A contestant: how to build its work, and what must be installed for it.

    Attributes:
      make: imports, builds and returns the work.
      needs: packages, by import name, without which the entry is skipped.
      alike: whether it computes what ours does, to be checked before it is timed. One that
        does not (another kind of network of the same size) is a yardstick, not a competitor.
    """

    make: Callable[[], Work]
    needs: tuple[str, ...] = ()
    alike: bool = True


@dataclasses.dataclass(frozen=True, kw_only=True)
class Benchmark:
    """The same work done by several entries.

    Attributes:
      name: as on the command line; the file's name with dashes.
      ours: the entry that the others are compared with.
      others: the competitors by name.
      limit: the least that any of them must do; it is not checked, as it does less.
      tolerance: greatest difference between two witnesses, relative to the largest entry.
      units: pieces of work (training steps) in one call; seconds are given for one piece.
      shapes: sizes that a reader needs to judge the figures.
    """

    name: str
    ours: Entry
    others: Mapping[str, Entry]
    limit: Entry | None = None
    tolerance: float = 1e-4
    units: int = 1
    shapes: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What was measured; every sequence of times has one number per round.

    Attributes:
      benchmark: what was run.
      wall: entry (``ours``, the others, ``limit``, ``yardstick``) to seconds per call.
      cpu: likewise, processor seconds of all threads.
      compile_seconds: entry to the seconds of its first call.
      disagreement: competitor to the difference between its witness and ours.
      skipped: competitor to the reason it could not run.
      disqualified: competitor to the reason it was not timed: it failed, or did other work.
      calls: entry to the calls in one sample.
    """

    benchmark: Benchmark
    wall: Mapping[str, np.ndarray]
    cpu: Mapping[str, np.ndarray]
    compile_seconds: Mapping[str, float]
    disagreement: Mapping[str, float]
    skipped: Mapping[str, str]
    disqualified: Mapping[str, str]
    calls: Mapping[str, int]


def measure(
    benchmark: Benchmark,
    *,
    rounds: int = 51,
    sample_seconds: float = 0.03,
    seed: int = 0,
    yardstick: Entry | None = None,
    advance: Callable[[str], None] = lambda what: None,
) -> Result:
    """Build, check and time the entries of a benchmark.

    Args:
      benchmark: what to run.
      rounds: samples of each entry; in each round every entry gives one, in a random order.
      sample_seconds: a sample repeats the call until it lasts about this long.
      seed: of the random orders.
      yardstick: timed along with the entries, to tell how busy the machine was.
      advance: told what happens, once per entry built and once per round.

    Returns:
      Times per round, with what was skipped or disqualified and why.

    Raises:
      ValueError: the benchmark's own entries cannot run: ``ours`` or ``limit`` needs a package.
    """
    entries = {OURS: benchmark.ours, **benchmark.others}
    entries |= {} if benchmark.limit is None else {LIMIT: benchmark.limit}
    entries |= {} if yardstick is None else {YARDSTICK: yardstick}
    works: dict[str, Work] = {}
    compile_seconds: dict[str, float] = {}
    disagreement: dict[str, float] = {}
    skipped: dict[str, str] = {}
    disqualified: dict[str, str] = {}
    truth: Any = None
    for name, entry in entries.items():
        advance(f"building {name}")
        lacking = missing(entry)
        if lacking:
            if name not in benchmark.others:
                raise ValueError(f"{benchmark.name}: `{name}` needs {', '.join(lacking)}")
            skipped[name] = f"not installed: {', '.join(lacking)}"
            continue
        try:
            work = entry.make()
            start = time.perf_counter()
            first = jax.block_until_ready(work.call())
            seconds = time.perf_counter() - start
            witness = work.witness() if work.witness else first
            if name in benchmark.others and entry.alike:
                disagreement[name] = difference(truth, witness)
        except Exception as error:
            if name not in benchmark.others:
                raise
            # A peer of another version may fail in any way; the others are still worth timing.
            disqualified[name] = f"{type(error).__name__}: {error}"
            continue
        if name == OURS:
            truth = witness
        if disagreement.get(name, 0.0) > benchmark.tolerance:
            disqualified[name] = (
                f"differs from ours by {disagreement[name]:.2g}, more than {benchmark.tolerance:g}"
            )
            continue
        works[name], compile_seconds[name] = work, seconds
    calls = {name: _calls(work, sample_seconds) for name, work in works.items()}
    wall: dict[str, list[float]] = {name: [] for name in works}
    cpu: dict[str, list[float]] = {name: [] for name in works}
    orders = np.random.default_rng(seed)
    gc.collect()
    gc.disable()  # a collection would be charged to whoever happened to be running
    try:
        for number in range(rounds):
            for name in orders.permutation(list(works)):
                seconds, cpu_seconds = sample(works[name], calls[name])
                wall[name].append(seconds)
                cpu[name].append(cpu_seconds)
            advance(f"round {number + 1} of {rounds}")
    finally:
        gc.enable()
    return Result(
        benchmark=benchmark,
        wall={name: np.asarray(times) for name, times in wall.items()},
        cpu={name: np.asarray(times) for name, times in cpu.items()},
        compile_seconds=compile_seconds,
        disagreement=disagreement,
        skipped=skipped,
        disqualified=disqualified,
        calls=calls,
    )


def missing(entry: Entry) -> list[str]:
    """List the packages that an entry needs and that are not installed."""
    return [name for name in entry.needs if importlib.util.find_spec(name) is None]


def difference(ours: Any, theirs: Any) -> float:
    """Give the largest difference of two pytrees, relative to the largest entry of its leaf.

    Infinite if a shape differs or an entry is not finite: such work cannot be compared.
    """
    left, right = jax.tree.leaves(ours), jax.tree.leaves(theirs)
    if len(left) != len(right):
        return math.inf
    worst = 0.0
    for ours_leaf, theirs_leaf in zip(left, right, strict=True):
        a, b = np.asarray(ours_leaf, np.float64), np.asarray(theirs_leaf, np.float64)
        if a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
            return math.inf
        if a.size:
            scale = max(np.abs(a).max(), np.finfo(np.float64).tiny)
            worst = max(worst, float(np.abs(a - b).max() / scale))
    return worst


def sample(work: Work, calls: int) -> tuple[float, float]:
    """Time ``calls`` calls: wall and processor seconds of one."""
    if work.reset:
        work.reset()
    last: Any = None
    cpu, start = time.process_time(), time.perf_counter()
    for _ in range(calls):
        last = work.call()
    jax.block_until_ready(last)
    return (time.perf_counter() - start) / calls, (time.process_time() - cpu) / calls


def _calls(work: Work, sample_seconds: float) -> int:
    """Choose how many calls make a sample, from the faster of two."""
    seconds = min(sample(work, 1)[0] for _ in range(2))
    return min(10_000, max(1, round(sample_seconds / max(seconds, 1e-9))))
