"""Squared and absolute error, averaged over an example's outputs."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require, require_array
from jaxnn._numeric import accumulation_dtype


def squared_error(
    outputs: Float[Array, "*batch outputs"], targets: Float[Array, "..."]
) -> Float[Array, "*batch"]:
    r"""Give the mean squared difference of each example: no factor of one half.

    .. math:: \ell = \frac{1}{m} \sum_{j=1}^{m} (\hat y_j - y_j)^2

    Args:
      outputs: predictions ŷ, m per example.
      targets: y of the same shape; without the last axis when m is 1.

    Returns:
      One value per example, in float32 or wider.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: the shapes disagree. They are never broadcast: (n, 1) against (n,) would
        silently give n x n differences.
    """
    difference = _difference("squared_error", outputs, targets)
    return jnp.mean(jnp.square(difference), axis=-1)


def absolute_error(
    outputs: Float[Array, "*batch outputs"], targets: Float[Array, "..."]
) -> Float[Array, "*batch"]:
    r"""Give the mean absolute difference of each example.

    .. math:: \ell = \frac{1}{m} \sum_{j=1}^{m} |\hat y_j - y_j|

    Args:
      outputs: predictions ŷ, m per example.
      targets: y of the same shape; without the last axis when m is 1.

    Returns:
      One value per example, in float32 or wider.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: the shapes disagree; they are never broadcast.
    """
    return jnp.mean(jnp.abs(_difference("absolute_error", outputs, targets)), axis=-1)


def _difference(where: str, outputs: jax.Array, targets: jax.Array) -> jax.Array:
    require_array(where, outputs=outputs, targets=targets)
    if outputs.ndim and outputs.shape[-1] == 1 and targets.shape == outputs.shape[:-1]:
        targets = targets[..., None]
    require(
        outputs.ndim > 0 and outputs.shape == targets.shape,
        where,
        "targets",
        targets,
        f"shape {outputs.shape}, that of `outputs`",
    )
    wide = accumulation_dtype(outputs.dtype)
    return outputs.astype(wide) - targets.astype(wide)
