"""``jaxnn evaluate RUN``: a run's newest intact checkpoint, scored on all examples."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import tyro
from flax import linen as nn

from jaxnn import train
from jaxnn.cli._models import Training, find_model
from jaxnn.cli._parse import UsageError
from jaxnn.cli._session import use_compilation_cache
from jaxnn.cli._tasks import Task, blank_text, reload_task


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """Score a trained run on its training and test examples: all, or 512 windows of a text."""

    run: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RUN")]
    """The run's folder, or its name in the folder of runs."""
    runs: Path = Path("runs")
    """Folder of all runs."""
    best: bool = False
    """Score the state of the lowest test loss, kept by `jaxnn train --best`."""
    json: bool = False
    """Print the figures as one JSON object."""


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A run read back: its module, trained state, data and records."""

    run: train.Run
    model_name: str
    network: nn.Module
    state: train.TrainState
    task: Task
    history: list[dict[str, float]]


def load_run(name: str, runs: Path, *, text_only: bool = False, best: bool = False) -> Loaded:
    """Read a run back from its config and newest intact checkpoint.

    Args:
      name: its folder, or its name in the folder of runs.
      runs: the folder of runs.
      text_only: whether it must be a model that writes; its data are then not read, which may
        be gone, and ``task`` holds blanks.
      best: take the best state that was kept instead.

    Raises:
      UsageError: there is no such run, it has no checkpoint, or its files cannot be used.
    """
    from jaxnn.cli._train import build

    folder = Path(name) if (Path(name) / "config.json").is_file() else runs / name
    try:
        run = train.open_run(folder)
    except ValueError as error:
        raise UsageError(str(error)) from None
    try:
        model_name = run.config["model"]
        model = find_model(model_name)
        if text_only and not model.text:
            raise UsageError(
                f"run {folder} holds a {model.title}, which writes no text; "
                "`jaxnn train gpt` trains one that does"
            )
        config = model.config(**_tuples(run.config["model_options"]))
        training = Training(**run.config["training"])
        if text_only:
            task = blank_text(run.config["data"], config.context, training.batch_size)
        else:
            context = config.context if model.text else None
            task = reload_task(run.config["data"], context=context)
    except (KeyError, TypeError) as error:
        raise UsageError(f"{folder / 'config.json'} is not a run's config: {error}") from None
    network, state = build(config, training, task)
    try:
        restored = (run.open_best() if best else run.open_checkpoints()).restore(state)
    except (ValueError, train.DamagedCheckpoint) as error:
        raise UsageError(str(error)) from None
    if restored is None and best:
        raise UsageError(f"run {folder} has no best state; it is kept by `jaxnn train --best`")
    if restored is None:
        raise UsageError(f"run {folder} has no checkpoint yet; continue it with --resume")
    state, position = restored
    return Loaded(run, model_name, network, state, task, position.history)


def evaluate_command(options: EvaluateOptions) -> int:
    """Carry out ``jaxnn evaluate``."""
    use_compilation_cache()
    loaded = load_run(options.run, options.runs, best=options.best)
    dataset = loaded.task.scored
    figures = {
        split: train.evaluate(loaded.state, getattr(dataset, split), loaded.task.metrics)
        for split in ("train", "test")
    }
    if options.json:
        row: dict[str, Any] = {"run": str(loaded.run.folder), "model": loaded.model_name}
        row |= {"step": int(loaded.state.step)}
        for split, values in figures.items():
            row |= {f"{split}_{name}": value for name, value in values.items()}
        print(json.dumps(row))
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{loaded.run.folder}, step {int(loaded.state.step)}")
    table.add_column("")
    table.add_column("examples", justify="right")
    for name in loaded.task.metrics:
        table.add_column(name.replace("_", " "), justify="right")
    for split, values in figures.items():
        shown = [f"{value:.4f}" for value in values.values()]
        table.add_row(split, str(len(getattr(dataset, split).x)), *shown)
    Console().print(table)
    return 0


def _tuples(options: dict[str, Any]) -> dict[str, Any]:
    """Turn JSON's lists back into the tuples that configs hold."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
