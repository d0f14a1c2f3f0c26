r"""How many dimensions an array of activations or weights really fills.

=====  =================================================
σ      the singular values of ``x``, largest first
p      σ / Σσ
=====  =================================================
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require, require_array
from jaxnn._numeric import accumulation_dtype


def stable_rank(x: Float[Array, "rows columns"]) -> Float[Array, ""]:
    r"""Measure the stable rank.

    .. math:: \sum_i σ_i^2 \, / \, σ_1^2

    Args:
      x: activations, centred if their mean should not count, or weights.

    Returns:
      Between 1 and the rank; 0 if all entries are zero. float32 or wider.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: it has other than two axes, or is empty.

    Example:
      >>> stable_rank(jnp.diag(jnp.array([2.0, 1.0, 0.0]))).item()
      1.25
    """
    return _stable_rank(_matrix("stable_rank", x))


# Compiled as one program when called eagerly; inlined when the caller is being compiled.
@partial(jax.jit, inline=True)
def _stable_rank(x: jax.Array) -> jax.Array:
    return jnp.sum(_singular_values(x) ** 2)


def effective_rank(x: Float[Array, "rows columns"]) -> Float[Array, ""]:
    r"""Measure the effective rank: the exponential of the entropy of the singular values.

    .. math:: \exp \Bigl( - \sum_i p_i \ln p_i \Bigr)

    Source: "The effective rank: A measure of effective dimensionality" (2007).

    Args:
      x: activations, centred if their mean should not count, or weights.

    Returns:
      Between 1 and the rank; 0 if all entries are zero. float32 or wider.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: it has other than two axes, or is empty.

    Example:
      >>> effective_rank(jnp.eye(3)).round(4).item()
      3.0
    """
    return _effective_rank(_matrix("effective_rank", x))


@partial(jax.jit, inline=True)
def _effective_rank(x: jax.Array) -> jax.Array:
    values = _singular_values(x)
    total = jnp.sum(values)
    p = values / jnp.where(total > 0, total, 1)
    some = p > 0
    entropy = -jnp.sum(jnp.where(some, p * jnp.log(jnp.where(some, p, 1)), 0))
    return jnp.where(total > 0, jnp.exp(entropy), 0)


def _matrix(where: str, x: jax.Array) -> jax.Array:
    """Check that it is a matrix, and widen it."""
    require_array(where, x=x)
    ok = x.ndim == 2 and x.size > 0
    require(ok, where, "x", x, "shape (rows, columns), neither of them zero")
    return jnp.asarray(x).astype(accumulation_dtype(x.dtype))


def _singular_values(x: jax.Array) -> jax.Array:
    """Give the singular values relative to the largest; all zero if that is."""
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x)))
    values = jnp.linalg.svd(x / jnp.where(largest > 0, largest, 1), compute_uv=False)
    some = values[:1] > 0
    return jnp.where(some, values / jnp.where(some, values[:1], 1), 0)
