"""``jaxnn train MODEL DATA``: a run from its options, saved, resumable to the same bits."""

import contextlib
import dataclasses
import json
import logging
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import tyro
from flax import linen as nn

from jaxnn import train
from jaxnn._version import __version__
from jaxnn.cli._models import (
    MODELS,
    Devices,
    Training,
    find_model,
    make_layout,
    make_state,
    with_split_heads,
)
from jaxnn.cli._parse import UsageError, parse
from jaxnn.cli._profile import Profiler, describe_cost
from jaxnn.cli._session import use_compilation_cache
from jaxnn.cli._tasks import Task, load_task

ONE_DEVICE = Devices()


@dataclasses.dataclass(frozen=True)
class Keeping:
    """Where the run is kept."""

    name: str = ""
    """Name of the run's folder; MODEL-DATA if not given."""
    runs: Path = Path("runs")
    """Folder of all runs."""
    resume: bool = False
    """Continue a run of this name from its newest checkpoint, with the same options."""
    record_every: int = 50
    """Steps between records in metrics.jsonl."""
    evaluate_every: int = 200
    """Steps between evaluations on the test examples."""
    checkpoint_every: int = 200
    """Steps between checkpoints."""
    keep: int = 3
    """How many of the newest checkpoints are kept."""
    best: bool = False
    """Keep the state of the lowest test loss too, in the run's folder best/."""
    patience: int = 0
    """Stop after so many evaluations in a row without a lower test loss; 0 never."""
    max_skipped: int = 10
    """Steps in a row that may be skipped because loss or result is not finite; 0 looks at none."""
    profile: bool = False
    """Write a trace of some early steps to the run's folder profile/, and count operations."""
    tensorboard: bool = False
    """Write the records for TensorBoard too, to the run's folder tensorboard/."""
    json: bool = False
    """Print the result as one JSON object."""


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """What ``jaxnn train`` was asked for.

    Attributes:
      data: name of built-in data, or a file.
      model: the model's config.
      training: how to train.
      keeping: where the run is kept.
      target: for a .csv, the column to predict.
      devices: where to train, if on several.
    """

    data: str
    model: Any
    training: Training = dataclasses.field(default_factory=Training)
    keeping: Keeping = dataclasses.field(default_factory=Keeping)
    target: str = ""
    devices: Devices = dataclasses.field(default_factory=Devices)


@dataclasses.dataclass(frozen=True)
class Result:
    """A trained run.

    Attributes:
      run: its folder and config.
      state: the final state.
      network: the module.
      task: the data.
      history: all records.
      test: metrics on the test examples, by name.
      parameters: number of parameters.
      seconds: wall time of the training, compilation included.
      steps_per_second: rate after compilation.
      stopped: whether it was asked to stop early, or lost patience.
      cost: of a step, if it was profiled.
    """

    run: train.Run
    state: train.TrainState
    network: nn.Module
    task: Task
    history: list[dict[str, float]]
    test: dict[str, float]
    parameters: int
    seconds: float
    steps_per_second: float
    stopped: bool
    cost: train.Cost | None = None

    def summary(self) -> dict[str, Any]:
        """Give the figures as ``summary.json`` and ``--json`` have them."""
        return {
            "model": self.run.config["model"],
            "data": self.run.config["data"]["name"],
            "run": str(self.run.folder),
            "steps": int(self.state.step),
            **{f"test_{name}": value for name, value in self.test.items()},
            "parameters": self.parameters,
            "train_seconds": round(self.seconds, 2),
            "steps_per_second": round(self.steps_per_second, 1),
        }


def parse_train(argv: Sequence[str]) -> tuple[str, TrainOptions]:
    """Parse ``MODEL DATA [options]``; each model has its own options and recipe."""
    if not argv or argv[0] in ("-h", "--help"):
        names = "\n".join(f"  {name:<21}{model.title}" for name, model in MODELS.items())
        print(
            "usage: jaxnn train MODEL DATA [options]\n\nTrain a network, saving checkpoints, "
            f"metrics and options in runs/NAME.\n\nmodels:\n{names}\n\n"
            "DATA is digits, breast-cancer, wine, diabetes, a .npz with x_train, y_train, "
            "x_test, y_test,\nor a .csv with --target COLUMN; for gpt it is stdlib-text or a "
            "file of text.\nEach model's options: "
            "jaxnn train MODEL --help"
        )
        raise SystemExit(0 if argv else 2)
    model = find_model(argv[0])

    def options(
        data: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")],
        model: Any,
        training: Training = model.recipe,
        keeping: Keeping = Keeping(),
        target: str = "",
        devices: Devices = ONE_DEVICE,
    ) -> TrainOptions:
        """Train this model on built-in data or on a file.

        Args:
            data: digits, breast-cancer, wine or diabetes; or a file: .npz with x_train, y_train,
                x_test and y_test, or .csv. For gpt: stdlib-text, or a file of text.
            model: the model.
            training: how to train.
            keeping: where the run is kept.
            target: For a .csv: the column to predict.
            devices: training on several devices.
        """
        return TrainOptions(data, model, training, keeping, target, devices)

    # Each model has its own options, known only now.
    options.__annotations__["model"] = model.config
    options.__defaults__ = (model.config(), *(options.__defaults__ or ()))
    return argv[0], parse(options, argv[1:], prog=f"jaxnn train {argv[0]}")


def train_command(parsed: tuple[str, TrainOptions]) -> int:
    """Carry out ``jaxnn train``."""
    use_compilation_cache()
    logging.getLogger("absl").setLevel(logging.CRITICAL)  # Orbax logs what it raises as well
    name, options = parsed
    with StopSignals() as stopped:
        try:
            result = run_training(name, options, should_stop=stopped)
        except train.NonFinite as error:
            print(f"jaxnn train: {error}", file=sys.stderr)
            return 1
    if options.keeping.json:
        print(json.dumps(result.summary()))
    else:
        figures = ", ".join(f"{k} {v:.4g}" for k, v in result.test.items())
        print(
            f"{result.run.folder}: {int(result.state.step)} steps in {result.seconds:.1f} s; "
            f"test {figures}"
        )
        if result.cost is not None:
            print(describe_cost(result.cost, result.steps_per_second))
    if result.stopped and not stopped.code:
        print(f"no lower test loss in {options.keeping.patience} evaluations", file=sys.stderr)
    elif result.stopped:
        print("stopped early and saved; continue with --resume", file=sys.stderr)
        return stopped.code
    return 0


def run_training(
    model_name: str,
    options: TrainOptions,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    progress: bool | str | None = None,
) -> Result:
    """Train a model as asked, or continue a run.

    Raises:
      UsageError: something about the options, the data or the folder is wrong; nothing was
        written.
      NonFinite: too many steps in a row were skipped; the state before them is saved.
    """
    context = getattr(options.model, "context", None)
    task = load_task(options.data, target=options.target, context=context)
    layout = make_layout(model_name, options.devices)
    network, state = build(options.model, options.training, task, layout)
    keeping = options.keeping
    config = {
        "model": model_name,
        "model_options": dataclasses.asdict(options.model),
        "data": task.source,
        "training": dataclasses.asdict(options.training),
        "devices": dataclasses.asdict(options.devices),
        "records": {
            key: getattr(keeping, key)
            for key in ("record_every", "evaluate_every", "checkpoint_every")
        },
        "jaxnn": __version__,
    }
    folder = keeping.runs / (keeping.name or f"{model_name}-{Path(options.data).stem}")
    least = {"record_every": 1, "evaluate_every": 1, "checkpoint_every": 1, "keep": 1}
    for key, bound in (least | {"patience": 0, "max_skipped": 0}).items():
        if getattr(keeping, key) < bound:
            got = getattr(keeping, key)
            raise UsageError(f"--{key.replace('_', '-')} is {got}; needs >= {bound}")
    writer_of = _tensorboard if keeping.tensorboard else None
    if writer_of is not None:
        writer_of(None)
    with contextlib.ExitStack() as stack:
        try:
            run = _resumed(folder, config) if keeping.resume else train.create_run(folder, config)
            stack.enter_context(run.locked())
            checkpoints = stack.enter_context(
                contextlib.closing(run.open_checkpoints(keep=keeping.keep))
            )
            restored = checkpoints.restore(state) if keeping.resume else None
        except (ValueError, train.DamagedCheckpoint) as error:
            raise UsageError(str(error)) from None
        state, position = restored or (state, train.Position())
        if keeping.resume:
            run.rewrite(position.history)  # records after the checkpoint will be made again
        on_record = [run.append]
        if writer_of is not None:
            on_record.append(writer_of(run.folder / "tensorboard"))
        return _train(
            stack,
            run,
            state,
            network,
            task,
            options,
            checkpoints,
            position,
            on_record,
            should_stop,
            progress,
        )


def build(
    config: Any, training: Training, task: Task, layout: train.parallel.Layout | None = None
) -> tuple[nn.Module, train.TrainState]:
    """Make the module and its initial state from plain options.

    Raises:
      UsageError: the model cannot take this data, or an option is out of range.
    """
    try:
        network = with_split_heads(config.build(task.input_shape, task.outputs), layout)
        # Options of the step are checked before anything is written.
        if training.accumulate_steps < 1 or batch_size(training, task) % training.accumulate_steps:
            raise ValueError(
                f"--accumulate-steps is {training.accumulate_steps}; it needs a divisor of the "
                f"batch size {batch_size(training, task)}"
            )
        if training.batch_size < 1 or not 0 <= training.ema_decay < 1:
            raise ValueError("--batch-size needs a number above 0, --ema-decay one in [0, 1)")
        part = batch_size(training, task) // training.accumulate_steps
        if layout is not None and part % layout.batch_ways:
            raise ValueError(
                f"--batch-size gives parts of {part} examples, which the {layout.batch_ways} "
                f"devices of {', '.join(layout.batch_axes or ())} in --mesh do not divide"
            )
        options: dict[str, Any] = {"tokens": task.text, "layout": layout}
        return network, make_state(network, training, task.input_shape, **options)
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from None


def batch_size(training: Training, task: Task) -> int:
    """Give the batch size used: the one asked for, or all examples if there are fewer."""
    return min(training.batch_size, len(task.dataset.train.x))


def _train(
    stack: contextlib.ExitStack,
    run: train.Run,
    state: train.TrainState,
    network: nn.Module,
    task: Task,
    options: TrainOptions,
    checkpoints: train.Checkpoints,
    position: train.Position,
    on_record: Sequence[Callable[[dict[str, float]], None]],
    should_stop: Callable[[], bool],
    progress: bool | str | None,
) -> Result:
    training, keeping = options.training, options.keeping
    parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    policy = train.Policy(compute=jnp.bfloat16) if training.precision == "bfloat16" else None
    reported = {k: f for k, f in task.metrics.items() if k != "loss"}
    step = train.make_step(
        task.loss(training),
        metrics=reported,
        accumulate_steps=training.accumulate_steps,
        policy=policy,
    )
    if keeping.max_skipped:
        step = train.skip_nonfinite(step)
    best = stack.enter_context(contextlib.closing(run.open_best())) if keeping.best else None
    monitor = None
    if best is not None or keeping.patience:
        monitor = train.Monitor("test_loss", patience=keeping.patience or None, best=best)
    cost = None
    if keeping.profile:
        rows = jax.tree.map(lambda a: a[: batch_size(training, task)], task.dataset.train)
        cost = train.cost_of(step, state, tuple(rows))
        should_stop = stack.enter_context(Profiler(run.folder / "profile", should_stop))
    first, started = int(state.step), time.perf_counter()
    history = position.history
    if first < training.steps:
        state, history = train.fit(
            state,
            step,
            task.dataset.train,
            steps=training.steps,
            batch_size=batch_size(training, task),
            seed=training.seed,
            record_every=keeping.record_every,
            evaluation=task.scored.test,
            evaluation_metrics=task.metrics,
            evaluate_every=keeping.evaluate_every,
            checkpoints=checkpoints,
            checkpoint_every=keeping.checkpoint_every,
            position=position,
            monitor=monitor,
            max_skipped=keeping.max_skipped or 1,
            on_record=on_record,
            should_stop=should_stop,
            progress=progress,
        )
    seconds = time.perf_counter() - started
    return Result(
        run=run,
        state=state,
        network=network,
        task=task,
        history=history,
        test=train.evaluate(state, task.scored.test, task.metrics),
        parameters=parameters,
        seconds=seconds,
        steps_per_second=_rate(history, first),
        stopped=int(state.step) < training.steps,
        cost=cost,
    )


def _resumed(folder: Path, config: dict[str, Any]) -> train.Run:
    """Open a run to continue; its options must be those it was started with, but the devices."""
    run = train.open_run(folder)
    new = json.loads(json.dumps(config))
    for part in ("model", "model_options", "data", "training", "records"):
        if run.config.get(part) != new[part]:
            old, now = run.config.get(part), new[part]
            if isinstance(old, dict):
                key = next(k for k in sorted({*old, *now}) if old.get(k) != now.get(k))
                part, old, now = key, old.get(key), now.get(key)
            raise ValueError(
                f"run {folder} was started with {part} = {old!r}, not {now!r}; "
                "resume with the same options, or choose another name"
            )
    return run


def _rate(history: Sequence[dict[str, float]], first: int) -> float:
    """Give steps per second between this call's first record, after compilation, and its last."""
    mine = [record for record in history if record["step"] > first]
    if len(mine) < 2:
        return mine[0]["step"] / max(mine[0]["seconds"], 1e-9) if mine else 0.0
    steps = mine[-1]["step"] - mine[0]["step"]
    return steps / max(mine[-1]["seconds"] - mine[0]["seconds"], 1e-9)


def _tensorboard(folder: Path | None) -> Any:
    """Make the writer; with ``None`` only see that it could be made."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        line = "--tensorboard needs tensorboardX: pip install 'jaxnn[tensorboard]'"
        raise UsageError(line) from None
    return None if folder is None else train.tensorboard_writer(folder)


class StopSignals:
    """Turn SIGTERM and Ctrl-C into a polite request; a second one is not caught."""

    def __init__(self) -> None:
        self.code = 0
        self._before: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Say whether a stop was asked for."""
        return self.code != 0

    def __enter__(self) -> "StopSignals":
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.code:
            raise KeyboardInterrupt
        self.code = 128 + number
