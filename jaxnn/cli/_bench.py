"""``jaxnn bench``: run the repository's benchmarks and print them as one table."""

import dataclasses
import difflib
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

import jaxnn

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


@dataclasses.dataclass(frozen=True)
class BenchOptions:
    """Time ours beside others on the same work: checked, interleaved, as ratios.

    The exit code is 0, or 1 if an entry failed or computed something else than ours, or 2 if
    nothing could be run.
    """

    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Benchmarks to run, e.g. mlp-train-step; all of them if none is named."""

    json: Path | None = None
    """File that the figures are written to, whole or not at all."""

    rounds: int = 51
    """Samples of each entry; the median and the quartiles over rounds are reported."""

    sample_seconds: float = 0.03
    """Length of one sample: fast work is repeated until it lasts about this long."""

    seed: int = 0
    """Seed of the random order in which the entries of a round take turns."""

    list: bool = False
    """Say which benchmarks there are and what they time, and run none."""


def bench(options: BenchOptions, *, folder: Path | None = None) -> int:
    """Run benchmarks, print a table, and write the figures if a file is named.

    Args:
      options: what was asked for on the command line.
      folder: the package of benchmarks; the one beside the installed package if ``None``.

    Returns:
      The exit code.
    """
    from rich.console import Console

    errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    folder = Path(jaxnn.__file__).parents[1] / "benchmarks" if folder is None else folder
    if not (folder / "__init__.py").is_file():
        errors.print("jaxnn bench: benchmarks live in the repository, not in the installed package")
        return 2
    sys.path.insert(0, str(folder.parent))
    try:
        package = importlib.import_module("benchmarks")
        if Path(str(package.__file__)).parent != folder:
            errors.print(
                f"jaxnn bench: {package.__file__} is imported as `benchmarks` in place of {folder}"
            )
            return 2
        return _run(options, errors)
    finally:
        sys.path.remove(str(folder.parent))


def _run(options: BenchOptions, errors: "Console") -> int:
    from rich.console import Console

    registry = importlib.import_module("benchmarks._registry")
    known = registry.names()
    out = Console(soft_wrap=True, highlight=False)
    if options.list:
        width = max(map(len, known), default=0)
        for name in known:
            out.print(f"{name:<{width}}  {registry.about(name)}", markup=False)
        return 0
    problem = _problem(options, known)
    if problem:
        errors.print(f"jaxnn bench: {problem}")
        return 2
    chosen = tuple(dict.fromkeys(options.names)) or known
    results, failures = _measure(chosen, options, errors)
    report = _report(results, failures)
    out.print(_table(report))
    for line in _notes(report):
        out.print(line, markup=False)
    if options.json is not None:
        importlib.import_module("benchmarks._report").write(options.json, report)
        out.print(f"written to {options.json}", markup=False)
    return 1 if failures or any(entry["disqualified"] for entry in report["benchmarks"]) else 0


def _problem(options: BenchOptions, known: tuple[str, ...]) -> str | None:
    """Say in one line what is wrong with the options, if anything is."""
    for name in options.names:
        if name not in known:
            near = difflib.get_close_matches(name, known, cutoff=0.3) or known
            return f"`{name}` is no benchmark; the nearest are {', '.join(near)}"
    if options.rounds < 1:
        return f"`--rounds` is {options.rounds}; it needs a whole number above zero"
    if not 0 < options.sample_seconds < float("inf"):
        return f"`--sample-seconds` is {options.sample_seconds}; it needs a number above zero"
    return None


def _measure(
    chosen: tuple[str, ...], options: BenchOptions, errors: "Console"
) -> tuple[list[Any], dict[str, str]]:
    """Run the chosen benchmarks under a progress bar; give results, and errors by name."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    harness = importlib.import_module("benchmarks._harness")
    machine = importlib.import_module("benchmarks._machine")
    registry = importlib.import_module("benchmarks._registry")
    results: list[Any] = []
    failures: dict[str, str] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=True) as progress:
        for name in chosen:
            task = progress.add_task(name, total=None)
            try:
                benchmark = registry.load(name)
                entries = 2 + len(benchmark.others) + (benchmark.limit is not None)
                progress.update(task, total=entries + options.rounds)

                def advance(what: str, task=task, name=name) -> None:
                    progress.update(task, advance=1, description=f"{name}: {what}")

                results.append(
                    harness.measure(
                        benchmark,
                        rounds=options.rounds,
                        sample_seconds=options.sample_seconds,
                        seed=options.seed,
                        yardstick=machine.product(),
                        advance=advance,
                    )
                )
            except Exception as error:
                # One broken benchmark must not cost the figures of the others.
                failures[name] = f"{type(error).__name__}: {error}"
    return results, failures


def _report(results: list[Any], failures: dict[str, str]) -> dict[str, Any]:
    machine = importlib.import_module("benchmarks._machine")
    report = importlib.import_module("benchmarks._report")
    return {
        "benchmarks": [report.record(result) for result in results],
        "failures": failures,
        "machine": report.machine(machine.describe(), results, machine.OPERATIONS),
    }


def _table(report: dict[str, Any]) -> "Table":
    from rich import box
    from rich.table import Table

    caption = "ratio: time of the entry by time of ours; above 1, ours is faster"
    table = Table(caption=caption, box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("benchmark", no_wrap=True)
    for heading in ("ms", "ratio", "quartiles", "CPU ratio", "compile s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for entry in report["benchmarks"]:
        compiled = entry["compile_seconds"]
        # Names on lines of their own: figures must not be cut where 80 columns are all there is.
        table.add_row(entry["name"])
        table.add_row("  ours", _ms(entry["ours_seconds"]), "", "", "", f"{compiled['ours']:.2f}")
        for other, seconds in entry["others"].items():
            low, high = entry["spread"][other]
            table.add_row(
                f"  {other}",
                _ms(seconds),
                f"{entry['ratios'][other]:.2f}",
                f"{low:.2f}-{high:.2f}",
                f"{entry['cpu_ratios'][other]:.2f}",
                f"{compiled[other]:.2f}",
            )
        if entry["limit_ratio"] is not None:
            # Shown as the rows above are, limit by ours; the file keeps ours by limit.
            low, high = entry["spread"]["limit"]
            table.add_row(
                "  limit",
                _ms(entry["limit_seconds"]),
                f"{1 / entry['limit_ratio']:.2f}",
                f"{1 / high:.2f}-{1 / low:.2f}",
                "",
                f"{compiled['limit']:.2f}",
            )
        table.add_section()
    return table


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.3g}"


def _notes(report: dict[str, Any]) -> list[str]:
    """List what the table leaves out: the machine, and entries without a time."""
    machine = report["machine"]
    rate = machine["matmul_gflops"]
    speed = "" if rate is None else f", float32 product {rate:.0f} GFLOP/s"
    lines = [f"{machine['processor']}, {machine['cores']} cores, {machine['device']}{speed}"]
    for entry in report["benchmarks"]:
        lines += [f"{entry['name']}: {n} skipped, {why}" for n, why in entry["skipped"].items()]
        lines += [
            f"{entry['name']}: {n} NOT TIMED, {why}" for n, why in entry["disqualified"].items()
        ]
    lines += [f"{name}: FAILED, {why}" for name, why in report["failures"].items()]
    return lines
