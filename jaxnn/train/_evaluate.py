"""Evaluation of every example once: in chunks, padded and masked, on the device."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxnn._check import require, require_positive
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
      state: the trained state.
      data: arrays ``(x, y)`` with examples along the first axis.
      metrics: per-example functions ``(outputs, targets) -> value`` by name.
      batch_size: examples at a time; the last chunk is padded and the padding masked.

    Returns:
      The means by name.

    Raises:
      ValueError: ``data`` is empty or ``batch_size`` not positive.
    """
    x, y = data
    names = tuple(metrics)
    program = _evaluator(state.apply_fn, tuple(metrics.values()))
    x, y, mask = _chunks(x, y, batch_size)
    means = program(state.evaluation_variables, x, y, mask)
    return {name: float(mean) for name, mean in zip(names, means, strict=True)}


def predict(
    apply_fn: Callable[..., Any], variables: PyTree, x: Any, *, batch_size: int = 256
) -> np.ndarray:
    """Give a model's outputs for all examples, computed in chunks.

    Args:
      apply_fn: ``(variables, x) -> outputs``, e.g. a linen module's ``apply``.
      variables: its variables.
      x: inputs with examples along the first axis.
      batch_size: examples at a time.

    Returns:
      The outputs in the order of ``x``, on the host.

    Raises:
      ValueError: ``x`` is empty or ``batch_size`` not positive.
    """
    chunks, _, _ = _chunks(x, np.zeros(len(x)), batch_size)
    outputs = _predictor(apply_fn)(variables, chunks)
    return np.asarray(outputs).reshape(-1, *outputs.shape[2:])[: len(x)]


@functools.lru_cache(maxsize=64)
def _evaluator(apply_fn: Callable[..., Any], metrics: tuple[PerExample, ...]) -> Callable[..., Any]:
    def program(variables: PyTree, x: Any, y: Any, mask: jax.Array) -> list[jax.Array]:
        def chunk(inputs: tuple[Any, Any, jax.Array]) -> list[jax.Array]:
            x, y, mask = inputs
            outputs = apply_fn(variables, x)
            return [_masked_sum(metric(outputs, y), mask) for metric in metrics]

        return [jnp.sum(s) / jnp.sum(mask) for s in jax.lax.map(chunk, (x, y, mask))]

    return jax.jit(program)


@functools.lru_cache(maxsize=64)
def _predictor(apply_fn: Callable[..., Any]) -> Callable[..., Any]:
    return jax.jit(lambda variables, x: jax.lax.map(lambda part: apply_fn(variables, part), x))


def _masked_sum(values: jax.Array, mask: jax.Array) -> jax.Array:
    """Sum over real examples the mean over whatever else a metric has axes for."""
    each = jnp.mean(values.reshape(values.shape[0], -1), axis=1)
    return jnp.sum(jnp.where(mask, each, 0.0))


def _chunks(x: Any, y: Any, batch_size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    require_positive("evaluate", batch_size=batch_size)
    x, y = np.asarray(x), np.asarray(y)
    require(len(x) > 0 and len(x) == len(y), "evaluate", "data", x, f"{len(y)} examples, above 0")
    batch_size = min(batch_size, len(x))
    count = -(-len(x) // batch_size)
    # Padding repeats examples, which every model accepts, and is masked.
    rows = np.arange(count * batch_size) % len(x)
    mask = np.arange(count * batch_size) < len(x)

    def split(array: np.ndarray) -> np.ndarray:
        return array.reshape(count, batch_size, *array.shape[1:])

    return split(x[rows]), split(y[rows]), split(mask)
