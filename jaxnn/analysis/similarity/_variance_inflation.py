r"""Multicollinearity: how well each unit is a weighted sum of all others.

.. math:: \mathrm{VIF}_j = \frac{1}{1 - R_j^2} = (C^{-1})_{jj}

R_j² is the part of unit j's variance that a linear regression on the other units explains, C the
correlation matrix. A weight upon unit j is estimated with a variance this many times as large as
without the others; 10 is the usual alarm.

===========  ====================================================
x            activations, ``(samples, units)``
Z            the same, centred and scaled to columns of length 1
C            Zᵀ Z
===========  ====================================================

Source: "Polynomial Regression As an Alternative to Neural Nets" (2018), section on
multicollinearity.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from jaxnn._check import require, require_array
from jaxnn._numeric import accumulation_dtype


def variance_inflation(x: Float[Array, "samples units"]) -> Float[Array, " units"]:
    r"""Measure how well each unit is a weighted sum of the others.

    .. math:: \mathrm{VIF}_j = 1 / (1 - R_j^2) = (C^{-1})_{jj}

    Args:
      x: activations of some samples, at least two; more than units, or all units are sums of
        the others.

    Returns:
      1 for a unit that is uncorrelated with all others, and for one that never changes; above 1
      otherwise. Units that are exact sums of others get what rounding leaves, no infinity: 10⁶ or
      more in float32 for some thousand samples. float32 or wider.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: it has other than two axes, or fewer than two samples.

    Example:
      >>> x = jnp.array([[1.0, 1, 0], [1, 1, 1], [0, 1, 0], [0, 1, 1], [1, 1, 1]])
      >>> print(variance_inflation(x).round(4))  # R² is 1/36
      [1.0286 1.     1.0286]
    """
    where = "variance_inflation"
    require_array(where, x=x)
    ok = x.ndim == 2 and x.shape[0] > 1
    require(ok, where, "x", x, "shape (samples, units), with at least two samples")
    return _inflation(x)


# Compiled as one program when called eagerly; inlined when the caller is being compiled.
@partial(jax.jit, inline=True)
def _inflation(x: jax.Array) -> jax.Array:
    samples, units = x.shape
    x = x.astype(accumulation_dtype(x.dtype))
    epsilon = jnp.finfo(x.dtype).eps
    # Each unit is divided by its largest, so that no square overflows or vanishes.
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x), 0))
    x = x / jnp.where(largest > 0, largest, 1)[None]
    x = x - jnp.mean(x, 0)[None]
    squares = jnp.sum(x * x, 0)
    varies = squares > samples * (4 * epsilon) ** 2
    z = jnp.where(varies[None], x / jnp.sqrt(jnp.where(varies, squares, 1))[None], 0)

    # C is never formed: its condition is the square of that of Z. The rows below Z keep the
    # factor regular where units are sums of others, and change nothing else.
    held = jax.lax.stop_gradient(z)
    below = epsilon * (samples + units) * jnp.eye(units, dtype=x.dtype)
    factor = jnp.linalg.qr(jnp.concatenate([held, below]), mode="r")
    root = solve_triangular(factor, jnp.eye(units, dtype=x.dtype))
    inverse = jnp.sum(root * root, 1)
    # d(C⁻¹) = -C⁻¹ (dZᵀ Z + Zᵀ dZ) C⁻¹: nothing is added here, but its derivative is.
    both = jnp.dot(root, root.T, precision=jax.lax.Precision.HIGHEST)
    moved = jnp.dot(z - held, both, precision=jax.lax.Precision.HIGHEST)
    weights = jnp.dot(held, both, precision=jax.lax.Precision.HIGHEST)
    return jnp.where(varies, inverse - 2 * jnp.sum(weights * moved, 0), 1)
