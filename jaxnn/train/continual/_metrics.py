r"""What a learner of tasks in a row keeps, loses and hands on, from one matrix of accuracies.

===  ======================================================================
R    ``accuracy``, R[i, j] on task j after training task i, ``(tasks, tasks)``
T    how many tasks
b    ``untrained``, on each task before any training
===  ======================================================================

Source: "Gradient Episodic Memory for Continual Learning" (2017), equations 2 to 4, for the
average and the transfers; "Riemannian Walk for Incremental Learning: Understanding Forgetting and
Intransigence" (2018), equation 3, for forgetting. All take several matrices, for example of
seeds, in leading axes.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require, require_array
from jaxnn._numeric import accumulation_dtype


def average_accuracy(accuracy: Float[Array, "*batch tasks tasks"]) -> Float[Array, "*batch"]:
    r"""Average the accuracies over all tasks once the last is trained.

    .. math:: \mathrm{ACC} = \frac{1}{T} \sum_{j=1}^{T} R_{T,j}

    Args:
      accuracy: R.

    Returns:
      One number a matrix, in the unit of ``accuracy``.

    Raises:
      TypeError: ``accuracy`` is not an array of floating-point numbers.
      ValueError: ``accuracy`` is not square.

    Example:
      >>> average_accuracy(jnp.array([[0.9, 0.1], [0.5, 0.7]])).round(3).item()
      0.6000000238418579
    """
    matrix = _matrix("average_accuracy", accuracy, least=1)
    return jnp.mean(matrix[..., -1, :], axis=-1).astype(accuracy.dtype)


def forgetting(accuracy: Float[Array, "*batch tasks tasks"]) -> Float[Array, "*batch"]:
    r"""Average how far each earlier task has fallen from its best.

    .. math:: F = \frac{1}{T-1} \sum_{j=1}^{T-1} \left(\max_{i<T} R_{i,j} - R_{T,j}\right)

    Args:
      accuracy: R.

    Returns:
      One number a matrix; negative where earlier tasks end better than they ever were.

    Raises:
      TypeError: ``accuracy`` is not an array of floating-point numbers.
      ValueError: ``accuracy`` is not square, or has one task only.

    Example:
      >>> forgetting(jnp.array([[0.75, 0.0], [0.25, 1.0]])).item()
      0.5
    """
    matrix = _matrix("forgetting", accuracy, least=2)
    best = jnp.max(matrix[..., :-1, :-1], axis=-2)
    return jnp.mean(best - matrix[..., -1, :-1], axis=-1).astype(accuracy.dtype)


def backward_transfer(accuracy: Float[Array, "*batch tasks tasks"]) -> Float[Array, "*batch"]:
    r"""Average what later training did to each earlier task; below zero, it was forgotten.

    .. math:: \mathrm{BWT} = \frac{1}{T-1} \sum_{j=1}^{T-1} (R_{T,j} - R_{j,j})

    Args:
      accuracy: R.

    Returns:
      One number a matrix.

    Raises:
      TypeError: ``accuracy`` is not an array of floating-point numbers.
      ValueError: ``accuracy`` is not square, or has one task only.

    Example:
      >>> backward_transfer(jnp.array([[0.75, 0.0], [0.25, 1.0]])).item()
      -0.5
    """
    matrix = _matrix("backward_transfer", accuracy, least=2)
    learned = jnp.diagonal(matrix, axis1=-2, axis2=-1)
    return jnp.mean(matrix[..., -1, :-1] - learned[..., :-1], axis=-1).astype(accuracy.dtype)


def forward_transfer(
    accuracy: Float[Array, "*batch tasks tasks"], untrained: Float[Array, "*batch tasks"]
) -> Float[Array, "*batch"]:
    r"""Average what earlier training gave each later task before its own.

    .. math:: \mathrm{FWT} = \frac{1}{T-1} \sum_{j=2}^{T} (R_{j-1,j} - b_j)

    Args:
      accuracy: R.
      untrained: b, accuracy of the network as it was initialised.

    Returns:
      One number a matrix.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: ``accuracy`` is not square, has one task only, or ``untrained`` is not one
        number a task.

    Example:
      >>> R, b = jnp.array([[0.75, 0.5], [0.25, 1.0]]), jnp.array([0.0, 0.25])
      >>> forward_transfer(R, b).item()
      0.25
    """
    where = "forward_transfer"
    matrix = _matrix(where, accuracy, least=2)
    require_array(where, untrained=untrained)
    shape = matrix.shape[:-1]
    require(untrained.shape == shape, where, "untrained", untrained, f"shape {shape}")
    before = jnp.diagonal(matrix, offset=1, axis1=-2, axis2=-1)
    gain = before - untrained[..., 1:].astype(matrix.dtype)
    return jnp.mean(gain, axis=-1).astype(accuracy.dtype)


def _matrix(where: str, accuracy: jax.Array, *, least: int) -> jax.Array:
    require_array(where, accuracy=accuracy)
    square = accuracy.ndim >= 2 and accuracy.shape[-1] == accuracy.shape[-2]
    tasks = "one task or more" if least == 1 else "two tasks or more"
    ok = square and accuracy.shape[-1] >= least
    require(ok, where, "accuracy", accuracy, f"shape (*batch, tasks, tasks), {tasks}")
    return jnp.asarray(accuracy).astype(accumulation_dtype(accuracy.dtype))
