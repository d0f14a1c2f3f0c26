"""``jaxnn demo``: four kinds of network on handwritten digits, analysed, in one report."""

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import jax

from jaxnn._files import write_text
from jaxnn.cli import _report
from jaxnn.cli._analysis import ModelAnalysis, analyze_model
from jaxnn.cli._analysis_parts import LABELS, Label
from jaxnn.cli._analyze import report_entry
from jaxnn.cli._models import MODELS
from jaxnn.cli._parse import UsageError
from jaxnn.cli._session import machine, use_compilation_cache
from jaxnn.cli._train import Keeping, Result, StopSignals, TrainOptions, run_training

# Those that can be shown pictures.
READERS = [name for name, model in MODELS.items() if not model.text]


@dataclasses.dataclass(frozen=True)
class DemoOptions:
    """Train an MLP, a vision transformer, a spiking network and a KAN on digits."""

    seed: int = 0
    """Seed of everything random."""
    output: Path = Path("runs/demo")
    """Folder of the runs, the report and the summary; an older one is set aside, not lost."""
    models: tuple[str, ...] = tuple(name for name in READERS if MODELS[name].demo)
    """Which models to train."""
    json: bool = False
    """Print the summary as JSON instead of a table."""


def demo(options: DemoOptions) -> int:
    """Carry out ``jaxnn demo``."""
    use_compilation_cache()
    unknown = [name for name in options.models if name not in READERS]
    if unknown or not options.models:
        raise UsageError(f"--models needs some of {', '.join(READERS)}; got {unknown or 'none'}")
    started = time.perf_counter()
    moved = _set_aside(options.output)
    if moved is not None:
        print(f"the previous demo is now at {moved}", file=sys.stderr)
    rows: list[dict[str, Any]] = []
    entries: list[_report.Run] = []
    with StopSignals() as stopped:
        for name in options.models:
            result = _train_one(name, options, stopped)
            if result.stopped:
                print(f"stopped; what was trained is in {options.output}", file=sys.stderr)
                return stopped.code
            analysis = analyze_model(
                result.network,
                result.state.evaluation_variables,
                result.task.dataset,
                key=jax.random.key(options.seed),
                history=result.history,
            )
            rows.append(result.summary() | {"analysis": analysis.measures})
            entries.append(_entry(name, result, analysis))
    report = options.output / "report.html"
    _report.write_report(
        report,
        title="Four networks read handwritten digits",
        seed=options.seed,
        machine=machine(),
        runs=entries,
        command=f"jaxnn demo --seed {options.seed}",
    )
    summary = {
        "seed": options.seed,
        "seconds": round(time.perf_counter() - started, 1),
        "machine": machine(),
        "runs": rows,
    }
    write_text(options.output / "summary.json", json.dumps(summary, indent=2) + "\n")
    if options.json:
        print(json.dumps(summary))
    else:
        _print_table(summary)
        print(f"report: {report}  ({summary['seconds']:.0f} s in all)")
    return 0


def _train_one(name: str, options: DemoOptions, stopped: StopSignals) -> Result:
    model = MODELS[name]
    train_options = TrainOptions(
        data="digits",
        model=model.config(),
        training=dataclasses.replace(model.recipe, seed=options.seed),
        keeping=Keeping(name=name, runs=options.output),
    )
    show = None if options.json else name
    return run_training(name, train_options, should_stop=stopped, progress=show)


def _entry(name: str, result: Result, analysis: ModelAnalysis) -> _report.Run:
    return report_entry(
        result.run,
        name,
        result.state,
        result.task.dataset.task,
        test={f"test_{k}": v for k, v in result.test.items()},
        history=result.history,
        analysis=analysis,
        seconds=result.seconds,
        steps_per_second=result.steps_per_second,
    )


def _set_aside(folder: Path) -> Path | None:
    """Rename an existing folder to the first free NAME-2, NAME-3 ...; nothing is overwritten."""
    if not folder.exists():
        return None
    if not (folder / "summary.json").exists() and any(
        path.name not in MODELS for path in folder.iterdir()
    ):
        raise UsageError(f"--output {folder} exists and is not a demo's folder")
    number = 2
    while (free := folder.with_name(f"{folder.name}-{number}")).exists():
        number += 1
    return folder.rename(free)


def _print_table(summary: dict[str, Any]) -> None:
    """Print what was trained, then what was found inside: two tables that fit 80 columns."""
    from rich.console import Console
    from rich.table import Table

    rows = summary["runs"]
    trained = Table(title=f"handwritten digits, seed {summary['seed']}")
    for head in ("model", "test accuracy", "parameters", "seconds", "steps/s"):
        trained.add_column(head, justify="left" if head == "model" else "right")
    for row in rows:
        trained.add_row(
            MODELS[row["model"]].title,
            f"{100 * row['test_accuracy']:.1f} %",
            f"{row['parameters']:,}",
            f"{row['train_seconds']:.1f}",
            f"{row['steps_per_second']:.0f}",
        )
    inside = Table(title="what they look at, and how much of them is at work")
    inside.add_column("measure")
    for row in rows:
        inside.add_column(MODELS[row["model"]].title, justify="right")
    for name, label in LABELS.items():
        if label.summary and any(row["analysis"].get(name) is not None for row in rows):
            inside.add_row(label.label, *(_shown(row["analysis"].get(name), label) for row in rows))
    console = Console(highlight=False)
    console.print(trained)
    console.print(inside)


def _shown(value: float | None, label: Label) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.1f} %" if label.share else f"{value:.3g}"
