"""Small networks on a planted rule of twelve bits, looked at while they are trained."""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.claims._experiments import train

SIZES = (12, 10, 7, 5, 4, 3, 2)
TRAINING, BATCH, RATE = 3482, 256, 2e-3
NOISE_BATCHES = 16


class Networks(NamedTuple):
    """Networks of one shape; every field has a leading axis over them.

    Attributes:
      params: kernels and biases of each layer.
      labels: of all 4096 inputs, of a rule of each network's own.
      split: the order of the inputs; the first are for training.
      rows: places in ``split`` of the batches, ``(stages, steps, BATCH)``.
      rectified: 1 for rectifiers, 0 for hyperbolic tangents.
      decay: weight decay in the loss.
    """

    params: Any
    labels: np.ndarray
    split: np.ndarray
    rows: np.ndarray
    rectified: np.ndarray
    decay: np.ndarray


def inputs() -> np.ndarray:
    """Give all rows of twelve bits, as -1 and 1."""
    bits = (np.arange(4096)[:, None] >> np.arange(12)) & 1
    return (2 * bits - 1).astype(np.float32)


def draw(
    random: np.random.Generator,
    seeds: int,
    kinds: list[tuple[float, float]],
    *,
    stages: int,
    steps: int,
) -> Networks:
    """Draw rules, splits, batches and starts, the same for every kind of network.

    The rule is which half of the values of a random quadratic form an input belongs to.

    Args:
      random: NumPy's generator.
      seeds: networks of each kind.
      kinds: (rectified, decay) of each.
      stages: how often the networks are looked at.
      steps: training steps from one look to the next.
    """
    x = inputs()
    drawn: list[tuple[Any, np.ndarray, np.ndarray, np.ndarray]] = []
    for _ in range(seeds):
        form = np.einsum("ni,ij,nj->n", x, random.normal(size=(12, 12)), x)
        form = form + 3 * x @ random.normal(size=12)
        params = [
            (
                (random.normal(size=(a, b)) / np.sqrt(a)).astype(np.float32),
                np.zeros(b, np.float32),
            )
            for a, b in itertools.pairwise(SIZES)
        ]
        labels = (form > np.median(form)).astype(np.int32)
        rows = random.integers(0, TRAINING, (stages, steps, BATCH))
        drawn.append((params, labels, random.permutation(len(x)), rows))
    members = [
        Networks(*one, np.asarray(rectified, np.float32), np.asarray(decay, np.float32))
        for rectified, decay in kinds
        for one in drawn
    ]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *members)


def watch(
    networks: Networks, measure: Callable[..., Any], *, gradients: bool = False
) -> tuple[Any, jax.Array, jax.Array]:
    """Train all networks together by Adam, looking at them before every stage and at the end.

    Args:
      networks: as :func:`draw` gives them.
      measure: called as ``measure(layers, network)`` with the activations of every layer for
        all inputs, the last the softmax; gives a pytree of arrays.
      gradients: whether the gradients of some batches are compared at every look.

    Returns:
      What was measured, with axes over networks and looks; the ratio of the norm of the mean
      gradient to that of its standard deviation, over networks, looks and layers, or 0; and the
      accuracy on held-out inputs at the end.
    """
    x = jnp.asarray(inputs())

    def forward(network, params, x):
        layers = []
        for i, (kernel, bias) in enumerate(params):
            z = x @ kernel + jnp.broadcast_to(bias, (len(x), len(bias)))
            x = jnp.where(network.rectified > 0, jax.nn.relu(z), jnp.tanh(z))
            layers.append(z if i == len(params) - 1 else x)
        return layers

    def run(network):
        def loss(params, rows):
            chosen = network.split[rows]
            logits = forward(network, params, x[chosen])[-1]
            fit = optax.softmax_cross_entropy_with_integer_labels(logits, network.labels[chosen])
            squares = sum(jnp.sum(kernel**2) for kernel, _ in params)
            return jnp.mean(fit) + network.decay * squares / 2

        def look(params, rows):
            *hidden, logits = forward(network, params, x)
            seen = measure([*hidden, jax.nn.softmax(logits)], network)
            if not gradients:
                return seen, jnp.zeros(())
            slopes = jax.vmap(jax.grad(loss), (None, 0))(params, rows[:NOISE_BATCHES])
            ratios = [
                jnp.linalg.norm(jnp.mean(kernel, 0)) / jnp.linalg.norm(jnp.std(kernel, 0))
                for kernel, _ in slopes
            ]
            return seen, jnp.stack(ratios)

        def stage(carry, rows):
            seen = look(carry[0], rows)
            # The optimiser's moments start anew with every stage.
            params, _ = train(loss, optax.adam(RATE), carry[0], rows)
            return (params,), seen

        (params,), seen = jax.lax.scan(stage, (network.params,), network.rows)
        last = look(params, network.rows[-1])
        seen = jax.tree.map(lambda a, b: jnp.concatenate([a, b[None]]), seen, last)
        right = jnp.argmax(forward(network, params, x)[-1], -1) == network.labels
        held_out = right[network.split[TRAINING:]]
        return (*seen, jnp.mean(held_out, dtype=jnp.float32))

    return jax.jit(jax.vmap(run))(jax.tree.map(jnp.asarray, networks))
