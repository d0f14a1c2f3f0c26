"""Evaluation of every example once: in chunks, padded and masked, on the device."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxnn._check import require, require_count
from jaxnn.train._state import TrainState
from jaxnn.train._step import PerExample


def evaluate(
    state: TrainState,
    data: Any,
    metrics: Mapping[str, PerExample],
    *,
    batch_size: int = 256,
) -> dict[str, float]:
    """Average per-example metrics over all examples, none dropped, none counted twice.

    Uses the averaged parameters where the state keeps an average. No random keys are given, so
    dropout is off.

    Args:
      state: the trained state; not consumed.
      data: arrays ``(x, y)``, or a pair of pytrees of arrays, with examples along the first
        axis. Arrays that are on the device already are not copied.
      metrics: per-example functions ``(outputs, targets) -> value`` by name; a value with
        further axes counts as its mean over them.
      batch_size: examples at a time; the last chunk is padded and the padding masked.

    Returns:
      The means by name.

    Raises:
      ValueError: ``data`` is empty or its arrays disagree in length, ``batch_size`` is not
        positive, or a metric gives one value for the whole batch.
    """
    x, y = data
    layout = state.layout
    pair = jax.device_put((x, y)) if layout is None else layout.replicate((x, y))
    rows, mask = _chunks("evaluate", pair, batch_size)
    program = _evaluator(state.apply_fn, tuple(metrics.items()), layout)
    sums = program(state.evaluation_variables, pair, rows, mask)
    return {name: float(sums[name]) / int(mask.sum()) for name in metrics}


def predict(
    apply_fn: Callable[..., Any], variables: PyTree, x: Any, *, batch_size: int = 256
) -> Any:
    """Give a model's outputs for all examples, computed in chunks.

    Args:
      apply_fn: ``(variables, x) -> outputs``, e.g. a linen module's ``apply``.
      variables: its variables.
      x: inputs, an array or a pytree of arrays, with examples along the first axis.
      batch_size: examples at a time.

    Returns:
      The outputs in the order of ``x``, as NumPy arrays on the host.

    Raises:
      ValueError: ``x`` is empty or its arrays disagree in length, or ``batch_size`` is not
        positive.
    """
    x = jax.device_put(x)
    rows, mask = _chunks("predict", x, batch_size)
    outputs = _predictor(apply_fn)(variables, x, rows)

    def join(leaf: jax.Array) -> np.ndarray:
        return np.asarray(leaf).reshape(-1, *leaf.shape[2:])[: mask.sum()]

    return jax.tree.map(join, outputs)


@functools.lru_cache(maxsize=64)
def _evaluator(
    apply_fn: Callable[..., Any], metrics: tuple[tuple[str, PerExample], ...], layout: Any
) -> Callable[..., dict[str, jax.Array]]:
    def evaluate_chunks(variables: PyTree, data: Any, rows: jax.Array, mask: jax.Array) -> Any:
        def chunk(inputs: tuple[jax.Array, jax.Array]) -> dict[str, jax.Array]:
            rows, mask = inputs
            x, y = take(data, rows)
            if layout is not None and len(rows) % layout.batch_ways == 0:
                x, y = layout.constrain_batch((x, y))
            outputs = apply_fn(variables, x)
            return {name: _masked_sum(name, f(outputs, y), mask) for name, f in metrics}

        return jax.tree.map(jnp.sum, jax.lax.map(chunk, (rows, mask)))

    return jax.jit(evaluate_chunks)


@functools.lru_cache(maxsize=64)
def _predictor(apply_fn: Callable[..., Any]) -> Callable[..., Any]:
    return jax.jit(
        lambda variables, x, rows: jax.lax.map(lambda r: apply_fn(variables, take(x, r)), rows)
    )


def take(data: Any, rows: jax.Array) -> Any:
    """Pick examples by rows that are known to be in range."""
    return jax.tree.map(lambda leaf: leaf.at[rows].get(mode="promise_in_bounds"), data)


def common_length(where: str, argument: str, data: Any, hint: str = "") -> int:
    """Give the length that all arrays have along their first axis.

    Raises:
      ValueError: they disagree, or there is something else than arrays with an axis.
    """
    leaves = jax.tree.leaves(data)
    lengths = {getattr(leaf, "shape", ())[:1] for leaf in leaves}
    shapes = [getattr(leaf, "shape", leaf) for leaf in leaves]
    one = len(lengths) == 1 and lengths != {()}
    needs = "arrays of one length along their first axis"
    require(one, where, argument, shapes if leaves else data, needs, hint)
    return leaves[0].shape[0]


def _masked_sum(name: str, values: jax.Array, mask: jax.Array) -> jax.Array:
    """Sum over real examples the mean over whatever else a metric has axes for."""
    require(
        values.shape[:1] == mask.shape,
        "evaluate",
        f"metrics[{name!r}]",
        values.shape,
        f"one value per example, shape {mask.shape}",
        "Does it average over the batch?",
    )
    each = jnp.mean(values.astype(jnp.float32), axis=tuple(range(1, values.ndim)))
    return jnp.sum(jnp.where(mask, each, 0.0))


def _chunks(where: str, data: Any, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Give the rows of each chunk, and which of them are not padding."""
    require_count(where, batch_size=batch_size)
    argument = "data" if where == "evaluate" else "x"
    examples = common_length(where, argument, data)
    require(examples > 0, where, argument, examples, "at least one example")
    batch_size = min(batch_size, examples)
    places = np.arange(-(-examples // batch_size) * batch_size, dtype=np.int32)
    # Padding repeats examples, which every model accepts, and is masked.
    rows, mask = places % np.int32(examples), places < examples
    return rows.reshape(-1, batch_size), mask.reshape(-1, batch_size)
