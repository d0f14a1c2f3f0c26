"""What the claims of local learning do alike: digits, and training by gradients of any rule."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxnn import data

Gradients = Callable[[Any, Any, jax.Array], tuple[Any, dict[str, jax.Array]]]


@functools.cache
def digits() -> tuple[np.ndarray, ...]:
    """Give flattened training images and labels, and test images and labels."""
    parts = data.load("digits")
    x, test_x = (np.asarray(part.x).reshape(len(part.x), -1) for part in (parts.train, parts.test))
    return x, np.asarray(parts.train.y), test_x, np.asarray(parts.test.y)


def shuffled(
    random: np.random.Generator, x: np.ndarray, y: np.ndarray, *, steps: int, batch: int = 64
) -> tuple[jax.Array, jax.Array]:
    """Give ``steps`` batches, each epoch in an order of its own."""
    whole = len(x) // batch * batch
    epochs = -(-steps * batch // whole)
    index = np.concatenate([random.permutation(len(x))[:whole] for _ in range(epochs)])
    index = index[: steps * batch].reshape(steps, batch)
    return jnp.asarray(x[index]), jnp.asarray(y[index])


def trainer(gradients: Gradients, tx: optax.GradientTransformation) -> Callable[..., Any]:
    """Make ``(params, batches, key) -> params``: one optimiser step a batch, in one program."""

    @jax.jit
    def run(params: Any, batches: Any, key: jax.Array) -> Any:
        def step(carry, now):
            params, state = carry
            batch, i = now
            found, _ = gradients(params, batch, jax.random.fold_in(key, i))
            updates, state = tx.update(found, state, params)
            return (optax.apply_updates(params, updates), state), None

        steps = jnp.arange(len(jax.tree.leaves(batches)[0]))
        return jax.lax.scan(step, (params, tx.init(params)), (batches, steps))[0][0]

    return run


def initialise(random: np.random.Generator, model: nn.Module, x: Any) -> Any:
    """Draw a model's parameters with NumPy: kernels of variance 1 / inputs, everything else 0."""

    def draw(leaf):
        if len(leaf.shape) < 2:
            return jnp.zeros(leaf.shape, leaf.dtype)
        return jnp.asarray(random.normal(size=leaf.shape) / leaf.shape[-2] ** 0.5, leaf.dtype)

    shapes = jax.eval_shape(model.init, jax.random.key(0), x)["params"]
    return jax.tree.map(draw, shapes)


def apply(model: nn.Module, params: Any, *args: Any, **options: Any) -> Any:
    """Apply a model to parameters alone."""
    return model.apply({"params": params}, *args, **options)
