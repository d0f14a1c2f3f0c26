"""Whole loops of training a perceptron on data in memory: ours, and those of others.

Every entry takes the same examples in the same order (that of ``fit``: one Philox permutation per
epoch) and the witness is the mean loss of each few steps.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks import _training as training
from benchmarks._harness import Work
from benchmarks.mlp_train_step import PlainMLP, torch_model, torch_step


class Size(NamedTuple):
    """How much there is to do; ``record`` losses make one number of the witness."""

    examples: int
    inputs: int
    features: tuple[int, ...]
    batch: int
    steps: int
    record: int


@cache
def setting(size: Size) -> tuple[tuple[np.ndarray, np.ndarray], Any]:
    """Make the data, in NumPy as datasets come, and the first parameters."""
    shape = (size.examples, size.inputs)
    data = training.labelled(jax.random.key(0), shape, size.features[-1])
    params = PlainMLP(size.features).init(jax.random.key(1), data[0])["params"]
    return jax.tree.map(np.asarray, data), params


def batches(size: Size) -> Iterator[np.ndarray]:
    """Give the rows of each step in the order of ``fit`` with seed 0."""
    per_epoch = size.examples // size.batch
    order = np.arange(size.examples)
    for step in range(size.steps):
        epoch, place = divmod(step, per_epoch)
        if place == 0:
            generator = np.random.Generator(np.random.Philox(key=[0, epoch]))
            order = generator.permutation(size.examples).astype(np.int32)
        yield order[place * size.batch : (place + 1) * size.batch]


def fitting(size: Size, *, checkpoint_every: int | None = None) -> Work:
    """Make the work of ``train.fit``, perhaps saving checkpoints to a folder that goes away."""
    from jaxnn import models, train

    data, params = setting(size)
    named = {f"dense_{i}": params[f"Dense_{i}"] for i in range(len(size.features))}
    model, tx = models.MLP(features=size.features), training.optimiser()
    start = training.ours_starter(model, named, data[0], tx)
    step = training.ours_step()

    def run(state: Any) -> list[dict[str, float]]:
        options: dict[str, Any] = {"steps": size.steps, "batch_size": size.batch}
        options |= {"record_every": size.record, "progress": False}
        if checkpoint_every is None:
            return train.fit(state, step, data, **options)[1]
        with tempfile.TemporaryDirectory() as folder:
            checkpoints = train.Checkpoints(Path(folder) / "checkpoints")
            options |= {"checkpoints": checkpoints, "checkpoint_every": checkpoint_every}
            history = train.fit(state, step, data, **options)[1]
            checkpoints.close()
        return history

    return _looping(start, run, lambda history: [record["loss"] for record in history])


def bare(size: Size) -> Work:
    """Make the least a loop in Python can do: data on the device, no loss read."""
    data, params = setting(size)
    tx, device = training.optimiser(), jax.device_put(data)
    inner = training.plain_step(partial(_forward, size), tx)

    @partial(jax.jit, donate_argnums=0)
    def step(state: Any, data: Any, rows: np.ndarray) -> tuple[Any, jax.Array]:
        state, metrics = inner(state, jax.tree.map(lambda leaf: leaf[rows], data))
        return state, metrics["loss"]

    def run(state: Any) -> list[jax.Array]:
        losses = []
        for rows in batches(size):
            state, loss = step(state, device, rows)
            losses.append(loss)
        return losses

    return _looping(training.plain_starter(params, tx), run, partial(_means, size))


def loop(size: Size) -> Work:
    """Make the loop that most write: NumPy indexing, and each loss is read."""
    (x, y), params = setting(size)
    tx = training.optimiser()
    step = training.plain_step(partial(_forward, size), tx)

    def run(state: Any) -> list[float]:
        losses = []
        for rows in batches(size):
            state, metrics = step(state, (x[rows], y[rows]))
            losses.append(float(metrics["loss"]))
        return losses

    return _looping(training.plain_starter(params, tx), run, partial(_means, size))


def torch_loop(size: Size) -> Work:
    """Make PyTorch's loop, eager."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    (x, y), params = setting(size)
    x, y = torch.tensor(x), torch.tensor(y).long()

    def run(state: Any) -> list[float]:
        losses = []
        for rows in batches(size):
            picked = torch.from_numpy(rows)
            state, metrics = torch_step(state, (x[picked], y[picked]))
            losses.append(float(metrics["loss"]))
        return losses

    return _looping(lambda: torch_model(params), run, partial(_means, size))


def _forward(size: Size, params: Any, x: jax.Array) -> Any:
    return PlainMLP(size.features).apply({"params": params}, x)


def _means(size: Size, losses: list[Any]) -> np.ndarray:
    """Average as the records of ``fit`` do."""
    return np.asarray([float(loss) for loss in losses]).reshape(-1, size.record).mean(axis=1)


def _looping(
    start: Callable[[], Any],
    run: Callable[[Any], list[Any]],
    means: Callable[[list[Any]], Any],
) -> Work:
    """Make the work of a whole loop; in samples its state is made before the clock starts."""
    fresh: list[Any] = []

    def reset() -> None:
        fresh[:] = [start()]

    def call() -> list[Any]:
        return run(fresh.pop() if fresh else start())

    return Work(call=call, witness=lambda: np.asarray(means(call())), reset=reset)
