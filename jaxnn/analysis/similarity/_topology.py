r"""Topology of representations: which examples are neighbours, not how far the others lie.

.. math:: g(d) = \begin{cases} 0 & d \le l \\ (d - l) / (u - l) & l < d < u \\
   1 & d \ge u \end{cases}

What is below l is one place, what is above u just elsewhere. With l = 0 and u the largest
dissimilarity, g leaves everything but the scale; with l = u only adjacency is left.

=======  ====================================================
D        dissimilarities, ``(examples, examples)``
l, u     quantiles of the entries above the diagonal
=======  ====================================================

Source: "The Topology and Geometry of Neural Representations" (2023), sections on
geo-topological transforms and geodesics.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxnn._check import require, require_array
from jaxnn._numeric import ratio
from jaxnn.analysis.similarity._pairs import compiled, widen


def geo_topological(
    dissimilarities: Float[Array, "examples examples"], *, lower: float = 0.0, upper: float = 1.0
) -> Float[Array, "examples examples"]:
    """Cut off small and large dissimilarities, so that neighbourhoods count more.

    Args:
      dissimilarities: D, e.g. :func:`dissimilarity`.
      lower: share of pairs that become 0; l is that quantile.
      upper: share of pairs that stay below 1; u is that quantile.

    Returns:
      A matrix between 0 and 1, for :func:`compare_dissimilarities`, zeros on its diagonal. With
      ``lower=0`` and ``upper=1`` Pearson's correlation of two is that of the matrices
      themselves. With ``lower == upper`` it is 0 up to the quantile and 1 above, and stays if
      every dissimilarity is put through the same increasing function.

    Raises:
      TypeError: D is not an array of floating-point numbers.
      ValueError: D is not square, or not 0 <= lower <= upper <= 1.

    Gradient: flows through entries between l and u, which are constants.

    Example:
      >>> d = jnp.array([[0.0, 1, 2], [1, 0, 5], [2, 5, 0]])
      >>> geo_topological(d)[0].tolist(), geo_topological(d, lower=0.5, upper=0.5)[2].tolist()
      ([0.0, 0.0, 0.25], [0.0, 1.0, 0.0])
    """
    where = "geo_topological"
    _check(where, dissimilarities)
    numbers = isinstance(lower, int | float) and isinstance(upper, int | float)
    ok = numbers and 0 <= lower <= upper <= 1
    require(ok, where, "lower", lower, f"a share from 0 to `upper`, which is {upper}, up to 1")
    return _transform(dissimilarities, lower=lower, upper=upper)


@partial(compiled, static_argnames=("lower", "upper"))
def _transform(d: jax.Array, *, lower: float, upper: float) -> jax.Array:
    d = widen(d)
    low, high = (_quantile(d, share) for share in (lower, upper))
    inside = jnp.clip(ratio(d - low, high - low), 0, 1)
    g = jnp.where(high > low, inside, (d > low).astype(d.dtype))
    return jnp.where(jnp.eye(d.shape[0], dtype=bool), 0, g)


def geodesics(
    dissimilarities: Float[Array, "examples examples"], *, upper: float = 1.0
) -> Float[Array, "examples examples"]:
    """Find the shortest ways between examples that go from neighbour to neighbour.

    Shortest paths in the graph of all examples, by squaring the matrix of distances in the
    (min, +) algebra as often as the longest path needs: n³ log n operations, memory for n².

    Args:
      dissimilarities: D, not negative; infinite where there is no edge.
      upper: share of the pairs, the nearest, that are joined by an edge.

    Returns:
      Lengths of the shortest paths, zeros on the diagonal, infinite where there is none.

    Raises:
      TypeError: D is not an array of floating-point numbers.
      ValueError: D is not square, or ``upper`` not from 0 to 1.

    Example:
      >>> d = jnp.array([[0.0, 1, 9], [1, 0, 2], [9, 2, 0]])
      >>> geodesics(d)[0].tolist()
      [0.0, 1.0, 3.0]
    """
    where = "geodesics"
    _check(where, dissimilarities)
    ok = isinstance(upper, int | float) and 0 <= upper <= 1
    require(ok, where, "upper", upper, "a share from 0 to 1")
    return _geodesics(dissimilarities, upper=upper)


@partial(compiled, static_argnames="upper")
def _geodesics(d: jax.Array, *, upper: float) -> jax.Array:
    d = widen(d)
    n = d.shape[0]
    if upper < 1:
        d = jnp.where(d <= _quantile(d, upper), d, jnp.inf)
    d = jnp.where(jnp.eye(n, dtype=bool), 0, d)

    def square(d: jax.Array, _: None) -> tuple[jax.Array, None]:
        return jax.lax.map(lambda row: jnp.min(row[:, None] + d, 0), d), None

    # Paths of 1, 2, 4, ... edges; the longest has n - 1.
    return jax.lax.scan(square, d, None, length=max(n - 2, 0).bit_length())[0]


def _quantile(d: jax.Array, share: float) -> jax.Array:
    above = np.triu_indices(d.shape[0], 1)
    return jnp.quantile(jax.lax.stop_gradient(d)[above], share)


def _check(where: str, d: jax.Array) -> None:
    require_array(where, dissimilarities=d)
    ok = d.ndim == 2 and d.shape[0] == d.shape[1] and d.shape[0] > 1
    require(ok, where, "dissimilarities", d, "a square matrix of two examples or more")
