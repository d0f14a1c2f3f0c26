"""A two-layer network on the table of addition modulo p, full batch: grokking's smallest bed."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn import data


class Curves(NamedTuple):
    """Accuracies and loss before each step; zero from where a run was stopped."""

    train: jax.Array
    test: jax.Array
    loss: jax.Array


def table(modulus: int, fraction: float, seed: int) -> np.ndarray:
    """Tell which entries of the table, row by row, are trained on."""
    x = data.modular_arithmetic(modulus, train_fraction=fraction, seed=seed).train.x
    kept = np.zeros((modulus, modulus), bool)
    kept[x[:, 0], x[:, 1]] = True
    return kept.ravel()


def start(random: np.random.Generator, modulus: int, units: int, scale: float) -> dict[str, Any]:
    """Draw weights: one row for each operand's value on the left, and on the right."""
    shapes = {"left": (modulus, units), "right": (modulus, units), "readout": (units, modulus)}
    sizes = {"left": 0.5**0.5, "right": 0.5**0.5, "readout": (2 / units) ** 0.5}
    draw = {n: scale * sizes[n] * random.normal(size=shape) for n, shape in shapes.items()}
    return {name: jnp.asarray(values, jnp.float32) for name, values in draw.items()}


def logits(
    params: dict[str, jax.Array],
    activation: Callable[..., jax.Array],
    readout: Callable[..., jax.Array] = jnp.matmul,
) -> jax.Array:
    """Answer the whole table, ``(modulus ** 2, modulus)``."""
    hidden = params["left"][:, None, :] + params["right"][None, :, :]
    hidden = activation(hidden.reshape(-1, hidden.shape[-1]))
    return readout(hidden, params["readout"])


def train(
    params: dict[str, jax.Array],
    kept: jax.Array,
    *,
    loss: Callable[..., jax.Array],
    tx: optax.GradientTransformation,
    steps: int,
    activation: Callable[..., jax.Array],
    readout: Callable[..., jax.Array] = jnp.matmul,
    until: float = 2.0,
) -> tuple[dict[str, jax.Array], Curves]:
    """Train on the kept entries until the others are mastered; to be called under ``jax.jit``.

    Args:
      params: where training starts.
      kept: which entries are trained on.
      loss: per-example, of logits and labels.
      tx: the optimiser.
      steps: at most.
      activation: of the hidden units.
      readout: logits of the hidden units and the parameters ``readout``.
      until: held-out accuracy at which to stop; above one, never.
    """
    modulus = params["readout"].shape[-1]
    each = jnp.arange(modulus)
    y = ((each[:, None] + each[None, :]) % modulus).ravel()
    weights = kept.astype(jnp.float32)

    def objective(params):
        z = logits(params, activation, readout)
        right = (jnp.argmax(z, axis=-1) == y).astype(jnp.float32)
        value = jnp.sum(jnp.where(kept, loss(z, y), 0.0)) / jnp.sum(weights)
        test = jnp.sum(right * (1 - weights)) / jnp.sum(1 - weights)
        return value, (jnp.sum(right * weights) / jnp.sum(weights), test)

    def step(carry):
        i, params, state, curves = carry
        (value, accuracies), gradient = jax.value_and_grad(objective, has_aux=True)(params)
        updates, state = tx.update(gradient, state, params)
        curves = Curves(
            *(c.at[i].set(a) for c, a in zip(curves, (*accuracies, value), strict=True))
        )
        return i + 1, optax.apply_updates(params, updates), state, curves

    def goes_on(carry):
        i, _, _, curves = carry
        return (i < steps) & (curves.test[jnp.maximum(i - 1, 0)] < until)

    empty = Curves(*(jnp.zeros(steps) for _ in Curves._fields))
    end: Any = jax.lax.while_loop(goes_on, step, (0, params, tx.init(params), empty))
    return end[1], end[3]
