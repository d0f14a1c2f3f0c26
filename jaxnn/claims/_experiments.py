"""What several claims do alike: train in one compiled scan, on bytes or on anything else."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn import data


def train(
    loss: Callable[..., jax.Array], tx: optax.GradientTransformation, params: Any, batches: Any
) -> tuple[Any, jax.Array]:
    """Take one optimiser step for each batch, in one scan; to be called under ``jax.jit``.

    Args:
      loss: called as ``loss(params, batch)``, gives a scalar.
      tx: the optimiser.
      params: where training starts.
      batches: a pytree whose arrays have one more leading axis, over steps.

    Returns:
      The trained parameters and the loss before each step, ``(steps,)``.
    """

    def step(carry, batch):
        params, state = carry
        value, gradient = jax.value_and_grad(loss)(params, batch)
        updates, state = tx.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), value

    (params, _), losses = jax.lax.scan(step, (params, tx.init(params)), batches)
    return params, losses


def generator(key: jax.Array) -> np.random.Generator:
    """Make NumPy's generator of a key: data drawn with it compile nothing."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)))


class Trained(NamedTuple):
    """Language models trained from several keys.

    Attributes:
      params: parameters of each, in a list.
      losses: training loss of each step in nats a byte, ``(seeds, steps)``.
      validation: loss on held-out text in nats a byte, ``(seeds,)``.
    """

    params: list[Any]
    losses: np.ndarray
    validation: np.ndarray


@functools.cache
def text() -> tuple[np.ndarray, np.ndarray]:
    """Give a million bytes of the standard library's source, and 60 thousand held out."""
    source = data.stdlib_text(limit=1_100_000)
    return np.asarray(source.train.x), np.asarray(source.test.x[:60_000])


def rows_of_text(bytes_: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
    """Cut rows of ``length + 1`` bytes, inputs and targets in one, as int32."""
    return bytes_[np.asarray(starts)[..., None] + np.arange(length + 1)].astype(np.int32)


def next_byte_loss(model: Any, params: Any, rows: jax.Array, **options: Any) -> jax.Array:
    """Give the mean cross-entropy of the next byte in nats, for rows ``(batch, length + 1)``."""
    logits = model.apply({"params": params}, rows[:, :-1], **options)
    values = optax.softmax_cross_entropy_with_integer_labels(logits, rows[:, 1:])
    return jnp.mean(values)


def train_language_models(
    model: Any,
    keys: jax.Array,
    *,
    steps: int = 300,
    batch: int = 16,
    length: int = 64,
    learning_rate: float = 5e-3,
    loss: Callable[..., jax.Array] = next_byte_loss,
    tx: optax.GradientTransformation | None = None,
    validation_rows: int = 256,
) -> Trained:
    """Train one causal model from each key on the standard library's source, byte by byte.

    Two models given the same keys see the same text in the same order, and are measured on the
    same held-out text. The program is compiled once and run once for each key.

    Args:
      model: a linen module from tokens ``(batch, time)`` to logits ``(batch, time, 256)``.
      keys: one for each model trained.
      steps: optimiser steps.
      batch: rows a step.
      length: bytes a row.
      learning_rate: peak of a warm-up and cosine schedule under AdamW, unless ``tx`` is given.
      loss: called as ``loss(model, params, rows)``; validation is always the cross-entropy.
      tx: the optimiser.
      validation_rows: rows of held-out text.
    """
    schedule = optax.warmup_cosine_decay_schedule(0.0, learning_rate, steps // 10, steps)
    tx = tx or optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule))
    source, held_out = text()
    starts = np.linspace(0, len(held_out) - length - 1, validation_rows).astype(int)
    test = jnp.asarray(rows_of_text(held_out, starts, length))

    @jax.jit
    def run(key, batches):
        # Jitted as one: op-by-op initialisation would take longer than the training.
        start = model.init(key, batches[0, :, :-1])["params"]
        params, losses = train(lambda p, rows: loss(model, p, rows), tx, start, batches)
        return params, losses, next_byte_loss(model, params, test)

    params, losses, validation = [], [], []
    for key in keys:
        init_key, rows_key = jax.random.split(key)
        places = jax.random.randint(rows_key, (steps, batch), 0, len(source) - length - 1)
        batches = jnp.asarray(rows_of_text(source, np.asarray(places), length))
        one = run(init_key, batches)
        params.append(one[0])
        losses.append(np.asarray(one[1]))
        validation.append(float(one[2]))
    return Trained(params, np.stack(losses), np.asarray(validation))
