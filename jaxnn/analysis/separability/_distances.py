r"""How far apart labelled activations lie, within a class and between classes.

Sources: "Word class representations spontaneously emerge in a deep neural network trained on
next word prediction" (2023) for the generalized discrimination value; "Silhouettes: A graphical
aid to the interpretation and validation of cluster analysis" (1987).

=======  ==================================================================
h        ``features``, ``(samples, units)``
y, K     ``labels`` and ``num_classes``
D        units
=======  ==================================================================

Distances are Euclidean, taken a few samples at a time. Classes without samples are left out, as
are samples whose label is not in 0, ..., K - 1.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxnn._numeric import root
from jaxnn.analysis._function import chunked_map
from jaxnn.analysis._labels import class_sums, labelled

ROWS = 16  # of the samples whose distances to all others are held at once


def generalized_discrimination_value(
    features: Float[Array, "samples units"],
    labels: Int[Array, " samples"],
    *,
    num_classes: int,
    batch_size: int = ROWS,
) -> Float[Array, ""]:
    r"""Measure how well classes are apart: the generalized discrimination value (GDV).

    .. math:: \frac{1}{\sqrt{D}} \Bigl( \mathrm{mean}_c \, d_{cc}
       - \mathrm{mean}_{c < c'} \, d_{cc'} \Bigr)

    with d the mean distance between two samples of those classes, after every unit was brought
    to mean 0 and standard deviation ½. It does not change when units are shifted, scaled,
    permuted, or all repeated.

    Args:
      features: h.
      labels: y.
      num_classes: K.
      batch_size: samples whose distances to all others are held at once.

    Returns:
      -1 for two classes of equal size that are points, about 0 for labels that say nothing. A
      class of one sample has no distances within; it counts as a point. 0 if fewer than two
      classes have samples.

    Raises:
      TypeError: ``features`` is not an array of floating-point numbers, or ``labels`` of integers.
      ValueError: shapes disagree, fewer than two classes, or ``batch_size`` is not above zero.

    Gradient: that of the scaled distances; two samples in the same place give none.

    Example:
      >>> x, y = jnp.array([[0.0], [0.0], [7.0], [7.0]]), jnp.array([0, 0, 1, 1])
      >>> print(generalized_discrimination_value(x, y, num_classes=2))
      -1.0
    """
    where = "generalized_discrimination_value"
    features, labels = labelled(where, features, labels, num_classes)
    return _discrimination(features, labels, num_classes, batch_size)


@partial(jax.jit, static_argnums=(2, 3), inline=True)
def _discrimination(
    features: jax.Array, labels: jax.Array, num_classes: int, batch_size: int
) -> jax.Array:
    sums, counts = _distances(
        "generalized_discrimination_value",
        _half_z_scores(features, labels < num_classes),
        labels,
        num_classes,
        batch_size,
    )
    total = class_sums(sums, labels, num_classes)
    eye = jnp.eye(num_classes, dtype=bool)
    product = counts[:, None] * counts[None]
    # A sample is no pair with itself.
    pairs = jnp.where(eye, product - counts[:, None], product)
    means = total / jnp.maximum(pairs, 1)
    present = counts > 0
    classes = jnp.sum(present).astype(means.dtype)
    within = jnp.sum(jnp.where(eye, means, 0)) / jnp.maximum(classes, 1)
    between = jnp.sum(jnp.where(eye, 0, means)) / jnp.maximum(classes * (classes - 1), 1)
    value = (within - between) / jnp.sqrt(jnp.asarray(features.shape[1], means.dtype))
    return jnp.where(classes > 1, value, 0)


def silhouette(
    features: Float[Array, "samples units"],
    labels: Int[Array, " samples"],
    *,
    num_classes: int,
    batch_size: int = ROWS,
) -> Float[Array, ""]:
    r"""Measure how much nearer samples are to their own class than to the next: the silhouette.

    .. math:: \mathrm{mean}_i \; \frac{b_i - a_i}{\max(a_i, b_i)}

    with a the mean distance to the other samples of the class, b the least, over the other
    classes, of the mean distance to all of one.

    Args:
      features: h, taken as they are: scale the units yourself if they should count the same.
      labels: y.
      num_classes: K.
      batch_size: samples whose distances to all others are held at once.

    Returns:
      Between -1 and 1; 1 where classes are points. A sample alone in its class counts 0. 0 if
      fewer than two classes have samples.

    Raises:
      TypeError: ``features`` is not an array of floating-point numbers, or ``labels`` of integers.
      ValueError: shapes disagree, fewer than two classes, or ``batch_size`` is not above zero.

    Example:
      >>> x, y = jnp.array([[0.0], [1.0], [10.0], [11.0]]), jnp.array([0, 0, 1, 1])
      >>> print(silhouette(x, y, num_classes=2).round(4))
      0.8997
    """
    where = "silhouette"
    features, labels = labelled(where, features, labels, num_classes)
    return _silhouette(features, labels, num_classes, batch_size)


@partial(jax.jit, static_argnums=(2, 3), inline=True)
def _silhouette(
    features: jax.Array, labels: jax.Array, num_classes: int, batch_size: int
) -> jax.Array:
    sums, counts = _distances("silhouette", features, labels, num_classes, batch_size)
    own = labels[:, None] == jnp.arange(num_classes, dtype=labels.dtype)[None]
    mine = jnp.sum(jnp.where(own, counts[None], 0), 1)
    within = jnp.sum(jnp.where(own, sums, 0), 1) / jnp.maximum(mine - 1, 1)
    means = sums / jnp.maximum(counts, 1)[None]
    others = jnp.where(own | (counts == 0)[None], jnp.inf, means)
    next_one = jnp.min(others, 1)
    counted = (mine > 1) & jnp.isfinite(next_one)
    next_one = jnp.where(counted, next_one, 0)
    larger = jnp.maximum(within, next_one)
    value = jnp.where(counted, next_one - within, 0) / jnp.where(larger > 0, larger, 1)
    return jnp.sum(value) / jnp.maximum(jnp.sum(counts), 1)


def _half_z_scores(x: jax.Array, known: jax.Array) -> jax.Array:
    """Bring every unit to mean 0 and standard deviation ½ over the known samples; or to 0."""
    weight = known.astype(x.dtype)[:, None]
    count = jnp.maximum(jnp.sum(weight), 1)
    # Divided by the largest, so that no square overflows or vanishes.
    largest = jax.lax.stop_gradient(jnp.max(jnp.abs(x) * weight, 0))
    x = x / jnp.where(largest > 0, largest, 1)[None]
    x = (x - (jnp.sum(x * weight, 0) / count)[None]) * weight
    variance = jnp.sum(x**2, 0) / count
    # What rounding makes of a unit that never changes is no variance.
    varies = variance > (4 * jnp.finfo(x.dtype).eps) ** 2
    scale = jnp.where(varies, 2 * jnp.sqrt(jnp.where(varies, variance, 1)), 1)
    return jnp.where(varies[None], x / scale[None], 0)


def _distances(
    where: str, x: jax.Array, labels: jax.Array, num_classes: int, batch_size: int
) -> tuple[jax.Array, jax.Array]:
    """Add up the distances of each sample to all of each class; and count the classes."""

    def to_all(row: jax.Array) -> jax.Array:
        return class_sums(root(jnp.sum((x - row[None]) ** 2, 1)), labels, num_classes)

    sums = chunked_map(where, to_all, x, batch_size)
    counts = class_sums(jnp.ones(len(x), x.dtype), labels, num_classes)
    return sums, counts
