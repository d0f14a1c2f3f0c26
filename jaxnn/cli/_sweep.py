"""``jaxnn sweep MODEL DATA --search OPTION=VALUES``: many runs, their options chosen by Optuna.

A sweep is a folder: each trial a run of ``jaxnn train`` in it, and a journal of what was tried.
Killed at any moment, the same command goes on: finished trials count, and a trial that was cut
short goes on from its own newest checkpoint.
"""

import argparse
import dataclasses
import json
import multiprocessing
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from jaxnn.cli._parse import UsageError
from jaxnn.cli._session import use_compilation_cache
from jaxnn.cli._train import StopSignals, parse_train, run_training
from jaxnn.train import NonFinite

EXAMPLES = """\
search:
  learning-rate=1e-4:1e-1:log   numbers in a range; :log where ratios matter
  hidden=32:256                 whole numbers, where both ends are
  dropout=0:0.5                 other numbers
  hidden=64|128|'128 128'       one of some values

Every option of `jaxnn train MODEL DATA` can be given, and is then the same in all trials. Figures
are of the test examples, so the best trial's own is a little too good."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """What an option may be.

    Attributes:
      option: as ``jaxnn train`` has it, without dashes.
      values: some values; or empty, and then
      low: the least number,
      high: and the greatest; whole if both are.
      log: whether ratios matter.
    """

    option: str
    values: tuple[str, ...] = ()
    low: float | int = 0
    high: float | int = 0
    log: bool = False

    def suggest(self, trial: Any) -> Any:
        """Let a trial choose."""
        if self.values:
            return trial.suggest_categorical(self.option, self.values)
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(self.option, self.low, self.high, log=self.log)
        return trial.suggest_float(self.option, self.low, self.high, log=self.log)


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What ``jaxnn sweep`` was asked for.

    Attributes:
      train: model, data and options of all trials, as for ``jaxnn train``.
      choices: what is searched.
      trials: how many in all, those of earlier calls counted.
      jobs: processes at once.
      metric: what is judged by, of the last record.
      folder: of the sweep.
      seed: of the search.
      json: whether to print the result as one JSON object.
    """

    train: tuple[str, ...]
    choices: tuple[Choice, ...]
    trials: int
    jobs: int
    metric: str
    folder: Path
    seed: int
    json: bool

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        """Whether less or more is better."""
        return "maximize" if "accuracy" in self.metric else "minimize"

    def study(self) -> Any:
        """Open the journal, or begin it."""
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        return optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(self.folder / "journal.log"))),
            study_name=self.folder.name,
            direction=self.direction,
            load_if_exists=True,
        )

    def ask(self, study: Any) -> Any:
        """Begin a trial, whose draws come from a seed of its own, whichever process asks."""
        from optuna.samplers import TPESampler

        trial = study.ask()
        seed = 10_007 * self.seed + trial.number
        study.sampler = TPESampler(seed=seed, constant_liar=self.jobs > 1)
        return trial


def parse_choice(text: str) -> Choice:
    """Read ``OPTION=LOW:HIGH[:log]`` or ``OPTION=A|B|...``.

    Raises:
      UsageError: it is neither.
    """
    option, equals, values = text.partition("=")
    option = option.strip().lstrip("-").replace("_", "-")
    if not equals or not option or not values:
        raise UsageError(f"--search {text!r}: it needs OPTION=LOW:HIGH, or OPTION=A|B")
    if ":" not in values:
        some = tuple(value.strip().strip("'\"") for value in values.split("|"))
        if len(set(some)) < max(2, len(some)):
            raise UsageError(f"--search {text!r}: it needs two values or more, each once")
        return Choice(option, some)
    parts = values.split(":")
    log = parts[-1] == "log"
    try:
        low, high = (_number(part) for part in (parts[:-1] if log else parts))
    except ValueError:
        raise UsageError(f"--search {text!r}: it needs two numbers, LOW:HIGH") from None
    if not low < high or (log and low <= 0):
        needs = "0 < LOW < HIGH" if log else "LOW < HIGH"
        raise UsageError(f"--search {text!r}: it needs {needs}")
    return Choice(option, low=low, high=high, log=log)


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def parse_sweep(argv: Sequence[str]) -> Sweep:
    """Parse ``MODEL DATA --search ... [options]``; options it does not know go to the trials.

    Raises:
      UsageError: an option is wrong, here or in what the trials are given.
    """
    parser = argparse.ArgumentParser(
        prog="jaxnn sweep",
        description="Train many times, options chosen by Optuna; resumable.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        exit_on_error=False,
        usage="jaxnn sweep MODEL DATA --search OPTION=VALUES [options] [options of train]",
    )
    parser.add_argument("--search", action="append", default=[], metavar="OPTION=VALUES")
    parser.add_argument("--trials", type=int, default=20, help="in all (default 20)")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once (default 1)")
    parser.add_argument("--metric", default="test_loss", help="to judge by (default test_loss)")
    parser.add_argument("--name", default="", help="of the sweep's folder (default sweep-MODEL)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of all runs")
    parser.add_argument("--search-seed", type=int, default=0, help="of the search (default 0)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    try:
        options, rest = parser.parse_known_args(list(argv))
    except argparse.ArgumentError as error:
        raise UsageError(f"{error} (see jaxnn sweep --help)") from None
    if not options.search:
        raise UsageError("needs --search OPTION=VALUES, once or more (see jaxnn sweep --help)")
    for name in ("trials", "jobs"):
        if getattr(options, name) < 1:
            raise UsageError(f"--{name} is {getattr(options, name)}; needs >= 1")
    choices = tuple(parse_choice(text) for text in options.search)
    name, parsed = parse_train([*rest, *_first(choices)])
    data = Path(parsed.data).stem
    folder = options.runs / (options.name or f"sweep-{name}-{data}")
    return Sweep(
        tuple(rest),
        choices,
        options.trials,
        options.jobs,
        options.metric,
        folder.absolute(),
        options.search_seed,
        options.json,
    )


def _first(choices: Sequence[Choice]) -> list[str]:
    """Give arguments with which the trials' options can be checked."""
    values = {c.option: c.values[0] if c.values else c.low for c in choices}
    return _arguments(values)


def _arguments(values: dict[str, Any]) -> list[str]:
    arguments = []
    for option, value in values.items():
        arguments += [f"--{option}", *shlex.split(str(value))]
    return arguments


def sweep(options: Sweep) -> int:
    """Carry out ``jaxnn sweep``."""
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise UsageError("needs optuna: pip install 'jaxnn[sweep]'") from None
    options.folder.mkdir(parents=True, exist_ok=True)
    _begin(options)
    study = options.study()
    _requeue(study)
    left = options.trials - len(_finished(study))
    if left > 0:
        _run(options, left)
    return _report(options, options.study())


def _begin(options: Sweep) -> None:
    """Write what is searched, or see that it is the same as before."""
    from jaxnn._files import write_text

    config = {
        "train": list(options.train),
        "search": [dataclasses.asdict(choice) for choice in options.choices],
        "metric": options.metric,
    }
    config = json.loads(json.dumps(config))
    path = options.folder / "sweep.json"
    if path.is_file():
        before = json.loads(path.read_text())
        for key, value in config.items():
            if before.get(key) != value:
                raise UsageError(
                    f"sweep {options.folder} was begun with {key} = {before.get(key)}, not "
                    f"{value}; go on with the same options, or choose another --name"
                )
    elif any(options.folder.iterdir()):
        raise UsageError(f"{options.folder} exists and is no sweep; choose another --name")
    else:
        write_text(path, json.dumps(config, indent=2) + "\n")


def _finished(study: Any) -> list[Any]:
    """Give the trials that came to an end, those that diverged among them."""
    return [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]


def _requeue(study: Any) -> None:
    """Let trials that were cut short go on in the folders they have."""
    from optuna.trial import TrialState

    for trial in study.trials:
        if trial.state == TrialState.RUNNING:
            folder = trial.user_attrs.get("folder", f"trial-{trial.number:03d}")
            study.tell(trial.number, state=TrialState.FAIL)
            study.enqueue_trial(trial.params, user_attrs={"folder": folder})


def _run(options: Sweep, left: int) -> None:
    jobs = min(options.jobs, left)
    if jobs == 1:
        _work(options, left)
        return
    # Forked processes and JAX's threads do not go together.
    context = multiprocessing.get_context("spawn")
    shares = [left // jobs + (i < left % jobs) for i in range(jobs)]
    workers = [context.Process(target=_work, args=(options, n)) for n in shares]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise UsageError("a process of the sweep ended early; the same command goes on")


def _work(options: Sweep, count: int) -> None:
    """Carry out some trials in this process."""
    from optuna.trial import TrialState

    use_compilation_cache()
    study = options.study()
    with StopSignals() as stopped:
        for _ in range(count):
            trial = options.ask(study)
            values = {choice.option: choice.suggest(trial) for choice in options.choices}
            name = trial.user_attrs.get("folder", f"trial-{trial.number:03d}")
            trial.set_user_attr("folder", name)
            where = ["--runs", str(options.folder), "--name", name]
            resume = ["--resume"] * (options.folder / name / "config.json").is_file()
            argv = [*options.train, *_arguments(values), *where, *resume]
            model, parsed = parse_train(argv)
            try:
                result = run_training(model, parsed, should_stop=stopped, progress=name)
            except NonFinite:
                study.tell(trial, state=TrialState.PRUNED)
                continue
            if stopped.code:
                raise SystemExit(stopped.code)  # it stays to be continued
            last = result.history[-1] | {f"test_{k}": v for k, v in result.test.items()}
            if options.metric not in last:
                study.tell(trial, state=TrialState.FAIL)
                names = ", ".join(k for k in last if k not in ("step", "seconds"))
                raise UsageError(f"--metric is {options.metric!r}; a run has {names}")
            study.tell(trial, float(last[options.metric]))


def _report(options: Sweep, study: Any) -> int:
    """Print the trials, the best first."""
    better = -1 if options.direction == "maximize" else 1
    done = [trial for trial in _finished(study) if trial.value is not None]
    if not done:
        raise UsageError(f"all trials of {options.folder} diverged; search smaller learning rates")
    trials = sorted(done, key=lambda trial: better * trial.value)
    best = trials[0]
    command = ["jaxnn", "train", *options.train, *_arguments(best.params)]
    if options.json:
        rows = [
            {"folder": t.user_attrs["folder"], options.metric: t.value, **t.params} for t in trials
        ]
        print(json.dumps({"trials": rows, "command": shlex.join(command)}))
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{options.folder}, {len(trials)} trials")
    table.add_column("trial")
    table.add_column(options.metric, justify="right")
    for choice in options.choices:
        table.add_column(choice.option, justify="right")
    for trial in trials[:10]:
        shown = [trial.params[choice.option] for choice in options.choices]
        cells = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in shown]
        table.add_row(trial.user_attrs["folder"], f"{trial.value:.4f}", *cells)
    Console(file=sys.stdout).print(table)
    print(f"best: {shlex.join(command)}")
    return 0
