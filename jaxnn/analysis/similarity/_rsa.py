r"""Representational similarity analysis: which examples does a representation tell apart?

A dissimilarity matrix says how far apart each pair of examples lies; two representations are
alike if their matrices are, whatever their units.

=======  ====================================================
x        activations, ``(examples, units)``
D        dissimilarities, ``(examples, examples)``
=======  ====================================================

Source: "Representational similarity analysis - connecting the branches of systems
neuroscience" (2008).
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxnn._check import require, require_array
from jaxnn._numeric import mean_ranks, root, unit_vectors
from jaxnn.analysis.similarity._cka import squared_distances
from jaxnn.analysis.similarity._pairs import (
    check_examples,
    check_pair,
    compiled,
    matmul,
    scaled,
    standardised,
    widen,
)

Metric = Literal["correlation", "cosine", "euclidean"]
Comparison = Literal["spearman", "pearson", "cosine"]


def dissimilarity(
    x: Float[Array, "examples units"], *, metric: Metric = "correlation"
) -> Float[Array, "examples examples"]:
    """Measure how far apart each pair of examples lies.

    Args:
      x: activations.
      metric: ``"correlation"``, one less the correlation across units; ``"cosine"``, one less
        the cosine; or ``"euclidean"``, the distance.

    Returns:
      D, symmetric, zeros on its diagonal. An example without a direction has dissimilarity 1
      from all others by the first two.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: ``x`` is not ``(examples, units)``, or there is no such metric.

    Example:
      >>> x = jnp.array([[1.0, 2, 3], [6, 5, 4]])
      >>> print(dissimilarity(x)[0].round(3), dissimilarity(x, metric="cosine")[0].round(3))
      [0. 2.] [0.    0.147]
    """
    where = "dissimilarity"
    check_examples(where, "x", x)
    known = ("correlation", "cosine", "euclidean")
    require(metric in known, where, "metric", metric, f"one of {', '.join(known)}")
    return _dissimilarity(x, metric=metric)


@partial(compiled, static_argnames="metric")
def _dissimilarity(x: jax.Array, *, metric: str) -> jax.Array:
    x = widen(x)
    if metric == "euclidean":
        size = jnp.max(jnp.abs(jax.lax.stop_gradient(x)))
        size = jnp.where(size > 0, size, 1)
        near = x / size
        # The mean cancels in every difference, but not in the squares they are taken from.
        return root(squared_distances(near - jnp.mean(near, 0, keepdims=True))) * size
    unit = standardised(x.T).T if metric == "correlation" else unit_vectors(x)
    itself = jnp.eye(x.shape[0], dtype=bool)
    return jnp.where(itself, 0, 1 - matmul(unit, unit.T))


def compare_dissimilarities(
    first: Float[Array, "examples examples"],
    second: Float[Array, "examples examples"],
    *,
    comparison: Comparison = "spearman",
) -> Float[Array, ""]:
    """Compare two dissimilarity matrices of the same examples, above their diagonals.

    Args:
      first: D of one representation, symmetric.
      second: D of another.
      comparison: ``"spearman"``, the correlation of ranks (equal entries share their mean
        rank), right if only the order of dissimilarities counts; ``"pearson"``, that of the
        values; or ``"cosine"``.

    Returns:
      A number from -1 to 1; 0 if all entries of one matrix are equal (zero, by cosine).

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: matrices that are not square, of different sizes, of fewer than three
        examples, or no such comparison.

    Gradient: none through ranks.

    Example:
      >>> d = jnp.array([[0.0, 1, 2], [1, 0, 5], [2, 5, 0]])
      >>> compare_dissimilarities(d, d**3).round(4).item()
      1.0
    """
    where = "compare_dissimilarities"
    require_array(where, first=first, second=second)
    shape = first.shape
    square = len(shape) == 2 and shape[0] == shape[1] and shape[0] > 2
    require(square, where, "first", first, "a square matrix of at least three examples")
    require(second.shape == shape, where, "second", second, f"the shape {shape} of `first`")
    known = ("spearman", "pearson", "cosine")
    require(comparison in known, where, "comparison", comparison, f"one of {', '.join(known)}")
    return _compare(first, second, comparison=comparison)


@partial(compiled, static_argnames="comparison")
def _compare(first: jax.Array, second: jax.Array, *, comparison: str) -> jax.Array:
    above = np.triu_indices(first.shape[0], 1)
    pairs = (scaled(widen(d[above])) for d in (first, second))
    if comparison == "cosine":
        one, other = (unit_vectors(d) for d in pairs)
    else:
        ranked = (mean_ranks(d) if comparison == "spearman" else d for d in pairs)
        one, other = (standardised(d[:, None])[:, 0] for d in ranked)
    return jnp.clip(jnp.sum(one * other), -1, 1)


def rsa(
    x: Float[Array, "examples units"],
    y: Float[Array, "examples others"],
    *,
    metric: Metric = "correlation",
    comparison: Comparison = "spearman",
) -> Float[Array, ""]:
    """Compare what two representations tell apart.

    Args:
      x: activations of one network or layer.
      y: those of another, of the same examples in the same order.
      metric: how far apart two examples lie, see :func:`dissimilarity`.
      comparison: of the matrices, see :func:`compare_dissimilarities`.

    Returns:
      A number from -1 to 1, 1 for the same geometry.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: shapes other than ``(examples, units)``, different or fewer than three
        examples, no such metric or comparison.

    Example:
      >>> x = jnp.array([[1.0, 0], [3, 0], [0, 7], [0, 12]])
      >>> rsa(x, 3 * x[:, ::-1], metric="euclidean").round(4).item()
      1.0
    """
    check_pair("rsa", x, y, least=3)
    return _rsa(x, y, metric=metric, comparison=comparison)


@partial(compiled, static_argnames=("metric", "comparison"))
def _rsa(x: jax.Array, y: jax.Array, *, metric: Metric, comparison: Comparison) -> jax.Array:
    first, second = (dissimilarity(array, metric=metric) for array in (x, y))
    return compare_dissimilarities(first, second, comparison=comparison)
