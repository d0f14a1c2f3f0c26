"""``jaxnn analyze RUN``: what the network looks at and how sparse it is, as an HTML report."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import jax
import tyro

from jaxnn import train
from jaxnn.cli import _report
from jaxnn.cli._analysis import ModelAnalysis, analyze_model
from jaxnn.cli._evaluate import load_run
from jaxnn.cli._models import MODELS
from jaxnn.cli._session import machine, use_compilation_cache


@dataclasses.dataclass(frozen=True)
class AnalyzeOptions:
    """Analyse a trained run: attribution, sparsity, pictures, as one HTML page."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """The run's folder, or its name in the folder of runs."""
    runs: Path = Path("runs")
    """Folder of all runs."""
    output: Path | None = None
    """The page to write; report.html in the run's folder if not given."""
    seed: int = 0
    """Seed of the methods that sample."""
    json: bool = False
    """Print the measures as one JSON object."""


def analyze_command(options: AnalyzeOptions) -> int:
    """Carry out ``jaxnn analyze``."""
    use_compilation_cache()
    loaded = load_run(options.run, options.runs)
    analysis = analyze_model(
        loaded.network,
        loaded.state.evaluation_variables,
        loaded.task.scored,
        key=jax.random.key(options.seed),
        history=loaded.history,
        thorough=True,
    )
    test = train.evaluate(loaded.state, loaded.task.scored.test, loaded.task.metrics)
    entry = report_entry(
        loaded.run,
        loaded.model_name,
        loaded.state,
        loaded.task.dataset.task,
        test={f"test_{name}": value for name, value in test.items()},
        history=loaded.history,
        analysis=analysis,
    )
    path = options.output or loaded.run.folder / "report.html"
    _report.write_report(
        path,
        title=f"{entry.model} on {entry.dataset}",
        seed=options.seed,
        machine=machine(),
        runs=[entry],
        command=f"jaxnn analyze {options.run}",
    )
    if options.json:
        row = {"run": str(loaded.run.folder), "report": str(path), **analysis.measures}
        print(json.dumps(row))
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{loaded.run.folder}, step {int(loaded.state.step)}", show_header=False)
    table.add_column("measure")
    table.add_column("value", justify="right")
    for name, value in analysis.measures.items():
        if isinstance(value, int | float):  # those by layer and method are in the page
            table.add_row(name.replace("_", " "), f"{value:.4g}")
    Console().print(table)
    print(f"report: {path}")
    return 0


def report_entry(
    run: train.Run,
    model_name: str,
    state: train.TrainState,
    task: str,
    *,
    test: dict[str, float],
    history: list[dict[str, float]],
    analysis: ModelAnalysis,
    seconds: float | None = None,
    steps_per_second: float | None = None,
) -> _report.Run:
    """Gather what the page says of one run; times come from its records if not given."""
    last = history[-1] if history else {"step": 0.0, "seconds": 0.0}
    took = last["seconds"] if seconds is None else seconds
    rate = last["step"] / took if took and steps_per_second is None else steps_per_second
    options = {**run.config["model_options"], **run.config["training"]}
    return _report.Run(
        name=run.folder.name,
        model=MODELS[model_name].title,
        dataset=Path(run.config["data"]["name"]).name,
        config=options,
        parameters=sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        seconds=took,
        steps_per_second=rate or 0.0,
        metrics=test,
        task="regression" if task == "regression" else "classification",
        history=history,
        analysis=analysis,
    )
