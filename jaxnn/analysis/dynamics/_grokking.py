"""How long after the training data a network masters the held-out ones.

Source: "Grokking: Generalization Beyond Overfitting on Small Algorithmic Datasets" (2022),
section 3.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_positive, require_rank


class GrokkingSteps(NamedTuple):
    """When two accuracies first reach their thresholds, in steps; infinity where they never do.

    Attributes:
      memorized: the training data's.
      generalized: the held-out data's.
    """

    memorized: Float[Array, "*batch"]
    generalized: Float[Array, "*batch"]

    @property
    def delay(self) -> Float[Array, "*batch"]:
        """Steps from one to the other; infinity where held-out data are never mastered."""
        delay = self.generalized - jnp.where(jnp.isinf(self.generalized), 0, self.memorized)
        return jnp.where(jnp.isinf(self.memorized), jnp.nan, delay)


def grokking_steps(
    train_accuracy: Float[Array, "*batch points"],
    test_accuracy: Float[Array, "*batch points"],
    *,
    train_threshold: float = 0.99,
    test_threshold: float = 0.95,
    every: int = 1,
) -> GrokkingSteps:
    r"""Find when training accuracy and, later, held-out accuracy reach their thresholds.

    .. math:: t = e \min \{ i : a_i \ge \theta \}

    with a an accuracy at each point of the curve, θ its threshold, e ``every``.

    Args:
      train_accuracy: curves over time, in [0, 1].
      test_accuracy: curves over time at the same points.
      train_threshold: what counts as mastered.
      test_threshold: what counts as mastered.
      every: training steps from a point to the next; the first point is at step 0.

    Returns:
      The two steps, in float32; their ``delay`` is large where a network groks.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: the shapes differ, there are no points, or an option is not above zero.

    Example:
      >>> train, test = jnp.array([0.1, 1.0, 1.0, 1.0]), jnp.array([0.1, 0.1, 0.2, 1.0])
      >>> steps = grokking_steps(train, test, every=10)
      >>> steps.memorized.item(), steps.generalized.item(), steps.delay.item()
      (10.0, 30.0, 20.0)
    """
    where = "grokking_steps"
    require_array(where, train_accuracy=train_accuracy, test_accuracy=test_accuracy)
    require_rank(where, "train_accuracy", train_accuracy, 1, "(*batch, points)")
    points = train_accuracy.shape[-1]
    require(points > 0, where, "train_accuracy", train_accuracy, "at least one point")
    same, needs = train_accuracy.shape == test_accuracy.shape, "that of `train_accuracy`"
    needs = f"shape {train_accuracy.shape}, {needs}"
    require(same, where, "test_accuracy", test_accuracy, needs)
    require_positive(
        where, train_threshold=train_threshold, test_threshold=test_threshold, every=every
    )

    def first(curve: jax.Array, threshold: float) -> jax.Array:
        reached = curve >= threshold
        step = jnp.argmax(reached, axis=-1).astype(jnp.float32) * every
        return jnp.where(jnp.any(reached, axis=-1), step, jnp.inf)

    return GrokkingSteps(
        first(jnp.asarray(train_accuracy), train_threshold),
        first(jnp.asarray(test_accuracy), test_threshold),
    )
