"""Small networks on the digits, several at once: one program for all starts."""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn import data
from jaxnn.claims._experiments import train


@functools.cache
def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Give training pixels, labels, and those held out, each image in one row."""
    whole = data.load("digits")
    x, test_x = (np.asarray(s.x).reshape(len(s.x), -1) for s in (whole.train, whole.test))
    return x, np.asarray(whole.train.y), test_x, np.asarray(whole.test.y)


def orders(
    random: np.random.Generator, rows: np.ndarray, *, seeds: int, steps: int, batch: int
) -> jax.Array:
    """Draw which of the rows each step of each seed sees, ``(seeds, steps, batch)``."""
    epochs = -(-steps * batch // len(rows))
    shuffled = [
        np.concatenate([random.permutation(rows) for _ in range(epochs)]) for _ in range(seeds)
    ]
    return jnp.asarray(np.stack(shuffled)[:, : steps * batch].reshape(seeds, steps, batch))


def mlp(random: np.random.Generator, sizes: tuple[int, ...], *, seeds: int) -> list[Any]:
    """Draw kernels at He's scale and biases of zero, with one more axis, over seeds."""
    layers = []
    for inputs, outputs in itertools.pairwise(sizes):
        kernel = random.normal(size=(seeds, inputs, outputs)) * (2 / inputs) ** 0.5
        layers.append((jnp.asarray(kernel, jnp.float32), jnp.zeros((seeds, outputs))))
    return layers


def forward(layers: list[Any], x: jax.Array) -> jax.Array:
    """Give logits of rectified layers."""
    for i, (kernel, bias) in enumerate(layers):
        x = (jax.nn.relu(x) if i else x) @ kernel + bias[None]
    return x


def fit(
    params: Any,
    order: jax.Array,
    *,
    loss: Callable[..., jax.Array],
    tx: optax.GradientTransformation,
    points: jax.Array,
) -> jax.Array:
    """Train each start on its order of the digits; give its logits at ``points``."""
    x, y, _, _ = digits()
    x, y = jnp.asarray(x), jnp.asarray(y)

    def one(params, order):
        def objective(params, index):
            return jnp.mean(loss(forward(params, x[index]), y[index]))

        return forward(train(objective, tx, params, order)[0], points)

    return jax.jit(jax.vmap(one))(params, order)
