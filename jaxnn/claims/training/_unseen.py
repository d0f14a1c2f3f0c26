"""Embeddings learned on some digits, read out on others from a few labelled examples."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.claims._experiments import train
from jaxnn.claims.training import _digits

SEEN, SHOTS, DRAWS = 7, 5, 40


def seen() -> tuple[np.ndarray, np.ndarray]:
    """Give training images and labels of the digits 0 to 6."""
    x, y, _, _ = _digits.digits()
    return x[y < SEEN], y[y < SEEN]


def unseen() -> tuple[np.ndarray, np.ndarray]:
    """Give all images of the digits 7 to 9, which no embedding was trained on."""
    x, y, test_x, test_y = _digits.digits()
    x, y = np.concatenate([x, test_x]), np.concatenate([y, test_y])
    return x[y >= SEEN], y[y >= SEEN] - SEEN


def fit(loss: Callable[..., jax.Array], params: Any, batches: Any, *, rate: float = 1e-3) -> Any:
    """Train each start by Adam on its batches, ``(seeds, steps, ...)``."""
    tx = optax.adam(rate)
    return jax.jit(jax.vmap(lambda p, b: train(loss, tx, p, b)[0]))(params, batches)


def embed(params: Any, x: np.ndarray) -> np.ndarray:
    """Give embeddings of each start, ``(seeds, images, features)``."""
    points = jnp.asarray(x)
    return np.asarray(jax.jit(jax.vmap(lambda p: _digits.forward(p, points)))(params))


def few_shot(
    draw: np.random.Generator, z: np.ndarray, *, nearest: bool = False, cosine: bool = False
) -> float:
    """Give the accuracy in percent of a read-out from five labelled images of each unseen digit.

    Args:
      draw: chooses the labelled images, 40 times for each start.
      z: embeddings of the images of :func:`unseen`.
      nearest: take the label of the nearest image, else of the nearest mean.
      cosine: on the sphere, else as they are.
    """
    _, y = unseen()
    if cosine:
        z = z / np.maximum(np.linalg.norm(z, axis=-1, keepdims=True), 1e-12)
    right = []
    for _ in range(DRAWS):
        few = np.stack([draw.permutation(np.flatnonzero(y == c))[:SHOTS] for c in range(10 - SEEN)])
        rest = np.setdiff1d(np.arange(len(y)), few)
        points = z[:, few]  # (seeds, classes, shots, features)
        if not nearest:
            points = points.mean(2, keepdims=True)
        points = points.transpose(0, 2, 1, 3)[:, :, :, None]
        if cosine:
            points = points / np.maximum(np.linalg.norm(points, axis=-1, keepdims=True), 1e-12)
        distance = np.stack(
            [np.linalg.norm(p - z[:, None, rest], axis=-1) for p in points.swapaxes(0, 1)]
        ).min(0)
        right.append(distance.argmin(1) == y[rest])
    return 100 * float(np.mean(right))


def triplets(
    random: np.random.Generator, y: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw rows of images: any, another of its class, and one of another class."""
    rows = [np.flatnonzero(y == c) for c in range(SEEN)]
    sizes, start = np.array([len(r) for r in rows]), np.cumsum([0, *map(len, rows)])[:-1]
    sorted_ = np.concatenate(rows)
    own = random.integers(0, SEEN, shape)
    other = (own + random.integers(1, SEEN, shape)) % SEEN
    first = (random.random(shape) * sizes[own]).astype(int)
    second = (first + 1 + (random.random(shape) * (sizes[own] - 1)).astype(int)) % sizes[own]
    away = (random.random(shape) * sizes[other]).astype(int)
    return sorted_[start[own] + first], sorted_[start[own] + second], sorted_[start[other] + away]
