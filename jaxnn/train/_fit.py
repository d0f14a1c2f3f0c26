"""The loop: many steps per dispatch on data that fits the device, one per batch on a stream.

Examples are drawn in an order that is a pure function of (seed, step): epoch ``e`` is the
permutation drawn from a counter-based generator keyed by ``(seed, e)``. The loop's program has
a trip count that is data, so any split of the steps into dispatches runs the same program and
gives the same bits; a resumed run therefore ends exactly like one that was never interrupted.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn._check import describe, require, require_count
from jaxnn.train._checkpoint import Checkpoints
from jaxnn.train._evaluate import common_length, evaluate, take
from jaxnn.train._progress import Progress
from jaxnn.train._state import TrainState
from jaxnn.train._step import Metrics, PerExample, Step

Record = dict[str, float]

# Steps in one dispatch at the most; and how long one should take, so that progress moves and
# a request to stop is heard.
MAX_DISPATCH = 256
DISPATCH_SECONDS = 0.5
# Batches of a stream that wait on the device at the most.
MAX_QUEUE = 16
# Among the sums: steps skipped one after the other, which a record does not end.
IN_A_ROW = "skipped in a row"


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


class Stream(Protocol):
    """An iterator of batches; with ``get_state`` its position becomes part of checkpoints."""

    def __next__(self) -> Any:
        """Give the next ``(x, y)`` batch."""
        ...


@dataclasses.dataclass
class Position:
    """Where a run stands, beside its state: saved in checkpoints, continued by :func:`fit`.

    Attributes:
      history: the records so far.
      sums: sums of the metrics since the last record, by name.
      count: number of steps in ``sums``.
      stream: the stream's own position, if it has one.
    """

    history: list[Record] = dataclasses.field(default_factory=list)
    sums: dict[str, float] = dataclasses.field(default_factory=dict)
    count: int = 0
    stream: Any = None


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
        generator, which has none and must be advanced by hand before resuming.
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
        ``steps`` updates, or ``checkpoints`` has later ones.
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
        feed: _Arrays | _Iterator = _Iterator(step, data, position.stream, max_skipped)
    else:
        feed = _Arrays(step, state, data, batch_size, seed, max_skipped)
    due = _Due(steps, record_every, evaluate_every, checkpoint_every)
    evaluation = _put(state, evaluation)  # once; jnp.asarray would compile for each shape
    history = list(position.history)
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
                zeros = {name: np.float32(0) for name in sums if name != IN_A_ROW}
                sums, count = sums | _put(state, zeros), 0
                bar.update(done, record)
            else:
                bar.update(done)
            if checkpoints is not None and (stopping or due.checkpoint(done)):
                numbers = {name: float(value) for name, value in sums.items()}
                checkpoints.save(state, Position(history, numbers, count, feed.position()))
            if stopping:
                break
    if checkpoints is not None:
        checkpoints.wait()
    return state, history


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


class _Arrays:
    """Feeds steps from arrays on the device, many steps per dispatch."""

    def __init__(
        self,
        step: Step,
        state: TrainState,
        data: Any,
        batch_size: int | None,
        seed: int,
        max_skipped: int,
    ) -> None:
        loader = hasattr(data, "__iter__") and not isinstance(data, tuple | list | dict)
        self.examples = common_length(
            "fit", "data", data, "Is it a loader? Pass iter(data)." if loader else ""
        )
        if batch_size is None:
            raise ValueError("fit: `batch_size` is None; it needs a number when `data` is arrays.")
        require(
            0 < batch_size <= self.examples,
            "fit",
            "batch_size",
            batch_size,
            f"a number from 1 to {self.examples}, the number of examples",
        )
        require(0 <= seed < 2**63, "fit", "seed", seed, "a number in [0, 2**63)")
        self.step, self.batch_size, self.seed = step, batch_size, seed
        self.max_skipped = np.float32(max_skipped)
        self.data = _put(state, data)
        self.per_epoch = self.examples // batch_size
        self.program = _program(step)
        self.seconds_per_step = 0.0

    def start_sums(self, state: TrainState, position: Position) -> Metrics:
        batch = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((self.batch_size, *leaf.shape[1:]), leaf.dtype),
            self.data,
        )
        return _start_sums(self.step, state, batch, position)

    def run(
        self, state: TrainState, sums: Metrics, done: int, most: int
    ) -> tuple[TrainState, Metrics, int]:
        count = min(most, MAX_DISPATCH)
        if jax.process_count() > 1:
            pass  # all must run as many, and clocks differ
        elif not self.seconds_per_step:
            count = min(count, 2)  # the first dispatch measures
        else:
            count = min(count, max(1, int(DISPATCH_SECONDS / self.seconds_per_step)))
        rows = np.zeros((MAX_DISPATCH, self.batch_size), np.int32)
        for i in range(count):
            rows[i] = self._examples_of(done + i)
        started = time.perf_counter()
        state, sums, ran = self.program(
            state, sums, self.data, rows, np.int32(count), self.max_skipped
        )
        count = int(jax.block_until_ready(ran))
        self.seconds_per_step = (time.perf_counter() - started) / count
        return state, sums, count

    def describe(self, done: int) -> str:
        epoch, place = divmod(done - 1, self.per_epoch)
        rows = np.array2string(self._examples_of(done - 1), threshold=20)
        return f"batch {place + 1} of {self.per_epoch} of epoch {epoch + 1}, examples {rows}"

    def _examples_of(self, step: int) -> np.ndarray:
        epoch, place = divmod(step, self.per_epoch)
        order = _permutation(self.seed, epoch, self.examples)
        return order[place * self.batch_size : (place + 1) * self.batch_size]

    def position(self) -> None:
        return None  # the step says it all


class _Iterator:
    """Feeds steps from an iterator of batches, one dispatch each."""

    def __init__(self, step: Step, stream: Any, position: Any, max_skipped: int) -> None:
        self.step, self.stream, self.max_skipped = step, stream, max_skipped
        if position is not None:
            if not hasattr(stream, "set_state"):
                raise ValueError(
                    f"fit: `data` is {describe(stream)}; the checkpoint has a position in a "
                    "stream, so resuming needs an iterator with set_state, e.g. a grain one."
                )
            stream.set_state(position)
        self.pending = None
        self.add = _adder(step)

    def start_sums(self, state: TrainState, position: Position) -> Metrics:
        before = self.position()
        self.pending = self._next(int(state.step))
        sums = _start_sums(self.step, state, self.pending, position)
        # The batch looked at belongs to the first step; a save before it must not skip it.
        self.before_pending = before
        return sums

    def run(
        self, state: TrainState, sums: Metrics, done: int, most: int
    ) -> tuple[TrainState, Metrics, int]:
        started, ran = time.perf_counter(), 0
        several = jax.process_count() > 1  # all must run as many, and clocks differ
        while ran < most and (
            not ran or several or time.perf_counter() - started < DISPATCH_SECONDS
        ):
            batch = self.pending if self.pending is not None else self._next(done + ran)
            self.pending = None
            state, sums = self.add(state, sums, batch)
            ran += 1
            if ran % MAX_QUEUE == 0:
                jax.block_until_ready(sums)
                if float(sums.get(IN_A_ROW, 0)) >= self.max_skipped:
                    break
        jax.block_until_ready(sums)
        return state, sums, ran

    def describe(self, done: int) -> str:
        return f"batch {done} of the stream"

    def _next(self, done: int) -> Any:
        try:
            return next(self.stream)
        except StopIteration:
            raise ValueError(
                f"fit: `data` ended after {done} updates, before `steps` were made; repeat the "
                "stream, or ask for fewer."
            ) from None

    def position(self) -> Any:
        if self.pending is not None:
            return self.before_pending
        return self.stream.get_state() if hasattr(self.stream, "get_state") else None


def _start_sums(step: Step, state: TrainState, batch: Any, position: Position) -> Metrics:
    shapes = jax.eval_shape(step, state, batch)[1]
    for name, shape in shapes.items():
        require(shape.shape == (), "fit", f"metrics[{name!r}]", shape.shape, "one number, shape ()")
        require(name not in ("step", "seconds"), "fit", "metrics", name, "another name")
    if position.count:
        require(
            set(position.sums) - {IN_A_ROW, "skipped"} == set(shapes) - {"skipped"},
            "fit",
            "position",
            sorted(position.sums),
            f"sums of the metrics that the step gives, {sorted(shapes)}",
            "Was the run started with other metrics?",
        )
    names = [*shapes, *[IN_A_ROW] * ("skipped" in shapes)]
    return _put(state, {name: np.float32(position.sums.get(name, 0)) for name in names})


def _anyone(wish: bool) -> bool:
    """Say whether any process wishes it: they all must do the same."""
    if jax.process_count() == 1:
        return wish
    from jax.experimental import multihost_utils

    return bool(np.any(multihost_utils.process_allgather(np.array(wish))))


def _put(state: TrainState, tree: Any) -> Any:
    """Put arrays where the state is: on its device, or on each of its layout's."""
    return jax.device_put(tree) if state.layout is None else state.layout.replicate(tree)


def _add(sums: Metrics, metrics: Metrics) -> Metrics:
    added = {name: sums[name] + value.astype(jnp.float32) for name, value in metrics.items()}
    if IN_A_ROW in sums:
        added[IN_A_ROW] = jnp.where(metrics["skipped"] > 0, sums[IN_A_ROW] + 1, 0)
    return added


def _means(sums: Metrics, count: int) -> dict[str, float]:
    """Average over the steps that were not skipped; give the share of those that were."""
    kept = count - round(float(sums.get("skipped", 0)))
    means = {}
    for name in sorted(sums, key=lambda name: (name != "loss", name)):
        if name != IN_A_ROW:
            steps = count if name == "skipped" else kept
            means[name] = float(sums[name]) / steps if steps else float("nan")
    return means


@functools.lru_cache(maxsize=64)
def _program(step: Step) -> Callable[..., tuple[TrainState, Metrics, jax.Array]]:
    """Compile the loop once for each step function, whatever the number of steps."""

    def train_steps(
        state: TrainState,
        sums: Metrics,
        data: Any,
        rows: jax.Array,
        count: jax.Array,
        max_skipped: jax.Array,
    ) -> tuple[TrainState, Metrics, jax.Array]:
        def going(carry: tuple[TrainState, Metrics, jax.Array]) -> jax.Array:
            more = carry[2] < count
            return more & (carry[1][IN_A_ROW] < max_skipped) if IN_A_ROW in carry[1] else more

        def body(
            carry: tuple[TrainState, Metrics, jax.Array],
        ) -> tuple[TrainState, Metrics, jax.Array]:
            state, sums, i = carry
            state, metrics = step(state, take(data, rows[i]))
            return state.in_place(), _add(sums, metrics), i + 1

        return jax.lax.while_loop(going, body, (state, sums, jnp.int32(0)))

    return jax.jit(train_steps, donate_argnums=(0, 1))


@functools.lru_cache(maxsize=64)
def _adder(step: Step) -> Callable[..., tuple[TrainState, Metrics]]:
    def train_step(state: TrainState, sums: Metrics, batch: Any) -> tuple[TrainState, Metrics]:
        state, metrics = step(state, batch)
        return state.in_place(), _add(sums, metrics)

    return jax.jit(train_step, donate_argnums=(0, 1))


@functools.lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, examples: int) -> np.ndarray:
    """Draw an epoch's order; Philox is counter-based, so epochs need no history."""
    generator = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    return generator.permutation(examples).astype(np.int32)


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
