"""Running claims: one here, or many in processes of their own.

Whatever goes wrong inside a claim is a failure of that claim: an exception, a senseless
result, or the death of the process. It never ends the run of the others.
"""

import importlib
import queue
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

import jax

from jaxnn._check import require
from jaxnn.claims._claim import PARTS, Check, Claim, Part
from jaxnn.claims._evidence import CheckEvidence, Evidence, checked, evidence
from jaxnn.claims._registry import HOME, Registry, find_claims, require_names


def run_claim(claim: Claim, seed: int = 0, parts: Iterable[str] = PARTS) -> Evidence:
    """Run a claim's parts in this process.

    Each part gets a key of its own, the same whichever parts run.

    Args:
      claim: what to run.
      seed: makes the keys.
      parts: which of ``identities``, ``agreements`` and ``effects`` to run.

    Returns:
      A row of evidence. It holds if every check made is ok and at least one was made; it is
      unrun if the claim has none of the parts. An exception is a failed check that counts it
      and names its line.

    Raises:
      ValueError: a part or the seed does not exist.
    """
    parts = tuple(parts)
    require(set(parts) <= set(PARTS), "run_claim", "parts", parts, f"names out of {PARTS}")
    require(0 <= seed < 2**32, "run_claim", "seed", seed, "a number in [0, 2**32)")
    keys = dict(zip(PARTS, jax.random.split(jax.random.key(seed), len(PARTS)), strict=True))
    chosen = {name: part for name, part in claim.parts.items() if name in parts}
    if not chosen:
        return evidence(claim)
    start = time.perf_counter()
    rows = [row for name, part in chosen.items() for row in _run_part(name, part, keys[name])]
    return evidence(
        claim,
        state="holds" if all(row["ok"] for row in rows) else "fails",
        seconds=round(time.perf_counter() - start, 2),
        seed=seed,
        checks=rows,
    )


def _run_part(name: str, part: Part, key: jax.Array) -> list[CheckEvidence]:
    try:
        checks = list(part(key))
        strange = [check for check in checks if not isinstance(check, Check)]
        if strange or not checks:
            given = f"a {type(strange[0]).__name__}" if strange else "no checks"
            return [_failure(f"{name} returned {given}; it needs a list of Check")]
        return [checked(check) for check in checks]
    except (Exception, SystemExit) as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        frames = traceback.extract_tb(error.__traceback__)
        home = getattr(getattr(part, "__code__", None), "co_filename", frame.filename)
        # The claim's own line says more than the last one, deep inside a library.
        frame = next((f for f in reversed(frames) if f.filename == home), frame)
        text = " ".join(str(error).split()) or "no message"
        where = f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
        return [_failure(f"{name} raised {type(error).__name__} at {where}: {text[:300]}")]


def _failure(text: str) -> CheckEvidence:
    """Make the failed check that stands for an experiment without a result."""
    return {"name": text, "value": 1.0, "relation": "=", "bound": 0.0, "ok": False}


def run_claims(
    names: Iterable[str],
    seed: int = 0,
    jobs: int = 1,
    *,
    registry: Registry | None = None,
    report: Callable[[Evidence], None] | None = None,
    progress: bool = False,
) -> list[Evidence]:
    """Run claims by name, several at a time.

    With two jobs or more each runs in processes of its own, started afresh; a process that
    dies fails the claim it was running.

    Args:
      names: which claims, in the order of the result.
      seed: makes each claim's keys.
      jobs: how many run at a time; 1 runs them in this process.
      registry: where the names are looked up; all of jaxnn's claims if ``None``.
      report: called with each row, in order, as soon as it and those before it are there.
      progress: whether to draw a bar on the terminal.

    Returns:
      One row of evidence a name.

    Raises:
      ValueError: a name is unknown, or ``jobs`` is below one.
    """
    names = tuple(names)
    registry = find_claims(HOME) if registry is None else registry
    require_names(names, registry)
    require(jobs >= 1, "run_claims", "jobs", jobs, "at least one")
    claims = [registry.claims[name] for name in names]
    homes = [registry.homes[name] for name in names]
    if jobs == 1:
        results = _run_here(claims, seed)
    else:
        results = _run_in_processes(claims, homes, seed, min(jobs, len(claims)))
    rows: dict[int, Evidence] = {}
    told = 0
    for index, row in _drawn(results, len(claims)) if progress else results:
        rows[index] = row
        while report is not None and told in rows:
            report(rows[told])
            told += 1
    return [rows[index] for index in range(len(names))]


def _run_here(claims: list[Claim], seed: int) -> Iterator[tuple[int, Evidence]]:
    for index, claim in enumerate(claims):
        yield index, run_claim(claim, seed)
        # Hundreds of claims' programs would otherwise stay in memory.
        jax.clear_caches()


def _run_in_processes(
    claims: list[Claim], homes: list[str], seed: int, jobs: int
) -> Iterator[tuple[int, Evidence]]:
    """Let each of ``jobs`` threads feed one process, so that a death is one claim's alone."""
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, Evidence]] = queue.SimpleQueue()
    for index in range(len(claims)):
        todo.put(index)
    stop = threading.Event()

    def feed() -> None:
        pool = _process()
        while not stop.is_set():
            try:
                index = todo.get_nowait()
            except queue.Empty:
                break
            try:
                row = pool.submit(_run_home, homes[index], seed).result()
            except BrokenProcessPool:
                failure = _failure("its process died; the memory may have been exhausted")
                row = evidence(claims[index], state="fails", seed=seed, checks=[failure])
                pool.shutdown()
                pool = _process()
            except Exception as error:  # A result that cannot travel is the claim's fault too.
                failure = _failure(f"its process raised {type(error).__name__}: {error}")
                row = evidence(claims[index], state="fails", seed=seed, checks=[failure])
            done.put((index, row))
        pool.shutdown()

    threads = [threading.Thread(target=feed, daemon=True) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    try:
        for _ in claims:
            yield done.get()
    finally:
        stop.set()
    for thread in threads:
        thread.join()


def _process() -> ProcessPoolExecutor:
    # Forked, a process would inherit JAX's threads in an undefined state.
    return ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn"))


def _run_home(home: str, seed: int) -> Evidence:
    row = run_claim(importlib.import_module(home).CLAIM, seed)
    jax.clear_caches()
    return row


def _drawn(results: Iterator[tuple[int, Evidence]], total: int) -> Iterator[tuple[int, Evidence]]:
    import sys

    from rich.console import Console
    from rich.progress import Progress

    # On a terminal the bar must share the stream of the results, or they overwrite each other.
    terminal = sys.stdout.isatty()
    console = Console(stderr=not terminal)
    with Progress(console=console, redirect_stdout=terminal, transient=True) as bar:
        task = bar.add_task("claims", total=total)
        for result in results:
            bar.advance(task)
            yield result
