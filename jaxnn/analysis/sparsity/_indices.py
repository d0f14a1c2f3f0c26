r"""Scale-free indices of sparsity: Hoyer's and Gini's.

Source: "Comparing Measures of Sparsity" (2009), table I; Gini's satisfies all six criteria
of that paper, Hoyer's all but cloning.

=====  =================================================
w      the numbers, of which only magnitudes matter
d      how many there are along ``axis``
=====  =================================================
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require
from jaxnn.analysis.sparsity._axes import Axis, scaled_magnitudes


def hoyer(w: Float[Array, "..."], *, axis: Axis = None) -> Float[Array, "..."]:
    r"""Measure sparsity by the ratio of the two norms, scaled to run from 0 to 1.

    .. math:: H(w) = \frac{\sqrt d - \|w\|_1 / \|w\|_2}{\sqrt d - 1}

    Args:
      w: the numbers, of any scale.
      axis: axes measured together; all if ``None``.

    Returns:
      0 where all magnitudes are equal, all zeros included; 1 where a single one is not zero.

    Raises:
      TypeError: ``w`` is not an array of floating-point numbers.
      ValueError: fewer than two entries along ``axis``, or no such axis.

    Example:
      >>> hoyer(jnp.array([[0.0, 3.0], [2.0, -2.0]]), axis=1).round(4).tolist()
      [1.0, 0.0]
    """
    scaled, present = scaled_magnitudes("hoyer", w, axis)
    d = scaled.shape[-1]
    require(d > 1, "hoyer", "w", w, f"at least two entries along axis {axis}")
    squares = jnp.mean(scaled**2, -1)
    root = jnp.sqrt(jnp.where(present, squares, 1))
    ratio = jnp.where(present, jnp.mean(scaled, -1) / root, 1)
    # ‖w‖₁ / ‖w‖₂ is √d times the ratio of the means; equal entries may round to just below 0.
    return jnp.maximum(math.sqrt(d) * (1 - ratio) / (math.sqrt(d) - 1), 0)


def gini(w: Float[Array, "..."], *, axis: Axis = None) -> Float[Array, "..."]:
    r"""Measure sparsity as inequality of the magnitudes.

    .. math:: G(w) = \frac{\sum_k (2k - d - 1) \, |w|_{(k)}}{d \sum_k |w|_{(k)}}

    with the magnitudes sorted upwards, k = 1 ... d.

    Args:
      w: the numbers, of any scale.
      axis: axes measured together; all if ``None``.

    Returns:
      0 where all magnitudes are equal, all zeros included; ``1 - 1 / d`` where a single one
      is not zero.

    Raises:
      TypeError: ``w`` is not an array of floating-point numbers.
      ValueError: no entry along ``axis``, or no such axis.

    Example:
      >>> gini(jnp.array([0.0, 0.0, 0.0, 5.0])).item()
      0.75
    """
    scaled, present = scaled_magnitudes("gini", w, axis)
    ordered = jnp.sort(scaled, -1)
    d = ordered.shape[-1]
    # Divided by d before they are summed, so that float32 holds them for any d.
    steps = (2 * jnp.arange(1, d + 1, dtype=ordered.dtype) - d - 1) / d
    total = jnp.where(present, jnp.sum(ordered, -1), 1)
    return jnp.maximum(ordered @ steps / total, 0)
