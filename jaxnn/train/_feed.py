"""What :func:`fit` runs steps on: arrays on the device, or an iterator of batches.

Examples are drawn in an order that is a pure function of (seed, step): epoch ``e`` is the
permutation drawn from a counter-based generator keyed by ``(seed, e)``. The loop's program has
a trip count that is data, so any split of the steps into dispatches runs the same program and
gives the same bits; a resumed run therefore ends exactly like one that was never interrupted.
"""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn._check import describe, require
from jaxnn.train._evaluate import common_length, take
from jaxnn.train._state import TrainState
from jaxnn.train._step import Metrics, Step

Record = dict[str, float]

# Steps in one dispatch at the most; and how long one should take, so that progress moves and
# a request to stop is heard.
MAX_DISPATCH = 256
DISPATCH_SECONDS = 0.5
# Batches of a stream that wait on the device at the most.
MAX_QUEUE = 16
# Among the sums: steps skipped one after the other, which a record does not end.
IN_A_ROW = "skipped in a row"


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


class ArrayFeed:
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
        self.data = put(state, data)
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


class StreamFeed:
    """Feeds steps from an iterator of batches, one dispatch each."""

    def __init__(
        self, step: Step, state: TrainState, stream: Any, position: Any, max_skipped: int
    ) -> None:
        self.step, self.stream, self.max_skipped = step, stream, max_skipped
        self.layout = state.layout
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
            batch = next(self.stream)
        except StopIteration:
            raise ValueError(
                f"fit: `data` ended after {done} updates, before `steps` were made; repeat the "
                "stream, or ask for fewer."
            ) from None
        return batch if self.layout is None else self.layout.shard(batch)

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
    return put(state, {name: np.float32(position.sums.get(name, 0)) for name in names})


def put(state: TrainState, tree: Any) -> Any:
    """Put arrays where the state is: on its device, or on each of its layout's."""
    return jax.device_put(tree) if state.layout is None else state.layout.replicate(tree)


def _add(sums: Metrics, metrics: Metrics) -> Metrics:
    added = {name: sums[name] + value.astype(jnp.float32) for name, value in metrics.items()}
    if IN_A_ROW in sums:
        added[IN_A_ROW] = jnp.where(metrics["skipped"] > 0, sums[IN_A_ROW] + 1, 0)
    return added


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
