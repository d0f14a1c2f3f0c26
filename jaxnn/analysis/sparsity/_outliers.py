r"""Outliers: how far the largest activations stand out of the rest.

Source: "Quantizable Transformers: Removing Outliers by Helping Attention Heads Do Nothing"
(2023), section 5: both numbers foretell what quantising activations will cost. The paper takes
them for each sequence, over all positions and features of what a layer returns, averages them
over sequences, and reports the largest norm and the mean kurtosis over the layers:
``jax.vmap(kurtosis)(x).mean()`` for x of ``(batch, time, features)``.

=====  =================================================
x      activations
μ      their mean along ``axis``
=====  =================================================
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require_array
from jaxnn._numeric import accumulation_dtype
from jaxnn.analysis.sparsity._axes import Axis, gather_axes


def kurtosis(x: Float[Array, "..."], *, axis: Axis = None) -> Float[Array, "..."]:
    r"""Measure how heavy the tails are: Pearson's fourth standardised moment.

    .. math:: \mathrm{mean} (x - μ)^4 \, / \, (\mathrm{mean} (x - μ)^2)^2

    Args:
      x: activations, of any scale.
      axis: axes measured together; all if ``None``.

    Returns:
      1 for two values equally often, the least there is, 1.8 for a uniform and 3 for a normal
      distribution, n - 2 + 1 / (n - 1) for a single outlier among n equal ones; 1 where all are
      equal. Three more than the "excess" of Fisher. float32 or wider.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: no entry along ``axis``, or no such axis.

    Example:
      >>> kurtosis(jnp.array([1.0, -1.0, 1.0, -1.0])).item()
      1.0
    """
    rows = _rows("kurtosis", x, axis)
    centred = rows - jnp.mean(rows, -1, keepdims=True)
    # Divided by the largest, so that fourth powers neither overflow nor vanish; a constant for
    # the gradient, which is exact for a measure that ignores scale.
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(centred), -1, keepdims=True))
    present = largest > 0
    squares = (centred / jnp.where(present, largest, 1)) ** 2
    variance = jnp.where(present[..., 0], jnp.mean(squares, -1), 1)
    return jnp.where(present[..., 0], jnp.mean(squares**2, -1) / variance**2, 1)


def infinity_norm(x: Float[Array, "..."], *, axis: Axis = None) -> Float[Array, "..."]:
    r"""Measure the largest magnitude, which sets the step of a min-max quantiser.

    .. math:: \|x\|_\infty = \max |x|

    Args:
      x: activations.
      axis: axes measured together; all if ``None``.

    Returns:
      The largest magnitudes, float32 or wider.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: no entry along ``axis``, or no such axis.

    Example:
      >>> infinity_norm(jnp.array([[0.5, -3.0], [1.0, 2.0]]), axis=-1).tolist()
      [3.0, 2.0]
    """
    return jnp.max(jnp.abs(_rows("infinity_norm", x, axis)), -1)


def _rows(where: str, x: jax.Array, axis: Axis) -> jax.Array:
    """Flatten ``axis`` into one last axis, widened."""
    require_array(where, x=x)
    rows = gather_axes(where, x, axis)
    return rows.astype(accumulation_dtype(rows.dtype))
