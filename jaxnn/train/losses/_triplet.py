r"""Losses of three: an example should lie nearer to one of its class than to one of another.

========  ==========================================================
a, p, n   embeddings of an example, one of its class, one of another
d₊, d₋    Euclidean distances of a to p and to n
m         ``margin``
========  ==========================================================

Source: "Deep metric learning using Triplet network" (2014); "FaceNet: A Unified Embedding for Face
Recognition and Clustering" (2015) for the margin and the semi-hard negatives.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer

from jaxnn._check import describe, require, require_array, require_positive, require_rank
from jaxnn._numeric import accumulation_dtype, root


def triplet_ratio_loss(
    anchors: Float[Array, "*batch features"],
    positives: Float[Array, "*batch features"],
    negatives: Float[Array, "*batch features"],
) -> Float[Array, "*batch"]:
    r"""Give the squared distance of the softmax of both distances from (0, 1).

    .. math:: \ell = \lVert (p_+, p_- - 1) \rVert_2^2 = 2 p_+^2, \quad
        p_+ = \frac{e^{d_+}}{e^{d_+} + e^{d_-}}, \quad p_- = 1 - p_+

    It has no margin, and never quite stops: between 0 and 2, one half for equal distances.

    Args:
      anchors: embeddings a.
      positives: embeddings p of the same classes.
      negatives: embeddings n of other classes.

    Returns:
      One value per triplet, in float32 or wider. Where two embeddings coincide, no gradient flows
      through their distance.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: the shapes differ.

    Example:
      >>> a, p, n = jnp.array([[0.0]]), jnp.array([[3.0]]), jnp.array([[-3.0]])
      >>> triplet_ratio_loss(a, p, n).tolist()
      [0.5]
    """
    near, far = _distances("triplet_ratio_loss", anchors, positives, negatives)
    return 2 * jax.nn.sigmoid(near - far) ** 2


def triplet_margin_loss(
    anchors: Float[Array, "*batch features"],
    positives: Float[Array, "*batch features"],
    negatives: Float[Array, "*batch features"],
    *,
    margin: float = 1.0,
) -> Float[Array, "*batch"]:
    r"""Give by how much the other class is not farther than the own one by a margin.

    .. math:: \ell = \max(0, d_+ - d_- + m)

    Args:
      anchors: embeddings a.
      positives: embeddings p of the same classes.
      negatives: embeddings n of other classes.
      margin: m, in units of distance.

    Returns:
      One value per triplet, in float32 or wider. Where two embeddings coincide, no gradient flows
      through their distance.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: the shapes differ, or ``margin`` is not positive.

    Differs: optax's adds 1e-6 to the squared distances, so that coinciding points are 1e-3 apart;
    torch's ``TripletMarginLoss`` adds 1e-6 to each difference.

    Example:
      >>> a, p, n = jnp.array([[0.0]]), jnp.array([[1.0]]), jnp.array([[-1.5]])
      >>> triplet_margin_loss(a, p, n).tolist()
      [0.5]
    """
    require_positive("triplet_margin_loss", margin=margin)
    near, far = _distances("triplet_margin_loss", anchors, positives, negatives)
    return jax.nn.relu(near - far + margin)


def semi_hard_triplet_loss(
    outputs: Float[Array, "*batch examples features"],
    targets: Integer[Array, "*batch examples"],
    *,
    margin: float = 1.0,
) -> Float[Array, "*batch examples"]:
    r"""Give each example's margin loss, averaged over all others of its class in the batch.

    .. math:: \ell_a = \frac{1}{|P_a|} \sum_{p \in P_a} \max(0, d_{ap} - d_{a n(a, p)} + m)

    with P_a the other examples of a's class and n(a, p) of :func:`semi_hard_negatives`. Distances
    are of ``outputs`` as they are: normalise them where they should lie on a sphere.

    Args:
      outputs: embeddings of a batch.
      targets: their classes, any integers.
      margin: m, in units of distance.

    Returns:
      One value per example, in float32 or wider; 0 for one alone in its class, or without any
      other class. The mean over a batch is over examples, not over pairs.

    Raises:
      TypeError: ``outputs`` are not floating-point or ``targets`` not integers.
      ValueError: the shapes disagree, or ``margin`` is not positive.
    """
    where = "semi_hard_triplet_loss"
    require_positive(where, margin=margin)
    require_array(where, outputs=outputs)
    require_rank(where, "outputs", outputs, 2, "(*batch, examples, features)")
    _check_labels(where, "targets", targets, outputs.shape[:-1])
    distances = pairwise_distances(outputs)
    negatives, valid = semi_hard_negatives(distances, targets)
    far = jnp.take_along_axis(distances, negatives, axis=-1)
    values = jnp.where(valid, jax.nn.relu(distances - far + margin), 0)
    return jnp.sum(values, axis=-1) / jnp.maximum(jnp.sum(valid, axis=-1), 1).astype(values.dtype)


def pairwise_distances(
    outputs: Float[Array, "*batch examples features"],
) -> Float[Array, "*batch examples examples"]:
    r"""Give the Euclidean distances between all embeddings of a batch.

    .. math:: d_{ij} = \lVert x_i - x_j \rVert_2

    Sums of squared differences, exactly symmetric and exactly zero on the diagonal, where a product
    of the embeddings with themselves would lose small distances.

    Args:
      outputs: embeddings x.

    Returns:
      Distances in float32 or wider; no gradient flows through those that are zero.

    Raises:
      TypeError: ``outputs`` are not floating-point.
      ValueError: there are less than two axes.
    """
    where = "pairwise_distances"
    require_array(where, outputs=outputs)
    require_rank(where, "outputs", outputs, 2, "(*batch, examples, features)")
    return _distance(outputs[..., :, None, :], outputs[..., None, :, :])


class Negatives(NamedTuple):
    """A negative for each pair of anchor and positive.

    Attributes:
      indices: which example, ``(*batch, anchors, positives)``; meaningless where not valid.
      valid: whether the pair is two examples of one class, and there is another class.
    """

    indices: Integer[Array, "*batch examples examples"]
    valid: Bool[Array, "*batch examples examples"]


def semi_hard_negatives(
    distances: Float[Array, "*batch examples examples"],
    labels: Integer[Array, "*batch examples"],
) -> Negatives:
    r"""Choose for each anchor and positive the nearest of another class beyond the positive.

    .. math:: n(a, p) = \mathrm{argmin}_n \, \{ d_{an} : y_n \ne y_a, \; d_{an} > d_{ap} \}

    Where none lies beyond the positive, the farthest of another class is taken. Harder negatives,
    nearer than the positive, tend to collapse all embeddings to a point early in training.

    Args:
      distances: of each anchor, along rows, to each example; see :func:`pairwise_distances`.
      labels: classes, any integers.

    Returns:
      Indices and which of them are valid. They cost a sort of each row, not all triplets.

    Raises:
      TypeError: ``distances`` are not floating-point or ``labels`` not integers.
      ValueError: the shapes disagree.

    Example:
      >>> x = jnp.array([[0.0], [2.0], [1.0], [3.0]])
      >>> negatives, valid = semi_hard_negatives(pairwise_distances(x), jnp.array([0, 0, 1, 1]))
      >>> negatives[0, 1].item(), valid[0].tolist()
      (3, [False, True, False, False])
    """
    where = "semi_hard_negatives"
    require_array(where, distances=distances)
    require_rank(where, "distances", distances, 2, "(*batch, examples, examples)")
    n = distances.shape[-1]
    require(distances.shape[-2] == n, where, "distances", distances, "as many rows as columns")
    _check_labels(where, "labels", labels, distances.shape[:-1])
    distances, labels = jnp.asarray(distances), jnp.asarray(labels)
    same = labels[..., :, None] == labels[..., None, :]
    others = jnp.where(same, jnp.inf, distances)
    order = jnp.argsort(others, axis=-1)
    sorted_ = jnp.take_along_axis(others, order, axis=-1)
    find = jax.vmap(lambda row, values: jnp.searchsorted(row, values, side="right"))
    beyond = find(sorted_.reshape(-1, n), distances.reshape(-1, n)).reshape(distances.shape)
    count = jnp.sum(~same, axis=-1, keepdims=True, dtype=jnp.int32)
    place = jnp.clip(jnp.minimum(beyond.astype(jnp.int32), count - 1), 0)
    valid = same & ~jnp.eye(n, dtype=bool).reshape((1,) * (same.ndim - 2) + (n, n)) & (count > 0)
    return Negatives(jnp.take_along_axis(order, place, axis=-1), valid)


def _distance(a: jax.Array, b: jax.Array) -> jax.Array:
    """Give Euclidean distances along the last axis, with slope 0 where they are 0."""
    wide = accumulation_dtype(a.dtype)
    return root(jnp.sum((a.astype(wide) - b.astype(wide)) ** 2, axis=-1))


def _distances(
    where: str, anchors: jax.Array, positives: jax.Array, negatives: jax.Array
) -> tuple[jax.Array, jax.Array]:
    _check_alike(where, anchors=anchors, positives=positives, negatives=negatives)
    return _distance(anchors, positives), _distance(anchors, negatives)


def _check_alike(where: str, **arrays: jax.Array) -> None:
    require_array(where, floating=True, **arrays)
    (first, one), *others = arrays.items()
    require_rank(where, first, one, 1, "(*batch, features)")
    for name, value in others:
        require(
            value.shape == one.shape, where, name, value, f"shape {one.shape}, that of `{first}`"
        )


def _check_labels(where: str, name: str, labels: jax.Array, shape: tuple[int, ...]) -> None:
    known = isinstance(labels, jax.Array | np.ndarray)
    if not known or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(f"{where}: `{name}` is {describe(labels)}; it needs integer class labels.")
    require(labels.shape == shape, where, name, labels, f"shape {shape}, one for each embedding")
