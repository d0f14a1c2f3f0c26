r"""Partial differential equations with known solutions, to learn their solution operators from.

===========  ======================================================
n            examples
m            ``size``, unknowns along each side of the unit square
h            1 / (m + 1), their spacing; the edges, where u = 0, are left out
===========  ======================================================
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require, require_count, require_key

EXACT = jax.lax.Precision.HIGHEST


class Fields(NamedTuple):
    """Functions on a grid and what the operator makes of them, with one channel."""

    x: Float[Array, "n size size 1"]
    y: Float[Array, "n size size 1"]


def poisson(key: jax.Array, n: int, *, size: int = 31, smoothness: float = 0.0) -> Fields:
    r"""Draw right-hand sides of Poisson's equation and solve it on the grid, exactly.

    .. math:: -\Delta_h u = f \text{ on the unit square}, \quad u = 0 \text{ on its edges},
              \quad f \propto (-\Delta_h)^{-s/2} \xi

    with Δ_h the sum over five points and ξ independent normal. The sine functions of the grid
    are the eigenvectors of Δ_h, so that the solution is a quotient in their coordinates.

    Args:
      key: random key.
      n: how many examples.
      size: m, unknowns along each side; 2^k - 1 for grids that nest.
      smoothness: s; without it f is white noise, in which all frequencies are equally strong.

    Returns:
      x, the right-hand sides f, of mean square 1 over draws and places; y, the solutions u.

    Raises:
      TypeError: ``key`` is no random key.
      ValueError: a size is not above zero, or ``smoothness`` is negative.
    """
    where = "poisson"
    require_key(where, key)
    require_count(where, n=n, size=size)
    require(0 <= smoothness < math.inf, where, "smoothness", smoothness, "a number from zero")
    order = jnp.arange(1, size + 1, dtype=jnp.float32)
    line = (2 * (size + 1) * jnp.sin(math.pi * order / (2 * (size + 1)))) ** 2
    eigenvalues = line[:, None] + line[None, :]
    spectrum = (eigenvalues / eigenvalues[0, 0]) ** (-smoothness / 2)
    spectrum = spectrum / jnp.sqrt(jnp.mean(spectrum**2))
    modes = jax.random.normal(key, (n, size, size)) * spectrum[None]
    sines = jnp.sin(math.pi / (size + 1) * order[:, None] * order[None, :])
    sines = sines * math.sqrt(2 / (size + 1))

    def values(modes: jax.Array) -> jax.Array:
        return jnp.einsum("ai,nij,bj->nab", sines, modes, sines, precision=EXACT)[..., None]

    return Fields(values(modes), values(modes / eigenvalues[None]))
