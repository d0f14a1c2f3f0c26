r"""Matching of units: which unit of one network does what a unit of another does?

Two trained networks may have learned the same features in another order; the correlation of two
units over the same examples, in any two networks, tells.

=======  ====================================================
x, y     activations of the same examples, ``(examples, *positions, units)``
C        correlations of the units, ``(units, others)``
=======  ====================================================

Sources: "Convergent Learning: Do different neural networks learn the same representations?"
(2016), section 3, for one-to-one matchings and semi-matchings; "Rosetta Neurons: Mining the
Common Units in a Model Zoo" (2023), section 3.1, for mutual nearest neighbours and maps.
"""

from collections.abc import Sequence
from functools import partial
from itertools import combinations
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxnn._check import require, require_array, require_count
from jaxnn.analysis.similarity._pairs import compiled, matmul, standardised


def unit_correlation(
    x: Float[Array, "examples *positions units"], y: Float[Array, "examples *places others"]
) -> Float[Array, "units others"]:
    """Correlate every unit of one representation with every unit of another.

    Args:
      x: activations ``(examples, units)``, or maps ``(examples, *positions, units)``, whose
        positions count like examples.
      y: those of another, of the same examples in the same order. Maps of another size are
        brought, like those of ``x``, to the larger size along each axis by linear
        interpolation.

    Returns:
      Pearson correlations, 0 with a unit that never changes.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: different examples, fewer than two, or different numbers of axes.

    Example:
      >>> x = jnp.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
      >>> print(unit_correlation(x, x[:, ::-1] * 2 + 1).round(4))
      [[0. 1.]
       [1. 0.]]
    """
    where = "unit_correlation"
    require_array(where, x=x, y=y)
    ok = x.ndim > 1 and x.shape[0] > 1
    require(ok, where, "x", x, "shape (examples, *positions, units), at least two examples")
    ok = y.ndim == x.ndim and y.shape[0] == x.shape[0]
    needs = f"the {x.shape[0]} examples of `x`, and {x.ndim} axes as it has"
    require(ok, where, "y", y, needs)
    return _correlate(x, y)


@compiled
def _correlate(x: jax.Array, y: jax.Array) -> jax.Array:
    size = tuple(map(max, x.shape[1:-1], y.shape[1:-1]))

    def columns(maps: jax.Array) -> jax.Array:
        shape = (maps.shape[0], *size, maps.shape[-1])
        if maps.shape != shape:
            maps = jax.image.resize(maps, shape, "linear")
        return standardised(maps.reshape(-1, maps.shape[-1]))

    return jnp.clip(matmul(columns(x).T, columns(y)), -1, 1)


class Matching(NamedTuple):
    """Units of one network and their partners in another.

    Attributes:
      units: indices of the first network's units.
      partners: index of the partner of each, in the second network.
      similarity: of each pair.
    """

    units: Int[Array, " pairs"]
    partners: Int[Array, " pairs"]
    similarity: Float[Array, " pairs"]


def match_units(similarity: Float[Array, "units others"]) -> Matching:
    """Pair units one to one so that the sum of their similarities is the largest possible.

    Done on the host by :func:`scipy.optimize.linear_sum_assignment`; it cannot be traced.

    Args:
      similarity: e.g. :func:`unit_correlation`, of any two numbers of units.

    Returns:
      The pairs, as many as the smaller number of units, in the order of the first's units.

    Raises:
      TypeError: it is not an array of floating-point numbers.
      ValueError: it has other than two axes.

    Example:
      >>> match_units(jnp.array([[0.9, 0.8], [0.8, 0.1]])).partners.tolist()
      [1, 0]
    """
    _check_matrix("match_units", similarity)
    from scipy.optimize import linear_sum_assignment

    values = np.asarray(similarity, np.float64)
    units, partners = linear_sum_assignment(values, maximize=True)
    pairs = similarity[units, partners]
    return Matching(jnp.asarray(units), jnp.asarray(partners), jnp.asarray(pairs))


def semi_match(similarity: Float[Array, "units others"]) -> Matching:
    """Give each unit the partner most similar to it, which others may have too.

    Where its similarities exceed those of :func:`match_units`, the second network has no unit
    of its own for the feature.

    Args:
      similarity: e.g. :func:`unit_correlation`.

    Returns:
      One pair for each unit; of equal partners the first.

    Raises:
      TypeError: it is not an array of floating-point numbers.
      ValueError: it has other than two axes.

    Example:
      >>> semi_match(jnp.array([[0.9, 0.8], [0.8, 0.1]])).partners.tolist()
      [0, 0]
    """
    _check_matrix("semi_match", similarity)
    units = jnp.arange(similarity.shape[0])
    return Matching(units, jnp.argmax(similarity, 1), jnp.max(similarity, 1))


def best_buddies(
    similarity: Float[Array, "units others"], *, k: int = 5
) -> Bool[Array, "units others"]:
    """Mark the pairs of units of which each is among the other's k most similar.

    Args:
      similarity: e.g. :func:`unit_correlation`.
      k: how many are taken from each row and column; all, if there are no more.

    Returns:
      True for mutual neighbours.

    Raises:
      TypeError: it is not an array of floating-point numbers.
      ValueError: it has other than two axes, or ``k`` is not above zero.

    Example:
      >>> best_buddies(jnp.array([[0.9, 0.8], [0.8, 0.1]]), k=1).tolist()
      [[True, False], [False, False]]
    """
    _check_matrix("best_buddies", similarity)
    require_count("best_buddies", k=k)
    return _buddies(similarity, k=k)


@partial(compiled, static_argnames="k")
def _buddies(similarity: jax.Array, *, k: int) -> jax.Array:
    def top(rows: jax.Array) -> jax.Array:
        best = jax.lax.top_k(rows, min(k, rows.shape[1]))[1]
        places = jnp.arange(rows.shape[0])[:, None]
        return jnp.zeros(rows.shape, bool).at[places, best].set(True)

    return top(similarity) & top(similarity.T).T


def rosetta_units(
    activations: Sequence[Array], *, k: int = 5, threshold: float = 0.0
) -> Int[np.ndarray, "found models"]:
    """Find the units that several networks share: one of each, all of them mutual neighbours.

    The last step, joining the pairs, is done on the host; it cannot be traced.

    Args:
      activations: of two networks or more, see :func:`unit_correlation`.
      k: see :func:`best_buddies`.
      threshold: correlation that every pair must exceed.

    Returns:
      One row for each tuple found, of indices into the units of each network, sorted by mean
      correlation, the best first. One unit may be in several.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: fewer than two networks, or different examples.

    Example:
      >>> x = jnp.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
      >>> rosetta_units([x, x[:, ::-1], x[:, :1]], k=1).tolist()
      [[0, 1, 0]]
    """
    where = "rosetta_units"
    count = len(activations)
    require(count > 1, where, "activations", activations, "two networks or more")
    links, values = {}, {}
    for i, j in combinations(range(count), 2):
        correlation = unit_correlation(activations[i], activations[j])
        values[i, j] = np.asarray(correlation)
        links[i, j] = np.asarray(best_buddies(correlation, k=k)) & (values[i, j] > threshold)
    found = [(unit,) for unit in range(activations[0].shape[-1])]
    for model in range(1, count):
        found = [
            (*units, int(new))
            for units in found
            for new in np.flatnonzero(
                np.all([links[i, model][unit] for i, unit in enumerate(units)], axis=0)
            )
        ]

    def mean(units: tuple[int, ...]) -> float:
        pairs = combinations(range(count), 2)
        return float(np.mean([values[i, j][units[i], units[j]] for i, j in pairs]))

    ordered = sorted(found, key=lambda units: -mean(units))
    return np.array(ordered, np.int64).reshape(-1, count)


def _check_matrix(where: str, similarity: jax.Array) -> None:
    require_array(where, similarity=similarity)
    ok = similarity.ndim == 2 and similarity.size > 0
    require(ok, where, "similarity", similarity, "shape (units, others)")
