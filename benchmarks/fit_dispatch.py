"""Steps of `train.fit` on data in memory, against Python loops over a jitted step.

The network is so small that what is timed is everything around its arithmetic. Every entry
takes the same examples in the same order (that of ``fit``: one Philox permutation per epoch)
and the witness is the mean loss of each fifty steps. ``bare`` indexes the data on the device
and never reads a loss, which is the least a loop in Python can do; ``loop`` indexes with NumPy
and reads each loss, as most do.
"""

import os
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import jax
import numpy as np

from benchmarks import _training as training
from benchmarks._harness import Benchmark, Entry, Work
from benchmarks.mlp_train_step import PlainMLP, torch_model, torch_step

EXAMPLES, INPUTS, FEATURES, BATCH, STEPS, RECORD = 1437, 64, (128, 10), 128, 500, 50


def benchmark() -> Benchmark:
    return Benchmark(
        name="fit-dispatch",
        ours=Entry(make=ours),
        others={
            "bare": Entry(make=bare),
            "loop": Entry(make=loop),
            "torch": Entry(make=torch_loop, needs=("torch",)),
        },
        units=STEPS,
        # Hundreds of steps let rounding grow further than in five.
        tolerance=1e-3,
        shapes={
            "examples": EXAMPLES,
            "inputs": INPUTS,
            "features": FEATURES,
            "batch": BATCH,
            "steps": STEPS,
        },
    )


@cache
def setting() -> tuple[tuple[np.ndarray, np.ndarray], Any]:
    """Make the data, in NumPy as datasets come, and the first parameters."""
    data = training.labelled(jax.random.key(0), (EXAMPLES, INPUTS), FEATURES[-1])
    params = PlainMLP(FEATURES).init(jax.random.key(1), data[0])["params"]
    return jax.tree.map(np.asarray, data), params


def batches() -> Iterator[np.ndarray]:
    """Give the rows of each step in the order of ``fit`` with seed 0."""
    per_epoch = EXAMPLES // BATCH
    order = np.arange(EXAMPLES)
    for step in range(STEPS):
        epoch, place = divmod(step, per_epoch)
        if place == 0:
            generator = np.random.Generator(np.random.Philox(key=[0, epoch]))
            order = generator.permutation(EXAMPLES).astype(np.int32)
        yield order[place * BATCH : (place + 1) * BATCH]


def ours() -> Work:
    from jaxnn import models, train

    data, params = setting()
    named = {f"dense_{i}": params[f"Dense_{i}"] for i in range(len(FEATURES))}
    model, tx = models.MLP(features=FEATURES), training.optimiser()
    start = training.ours_starter(model, named, data[0], tx)
    step = training.ours_step()

    def run(state: Any) -> list[dict[str, float]]:
        options = {"steps": STEPS, "batch_size": BATCH, "record_every": RECORD, "progress": False}
        return train.fit(state, step, data, **options)[1]

    return _looping(start, run, lambda history: [record["loss"] for record in history])


def bare() -> Work:
    data, params = setting()
    tx, device = training.optimiser(), jax.device_put(data)
    inner = training.plain_step(_forward, tx)

    @partial(jax.jit, donate_argnums=0)
    def step(state: Any, data: Any, rows: np.ndarray) -> tuple[Any, jax.Array]:
        state, metrics = inner(state, jax.tree.map(lambda leaf: leaf[rows], data))
        return state, metrics["loss"]

    def run(state: Any) -> list[jax.Array]:
        losses = []
        for rows in batches():
            state, loss = step(state, device, rows)
            losses.append(loss)
        return losses

    return _looping(training.plain_starter(params, tx), run)


def loop() -> Work:
    (x, y), params = setting()
    tx = training.optimiser()
    step = training.plain_step(_forward, tx)

    def run(state: Any) -> list[float]:
        losses = []
        for rows in batches():
            state, metrics = step(state, (x[rows], y[rows]))
            losses.append(float(metrics["loss"]))
        return losses

    return _looping(training.plain_starter(params, tx), run)


def torch_loop() -> Work:
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    (x, y), params = setting()
    x, y = torch.tensor(x), torch.tensor(y).long()

    def run(state: Any) -> list[float]:
        losses = []
        for rows in batches():
            picked = torch.from_numpy(rows)
            state, metrics = torch_step(state, (x[picked], y[picked]))
            losses.append(float(metrics["loss"]))
        return losses

    return _looping(lambda: torch_model(params), run)


def _forward(params: Any, x: jax.Array) -> Any:
    return PlainMLP(FEATURES).apply({"params": params}, x)


def _means(losses: list[Any]) -> np.ndarray:
    """Average each ``RECORD`` losses, as the records of ``fit`` do."""
    return np.asarray([float(loss) for loss in losses]).reshape(-1, RECORD).mean(axis=1)


def _looping(
    start: Callable[[], Any],
    run: Callable[[Any], list[Any]],
    means: Callable[[list[Any]], Any] = _means,
) -> Work:
    """Make the work of a whole loop; in samples its state is made before the clock starts."""
    fresh: list[Any] = []

    def reset() -> None:
        fresh[:] = [start()]

    def call() -> list[Any]:
        return run(fresh.pop() if fresh else start())

    return Work(call=call, witness=lambda: np.asarray(means(call())), reset=reset)
