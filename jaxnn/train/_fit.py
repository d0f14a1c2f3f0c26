"""The loop: many steps per dispatch on data that fits the device, one per batch on a stream."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxnn._check import require, require_count
from jaxnn.train._checkpoint import Checkpoints
from jaxnn.train._evaluate import evaluate
from jaxnn.train._feed import IN_A_ROW, ArrayFeed, Position, Record, StreamFeed, put
from jaxnn.train._monitor import Monitor
from jaxnn.train._progress import Progress
from jaxnn.train._state import TrainState
from jaxnn.train._step import Metrics, PerExample, Step


class NonFinite(Exception):
    """Too many steps in a row were skipped because their results were not finite.

    Attributes:
      state: as the last good step left it, but for its count of steps.
      step: the last step that was skipped.
    """

    def __init__(
        self,
        state: TrainState,
        step: int,
        count: int,
        batch: str,
        checkpoints: Checkpoints | None,
    ) -> None:
        where = "in the exception's `state`"
        if checkpoints is not None:
            where = f"saved as {checkpoints.folder / str(step)}"
        super().__init__(
            f"fit: {count} steps in a row, up to step {step}, were skipped because the loss or "
            f"the state would not have been finite. The last was {batch}. The state before them "
            f"is {where}."
        )
        self.state, self.step = state, step


def fit(
    state: TrainState,
    step: Step,
    data: Any,
    *,
    steps: int,
    batch_size: int | None = None,
    seed: int = 0,
    record_every: int = 50,
    evaluation: Any = None,
    evaluation_metrics: Mapping[str, PerExample] | None = None,
    evaluate_every: int | None = None,
    checkpoints: Checkpoints | None = None,
    checkpoint_every: int | None = None,
    position: Position | None = None,
    monitor: Monitor | None = None,
    max_skipped: int = 10,
    on_record: Sequence[Callable[[Record], None]] = (),
    should_stop: Callable[[], bool] = lambda: False,
    progress: bool | str | None = None,
) -> tuple[TrainState, list[Record]]:
    """Run a step until the state has made ``steps`` updates.

    Args:
      state: where to start; consumed, so use the returned one.
      step: ``(state, batch) -> (state, metrics)``, traceable by JAX; ours or your own.
      data: arrays ``(x, y)`` with examples along the first axis, which are kept on the device (on
        each of the layout's, if the state has one and they are not spread over them already),
        shuffled each epoch (a last incomplete batch is left out) and indexed there; or an
        iterator of batches: a grain iterator, whose position is saved and continued, or a
        generator, which has none and must be advanced by hand before resuming. With several
        processes each gives its share of the batches, as :func:`~jaxnn.train.parallel.shard_batch`
        takes them; arrays are the same in all.
      steps: value of ``state.step`` to stop at, so that the same call resumes a run.
      batch_size: examples per step; needed for arrays, not taken for iterators.
      seed: seed of the order of the examples, in [0, 2**63).
      record_every: steps between records; a record holds the metrics' means since the last.
      evaluation: arrays ``(x, y)`` to evaluate on.
      evaluation_metrics: per-example functions averaged over ``evaluation``; they appear in
        records with the prefix ``test_``.
      evaluate_every: steps between evaluations; at the end only if ``None``.
      checkpoints: where to save; always saves at the end and when asked to stop. Must hold
        none of a later step than the state's.
      checkpoint_every: steps between saves; at the end only if ``None``.
      position: what :meth:`Checkpoints.restore` gave with the state, to go on from there.
      monitor: what the run is judged by, to keep its best state and to stop early.
      max_skipped: with a step of :func:`skip_nonfinite`, how many in a row may be skipped. On an
        iterator of batches this is looked at every 16 steps.
      on_record: called with each record as it is made.
      should_stop: asked after each dispatch; ``True`` saves and returns early.
      progress: show a bar: ``True``, ``False``, a label, or ``None`` for "if a terminal".

    Returns:
      The trained state; all records, each a dict with ``step``, ``seconds`` (of this call's
      training so far) and the metrics.

    Raises:
      ValueError: an option is out of range or needs another, the arrays disagree in length, the
        batch is larger than the data, the stream ends early, the state has already made
        ``steps`` updates, ``checkpoints`` has later ones, or an evaluation is without the
        monitor's metric.
      NonFinite: ``max_skipped`` steps in a row were skipped. The state as it was before them is
        saved to ``checkpoints``, and with the exception.
    """
    done = int(state.step)
    counts = {
        "steps": steps,
        "batch_size": batch_size,
        "record_every": record_every,
        "evaluate_every": evaluate_every,
        "checkpoint_every": checkpoint_every,
        "max_skipped": max_skipped,
    }
    require_count("fit", **{k: v for k, v in counts.items() if v is not None})
    _check_start(done, steps, checkpoints)
    _check_pairs(evaluation, evaluation_metrics, evaluate_every, checkpoints, checkpoint_every)
    position = Position() if position is None else position
    if hasattr(data, "__next__"):
        require(batch_size is None, "fit", "batch_size", batch_size, "None: the iterator batches")
        feed: ArrayFeed | StreamFeed = StreamFeed(step, state, data, position.stream, max_skipped)
    else:
        feed = ArrayFeed(step, state, data, batch_size, seed, max_skipped)
    due = _Due(steps, record_every, evaluate_every, checkpoint_every)
    evaluation = put(state, evaluation)  # once; jnp.asarray would compile for each shape
    history = list(position.history)
    if monitor is not None and monitor.best is not None:
        monitor.best.discard_after(done)  # they will be made again
    sums = feed.start_sums(state, position)
    count = position.count
    started = time.perf_counter()
    with Progress(progress, total=steps, done=done) as bar:
        while done < steps:
            state, sums, ran = feed.run(state, sums, done, due.next(done) - done)
            done, count = done + ran, count + ran
            stopping = _anyone(should_stop())
            if float(sums.get(IN_A_ROW, 0)) >= max_skipped:
                sums = sums | {IN_A_ROW: jnp.zeros_like(sums[IN_A_ROW])}  # another chance, resumed
                if checkpoints is not None:
                    numbers = {name: float(value) for name, value in sums.items()}
                    checkpoints.save(state, Position(history, numbers, count, feed.position()))
                    checkpoints.wait()
                raise NonFinite(state, done, max_skipped, feed.describe(done), checkpoints)
            if due.record(done):
                means = _means(sums, count)
                record: Record = {
                    "step": done,
                    "seconds": round(time.perf_counter() - started, 3),
                    **means,
                }
                if evaluation is not None and evaluation_metrics and due.evaluate(done):
                    values = evaluate(state, evaluation, evaluation_metrics)
                    record |= {f"test_{name}": value for name, value in values.items()}
                history.append(record)
                for report in on_record:
                    report(record)
                if monitor is not None:
                    _check_metric(monitor, record, evaluated=due.evaluate(done))
                    if monitor.best is not None and monitor.improved(history):
                        monitor.best.save(state, Position(history, {}, 0, feed.position()))
                    stopping = stopping or monitor.exhausted(history)
                zeros = {name: np.float32(0) for name in sums if name != IN_A_ROW}
                sums, count = sums | put(state, zeros), 0
                bar.update(done, record)
            else:
                bar.update(done)
            if checkpoints is not None and (stopping or due.checkpoint(done)):
                numbers = {name: float(value) for name, value in sums.items()}
                checkpoints.save(state, Position(history, numbers, count, feed.position()))
            if stopping:
                break
    for folder in (checkpoints, monitor.best if monitor else None):
        if folder is not None:
            folder.wait()
    return state, history


def _anyone(wish: bool) -> bool:
    """Say whether any process wishes it: they all must do the same."""
    import jax

    if jax.process_count() == 1:
        return wish
    from jax.experimental import multihost_utils

    return bool(np.any(multihost_utils.process_allgather(np.array(wish))))


@dataclasses.dataclass(frozen=True)
class _Due:
    """When records, evaluations and checkpoints are due, as pure functions of the step."""

    steps: int
    record_every: int
    evaluate_every: int | None
    checkpoint_every: int | None

    def record(self, step: int) -> bool:
        return step == self.steps or step % self.record_every == 0 or self.evaluate(step)

    def evaluate(self, step: int) -> bool:
        every = self.evaluate_every
        return step == self.steps or (every is not None and step % every == 0)

    def checkpoint(self, step: int) -> bool:
        every = self.checkpoint_every
        return step == self.steps or (every is not None and step % every == 0)

    def next(self, step: int) -> int:
        periods = (self.record_every, self.evaluate_every, self.checkpoint_every)
        marks = [(step // every + 1) * every for every in periods if every is not None]
        return min(self.steps, *marks)


def _means(sums: Metrics, count: int) -> dict[str, float]:
    """Average over the steps that were not skipped; give the share of those that were."""
    kept = count - round(float(sums.get("skipped", 0)))
    means = {}
    for name in sorted(sums, key=lambda name: (name != "loss", name)):
        if name != IN_A_ROW:
            steps = count if name == "skipped" else kept
            means[name] = float(sums[name]) / steps if steps else float("nan")
    return means


def _check_start(done: int, steps: int, checkpoints: Checkpoints | None) -> None:
    require(
        done < steps,
        "fit",
        "steps",
        steps,
        f"a number above {done}, the updates the state has already made",
        "`steps` counts from the state's beginning.",
    )
    # Otherwise a later resume would continue the other run.
    later = [step for step in checkpoints.steps() if step > done] if checkpoints else []
    if checkpoints and later:
        raise ValueError(
            f"fit: `checkpoints` has steps {later} in {checkpoints.folder}; the state has made "
            f"{done} updates. Continue from the newest with `checkpoints.restore(state)`, or "
            "use another folder."
        )


def _check_metric(monitor: Monitor, record: Record, *, evaluated: bool) -> None:
    """Refuse a metric that no record has; one of the test examples is in those of evaluations."""
    if monitor.metric not in record and (evaluated or not monitor.metric.startswith("test_")):
        raise ValueError(
            f"fit: `monitor` has the metric {monitor.metric!r}; it needs one of the records', "
            f"{', '.join(name for name in record if name not in ('step', 'seconds'))}."
        )


def _check_pairs(
    evaluation: Any,
    evaluation_metrics: Mapping[str, PerExample] | None,
    evaluate_every: int | None,
    checkpoints: Checkpoints | None,
    checkpoint_every: int | None,
) -> None:
    """Refuse options that would silently do nothing."""
    needs = (
        ("evaluation", evaluation, "evaluation_metrics", evaluation_metrics or None),
        ("evaluation_metrics", evaluation_metrics or None, "evaluation", evaluation),
        ("evaluate_every", evaluate_every, "evaluation", evaluation),
        ("checkpoint_every", checkpoint_every, "checkpoints", checkpoints),
    )
    for name, value, other, companion in needs:
        if value is not None and companion is None:
            raise ValueError(f"fit: `{name}` is given without `{other}`; it needs both or none.")
