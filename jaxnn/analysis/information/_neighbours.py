r"""Entropy and information from distances to nearest neighbours, in nats.

Sources: "Estimating mutual information" (2004) for both, after Kozachenko and Leonenko (1987);
"Mutual Information between Discrete and Continuous Data Sets" (2014) for labels; "Information
Bottleneck Analysis of Deep Neural Networks via Lossy Compression" (2023), which takes them of
compressed activations: they serve for a few dimensions, and come out far too low in many.

=======  ==================================================================
x        samples of a continuous variable, ``(samples, dimensions)``
k        ``neighbours``
d        dimensions
ψ        the digamma function
=======  ==================================================================

Distances are maximum norms, so that all dimensions should have about the same scale.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma
from jaxtyping import Array, Float, Int

from jaxnn._check import require, require_array, require_count
from jaxnn._numeric import accumulation_dtype
from jaxnn.analysis._function import chunked_map
from jaxnn.analysis._labels import require_labels

ROWS = 16  # of the samples whose distances to all others are held at once


def knn_entropy(
    x: Float[Array, "samples dimensions"], *, neighbours: int = 3, batch_size: int = ROWS
) -> Float[Array, ""]:
    r"""Estimate a differential entropy by Kozachenko and Leonenko, in nats.

    .. math:: ψ(n) - ψ(k) + d \ln 2 + \tfrac{d}{n} \sum_i \ln ε_i

    with ε the distance to the k-th nearest of the other samples, in the maximum norm, whose unit
    ball has the volume 2ᵈ.

    Args:
      x: samples; minus infinity comes out if more than k of them are the same.
      neighbours: k: fewer have less bias, more have less variance.
      batch_size: samples whose distances to all others are held at once.

    Returns:
      The entropy; adds ln c for each dimension that is scaled by c. float32 or wider.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: it has other than two axes, or no more than k samples.

    Example:
      >>> x = jnp.sin(jnp.arange(200.0))[:, None]
      >>> print((knn_entropy(3 * x) - knn_entropy(x)).round(4))  # ln 3
      1.0986
    """
    where = "knn_entropy"
    x = _samples(where, "x", x, neighbours)
    return _entropy(x, neighbours, batch_size)


@partial(jax.jit, static_argnums=(1, 2), inline=True)
def _entropy(x: jax.Array, neighbours: int, batch_size: int) -> jax.Array:
    samples, dimensions = x.shape

    def radius(sample: tuple[jax.Array, jax.Array]) -> jax.Array:
        index, row = sample
        return _kth(_distances(x, row), index, neighbours)

    index = jnp.arange(samples, dtype=jnp.int32)
    logs = jnp.log(chunked_map("knn_entropy", radius, (index, x), batch_size))
    constant = _digamma(samples, x.dtype) - _digamma(neighbours, x.dtype)
    return constant + dimensions * (math.log(2) + jnp.mean(logs))


def knn_mutual_information(
    x: Float[Array, "samples dimensions"],
    y: Float[Array, "samples others"],
    *,
    neighbours: int = 3,
    batch_size: int = ROWS,
) -> Float[Array, ""]:
    r"""Estimate the mutual information of two continuous variables (KSG, the first), in nats.

    .. math:: ψ(n) + ψ(k) - \tfrac{1}{n} \sum_i \left( ψ(n_{x,i} + 1) + ψ(n_{y,i} + 1) \right)

    with :math:`n_{x,i}` the number of other samples nearer to sample i, in x alone, than the k-th
    nearest in x and y together.

    Args:
      x: samples of one variable.
      y: of the other, for the same samples. Scaling either changes little, and nothing if both
        are scaled alike.
      neighbours: k.
      batch_size: samples whose distances to all others are held at once.

    Returns:
      The mutual information, which may come out a little below 0; as scikit-learn's
      ``mutual_info_regression``, which cuts there. float32 or wider.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: it has other than two axes, or no more than k samples, or the samples disagree.

    Example:
      >>> x = jnp.sin(jnp.arange(300.0))[:, None]
      >>> knn_mutual_information(x, x**3).item() > 2
      True
    """
    where = "knn_mutual_information"
    x, y = _samples(where, "x", x, neighbours), _samples(where, "y", y, neighbours)
    require(len(x) == len(y), where, "y", y, f"{len(x)} samples, as many as `x`")
    wide = jnp.promote_types(x.dtype, y.dtype)
    return _mutual(x.astype(wide), y.astype(wide), neighbours, batch_size)


@partial(jax.jit, static_argnums=(2, 3), inline=True)
def _mutual(x: jax.Array, y: jax.Array, neighbours: int, batch_size: int) -> jax.Array:
    samples = len(x)

    def terms(sample: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        index, x_row, y_row = sample
        in_x, in_y = _distances(x, x_row), _distances(y, y_row)
        radius = _kth(jnp.maximum(in_x, in_y), index, neighbours)
        # Nearer by any bit; the sample itself is the one that is added.
        counts = jnp.stack([jnp.sum(d < radius[None]) for d in (in_x, in_y)])
        return jnp.sum(digamma(jnp.maximum(counts, 1).astype(x.dtype)))

    index = jnp.arange(samples, dtype=jnp.int32)
    mean = jnp.mean(chunked_map("knn_mutual_information", terms, (index, x, y), batch_size))
    return _digamma(samples, x.dtype) + _digamma(neighbours, x.dtype) - mean


def knn_label_information(
    x: Float[Array, "samples dimensions"],
    labels: Int[Array, " samples"],
    *,
    neighbours: int = 3,
    batch_size: int = ROWS,
) -> Float[Array, ""]:
    r"""Estimate the mutual information of a continuous variable and labels, in nats.

    .. math:: ψ(n) + ψ(k) - \tfrac{1}{n} \sum_i \left( ψ(n_{y_i}) + ψ(m_i + 1) \right)

    with m the number of other samples nearer to sample i than the k-th nearest of its own label,
    and n_y the number of samples of label y.

    Args:
      x: samples.
      labels: y, of more than k samples each.
      neighbours: k.
      batch_size: samples whose distances to all others are held at once.

    Returns:
      The mutual information, which may come out a little below 0; as scikit-learn's
      ``mutual_info_classif``, which cuts there. float32 or wider.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers, or ``labels`` of integers.
      ValueError: ``x`` has other than two axes, or no more than k samples, or shapes disagree.

    Example:
      >>> x, labels = jnp.arange(100.0)[:, None], jnp.arange(100) // 50
      >>> 0.65 < knn_label_information(x, labels).item() < 0.7  # ln 2
      True
    """
    where = "knn_label_information"
    x = _samples(where, "x", x, neighbours)
    require_labels(where, labels, len(x))
    return _label(x, jnp.asarray(labels), neighbours, batch_size)


@partial(jax.jit, static_argnums=(2, 3), inline=True)
def _label(x: jax.Array, labels: jax.Array, neighbours: int, batch_size: int) -> jax.Array:
    def terms(sample: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        index, row, label = sample
        apart = _distances(x, row)
        own = labels == label[None]
        radius = _kth(jnp.where(own, apart, jnp.inf), index, neighbours)
        counts = jnp.stack([jnp.sum(own), jnp.sum(apart < radius[None])])
        return jnp.sum(digamma(jnp.maximum(counts, 1).astype(x.dtype)))

    index = jnp.arange(len(x), dtype=jnp.int32)
    mean = jnp.mean(chunked_map("knn_label_information", terms, (index, x, labels), batch_size))
    return _digamma(len(x), x.dtype) + _digamma(neighbours, x.dtype) - mean


def _samples(where: str, argument: str, value: jax.Array, neighbours: int) -> jax.Array:
    """Check samples and the number of neighbours; widen the samples."""
    require_array(where, floating=True, **{argument: value})
    require_count(where, neighbours=neighbours)
    ok = value.ndim == 2 and value.shape[1] > 0
    require(ok, where, argument, value, "shape (samples, dimensions), with a dimension")
    needs = f"more than {neighbours} samples, the neighbours of each"
    require(len(value) > neighbours, where, argument, value, needs)
    return jnp.asarray(value).astype(accumulation_dtype(value.dtype))


def _distances(x: jax.Array, row: jax.Array) -> jax.Array:
    return jnp.max(jnp.abs(x - row[None]), 1)


def _kth(distances: jax.Array, index: jax.Array, neighbours: int) -> jax.Array:
    """Give the k-th smallest distance to another sample than the one of that index."""
    others = distances.at[index].set(jnp.inf)
    return -jax.lax.top_k(-others, neighbours)[0][-1]


def _digamma(count: int, dtype: jnp.dtype) -> jax.Array:
    return digamma(jnp.asarray(count, dtype))
