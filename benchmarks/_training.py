"""What the training benchmarks share: the plain step, and the work of stepping."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks._harness import Work

LEARNING_RATE = 1e-3
# Losses compared before timing. The first tells the networks apart, the later ones the
# gradients and the optimiser.
WITNESS_STEPS = 5

Step = Callable[[Any, Any], tuple[Any, dict[str, jax.Array]]]


def optimiser() -> optax.GradientTransformation:
    """Make the optimiser of every entry."""
    return optax.adamw(LEARNING_RATE)


def plain_step(forward: Callable[[Any, jax.Array], Any], tx: optax.GradientTransformation) -> Step:
    """Build the step that anyone would write: jitted, state donated, nothing else."""

    @partial(jax.jit, donate_argnums=0)
    def step(state: Any, batch: Any) -> tuple[Any, dict[str, jax.Array]]:
        params, opt_state = state
        x, y = batch

        def mean_loss(params: Any) -> jax.Array:
            losses = optax.softmax_cross_entropy_with_integer_labels(forward(params, x), y)
            return losses.mean()

        loss, grads = jax.value_and_grad(mean_loss)(params)
        updates, opt_state = tx.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), {"loss": loss}

    return step


def plain_starter(params: Any, tx: optax.GradientTransformation) -> Callable[[], Any]:
    """Make the function that makes the plain state; copies, as steps consume them."""

    def start() -> Any:
        fresh = copy(params)
        return fresh, tx.init(fresh)

    return start


def ours_starter(
    model: Any, params: Any, x: jax.Array | np.ndarray, tx: optax.GradientTransformation
) -> Callable[[], Any]:
    """Make the function that makes our training state with given parameters."""
    from jaxnn import train

    state = train.create_state(model, tx, x[:1], key=jax.random.key(0))
    shapes = jax.tree.map(jnp.shape, (state.params, params))
    if shapes[0] != shapes[1]:
        raise ValueError(f"ours_starter: the model has {shapes[0]}; it was given {shapes[1]}")
    # The state made here is never stepped, so its other arrays stay alive to be copied.
    return lambda: copy(state).replace(params=copy(params))


def ours_step() -> Step:
    """Build our step on the same loss."""
    from jaxnn import train

    return train.make_step(optax.softmax_cross_entropy_with_integer_labels)


def stepping(
    start: Callable[[], Any], step: Step, batch: Any, *, witness_steps: int = WITNESS_STEPS
) -> Work:
    """Make the work of one step, the state going from call to call.

    Args:
      start: makes a fresh state; every sample begins with one, as does the witness, so that
        no entry is timed on a network that has converged.
      step: ``(state, batch) -> (state, {"loss": ...})``.
      batch: on the device.
      witness_steps: how many losses make the witness.
    """
    current = [start()]

    def call() -> jax.Array:
        current[0], metrics = step(current[0], batch)
        return metrics["loss"]

    def reset() -> None:
        current[0] = jax.block_until_ready(start())

    def witness() -> np.ndarray:
        state, losses = start(), []
        for _ in range(witness_steps):
            state, metrics = step(state, batch)
            losses.append(float(metrics["loss"]))
        return np.asarray(losses)

    return Work(call=call, witness=witness, reset=reset)


def descent(
    run: Callable[[Any], tuple[Any, Any]], start: Any, rate: float, steps: int
) -> np.ndarray:
    """Give the losses of plain gradient descent: the witness of a function with its gradients.

    Args:
      run: gives the loss and its gradients, a tree as ``start``.
      start: the arrays to begin with.
      rate: step size.
      steps: how many losses.
    """
    losses = []
    for _ in range(steps):
        loss, gradients = run(start)
        losses.append(float(loss))
        start = jax.tree.map(lambda x, g: x - rate * g, start, gradients)
    return np.asarray(losses)


def products(rows: Any, kernels: Any, cotangents: Any, *, constant: int = 1) -> Callable[[], Any]:
    """Make the call of a limit: the products of a chain of affine maps and nothing else.

    Args:
      rows: input of each map, ``(n, inputs)``.
      kernels: of each map, ``(inputs, outputs)``.
      cotangents: of each output, ``(n, outputs)``.
      constant: how many of the first maps have data for input, which needs no gradient.
    """

    @jax.jit
    def run(rows: Any, kernels: Any, cotangents: Any) -> Any:
        forward = [x @ kernel for x, kernel in zip(rows, kernels, strict=True)]
        gradients = [x.T @ g for x, g in zip(rows, cotangents, strict=True)]
        pairs = list(zip(cotangents, kernels, strict=True))[constant:]
        return forward, gradients, [g @ kernel.T for g, kernel in pairs]

    return lambda: run(rows, kernels, cotangents)


def copy(tree: Any) -> Any:
    """Copy arrays into buffers of their own."""
    return jax.tree.map(jnp.copy, tree)


def labelled(key: jax.Array, shape: tuple[int, ...], classes: int) -> tuple[jax.Array, jax.Array]:
    """Draw a batch: inputs uniform in [0, 1) as images are, labels at random."""
    x_key, y_key = jax.random.split(key)
    return jax.random.uniform(x_key, shape), jax.random.randint(y_key, shape[:1], 0, classes)
