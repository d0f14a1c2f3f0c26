r"""Removed pixels filled in from their neighbours, so that no edge of the hole tells its place.

Source: "A Consistent and Efficient Evaluation Strategy for Attribution Methods" (2022), ROAD.

=======  ====================================================
x        the image, ``(height, width)`` with or without channels
R        pixels removed
w        weights of a pixel's neighbours: 1/6 beside, 1/12 across the corner
=======  ====================================================
"""

import itertools

import jax
import jax.numpy as jnp
from jax.scipy.sparse.linalg import cg
from jaxtyping import Array, Bool, Float, PRNGKeyArray, UInt32

from jaxnn._check import require, require_array, require_key
from jaxnn._numeric import accumulation_dtype

WEIGHTS = {1: 1 / 6, 2: 1 / 12}  # by the axes along which the neighbour lies off


def noisy_linear_imputation(
    x: Float[Array, "height width *channels"],
    removed: Bool[Array, "height width"],
    *,
    key: PRNGKeyArray | UInt32[Array, "2"] | None = None,
    noise: float = 0.01,
) -> Float[Array, "height width *channels"]:
    r"""Replace pixels by the weighted mean of their neighbours, solved for all at once.

    .. math:: \tilde x_p \sum_q w_{pq} = \sum_q w_{pq} \tilde x_q \; (p \in R), \qquad
       \tilde x_q = x_q \; (q \notin R)

    plus Gaussian noise on R. ROAD is a model's accuracy on images whose most attributed pixels
    are filled in so, without training it anew. Solved by conjugate gradients, without a matrix.

    Args:
      x: the image.
      removed: True where a pixel is to be replaced. If all are, they become zero.
      key: draws the noise; there is none if ``None``.
      noise: its standard deviation.

    Returns:
      An image like ``x``, equal to it outside of R.

    Raises:
      TypeError: ``x`` is not an array of floats, ``removed`` not one of truth values, or ``key``
        no key.
      ValueError: shapes disagree, or ``noise`` is below zero.

    Example:
      >>> x = jnp.arange(9.0).reshape(3, 3)
      >>> hole = jnp.zeros((3, 3), bool).at[1, 1].set(True)
      >>> noisy_linear_imputation(x.at[1, 1].set(100.0), hole)[1, 1].round(4).item()
      4.0
    """
    where = "noisy_linear_imputation"
    require_array(where, x=x)
    require_array(where, floating=False, removed=removed)
    if removed.dtype != bool:
        raise TypeError(f"{where}: `removed` has dtype {removed.dtype}; it needs truth values.")
    require(x.ndim in (2, 3), where, "x", x, "shape (height, width) or (height, width, channels)")
    needs = f"the height and width of `x`, {x.shape[:2]}"
    require(removed.shape == x.shape[:2], where, "removed", removed, needs)
    require(noise >= 0, where, "noise", noise, "zero or more")
    hole = removed.reshape(*removed.shape, *(1,) * (x.ndim - 2))
    known = jnp.where(hole, 0, x.astype(accumulation_dtype(x.dtype)))
    weight = _neighbours(jnp.ones_like(known))

    def equations(values: jax.Array) -> jax.Array:
        inside = jnp.where(hole, values, 0)
        return jnp.where(hole, weight * inside - _neighbours(inside), values)

    # Symmetric and positive definite wherever a hole touches a known pixel.
    filled, _ = cg(equations, jnp.where(hole, _neighbours(known), 0), tol=1e-6)
    if key is not None:
        require_key(where, key)
        filled += noise * jax.random.normal(key, x.shape, filled.dtype)
    return jnp.where(hole, filled.astype(x.dtype), x)


def _neighbours(image: jax.Array) -> jax.Array:
    """Add up the neighbours of each pixel by their weights; outside of the image is nothing."""
    height, width = image.shape[:2]
    padded = jnp.pad(image, ((1, 1), (1, 1), *((0, 0),) * (image.ndim - 2)))
    return sum(
        (
            WEIGHTS[abs(i) + abs(j)] * padded[1 + i : 1 + i + height, 1 + j : 1 + j + width]
            for i, j in itertools.product((-1, 0, 1), repeat=2)
            if (i, j) != (0, 0)
        ),
        jnp.zeros_like(image),
    )
