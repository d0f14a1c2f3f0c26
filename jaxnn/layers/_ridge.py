"""Least squares with a ridge: what layers that are linear in fixed features share."""

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular

HIGHEST = jax.lax.Precision.HIGHEST


def fit_ridge(
    values: jax.Array, targets: jax.Array, ridge: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Minimise the squared distance of ``values @ kernel + bias`` from the targets, plus the ridge.

    Args:
      values: features of each sample, ``(samples, columns)``, in float32 or wider.
      targets: ``(samples, outputs)``, in the same dtype.
      ridge: weight of the squared kernel, a number in the same dtype.

    Returns:
      The kernel, ``(columns, outputs)``, and the bias, ``(outputs,)``, which is not penalised: it
      is what remains of the means.
    """
    means, target_means = jnp.mean(values, 0), jnp.mean(targets, 0)
    kernel = _ridge(values - means[None], targets - target_means[None], ridge)
    return kernel, target_means - jnp.dot(means, kernel, precision=HIGHEST)


def _ridge(values: jax.Array, targets: jax.Array, ridge: jax.Array) -> jax.Array:
    """Minimise the squared distance of ``values @ kernel`` from the targets, plus the ridge.

    The triangular factor of [values, √λ I] gives a solution that is as wrong as the square of
    the condition number; solving again for what is missing corrects it. The last correction also
    carries the derivative: with M the (constant) inverse of the normal matrix A, the derivative
    of w + M (values' targets - A w), w held, is that of the solution.
    """
    columns = values.shape[1]
    below = jnp.sqrt(ridge) * jnp.eye(columns, dtype=values.dtype)
    factor = jnp.linalg.qr(jax.lax.stop_gradient(jnp.concatenate([values, below])), mode="r")

    def missing(kernel: jax.Array) -> jax.Array:
        left = targets - jnp.dot(values, kernel, precision=HIGHEST)
        right = jnp.dot(values.T, left, precision=HIGHEST) - ridge * kernel
        return solve_triangular(factor, solve_triangular(factor, right, trans="T"))

    kernel = jnp.zeros((columns, targets.shape[1]), values.dtype)
    for _ in range(2):
        kernel = jax.lax.stop_gradient(kernel + missing(kernel))
    return kernel + missing(kernel)
