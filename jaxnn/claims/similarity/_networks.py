"""Networks of equal shape, trained together on digits: one scan, vmapped over networks."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn import data
from jaxnn.claims._experiments import train

Params = list[tuple[Any, Any]]
Activation = Callable[[jax.Array], jax.Array]


@lru_cache
def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Give training images and labels, then test images and labels; images are flat."""
    split = data.load("digits")
    flat = (np.asarray(part.x).reshape(len(part.x), -1) for part in (split.train, split.test))
    x, test = flat
    return x, np.asarray(split.train.y), test, np.asarray(split.test.y)


def start(random: np.random.Generator, count: int, widths: Sequence[int]) -> Params:
    """Draw ``count`` networks as He did, stacked: kernels ``(count, inputs, units)``, no biases."""
    return [
        (
            np.float32(random.normal(size=(count, a, b)) * np.sqrt(2 / a)),
            np.zeros((count, b), np.float32),
        )
        for a, b in pairwise(widths)
    ]


def layers(params: Params, x: jax.Array, activation: Activation = jax.nn.relu) -> list[jax.Array]:
    """Give the activations of every hidden layer of one network, and last its logits."""
    values = []
    for i, (kernel, bias) in enumerate(params):
        x = x @ kernel + bias[None]
        x = activation(x) if i + 1 < len(params) else x
        values.append(x)
    return values


def fit(
    random: np.random.Generator,
    params: Params,
    x: np.ndarray,
    y: np.ndarray,
    *,
    steps: int,
    batch: int = 64,
    tx: optax.GradientTransformation,
    masks: np.ndarray | None = None,
    budgets: np.ndarray | None = None,
    activation: Activation = jax.nn.relu,
) -> Params:
    """Train all networks with the cross-entropy, each on batches of its own.

    Args:
      random: draws the batches.
      params: networks, stacked.
      x: images, for all or ``(count, examples, inputs)``.
      y: labels, for all or ``(count, examples)``.
      steps: of the optimiser.
      batch: images a step.
      tx: the optimiser.
      masks: ``(count, inputs)``, what a network sees of an image.
      budgets: steps of each network, after which its gradients are zero: ``tx`` must be plain
        descent then.
      activation: of the hidden layers.
    """
    count = len(params[0][0])
    rows = random.integers(0, x.shape[-2], (count, steps, batch)).astype(np.int32)
    alive = np.ones((count, steps), np.float32)
    if budgets is not None:
        alive = np.float32(np.arange(steps)[None] < budgets[:, None])
    masks = np.ones((count, x.shape[-1]), np.float32) if masks is None else masks
    return _fit(
        params, jnp.asarray(x), jnp.asarray(y), rows, alive, masks, tx=tx, activation=activation
    )


@partial(jax.jit, static_argnames=("tx", "activation"))
def _fit(params, x, y, rows, alive, masks, *, tx, activation):
    def one(params, x, y, rows, alive, mask):
        def loss(params, batch):
            index, on = batch
            logits = layers(params, x[index] * mask[None], activation)[-1]
            values = optax.softmax_cross_entropy_with_integer_labels(logits, y[index])
            return on * jnp.mean(values)

        return train(loss, tx, params, (rows, alive))[0]

    own = (0 if x.ndim == 3 else None, 0 if y.ndim == 2 else None)
    return jax.vmap(one, (0, *own, 0, 0, 0))(params, x, y, rows, alive, masks)


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Give Spearman's correlation of all entries."""
    from scipy.stats import spearmanr

    return float(spearmanr(a.ravel(), b.ravel())[0])  # pyright: ignore[reportArgumentType]
