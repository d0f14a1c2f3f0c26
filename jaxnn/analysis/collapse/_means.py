r"""Class means, and how tightly samples gather around them.

Sources: "Prevalence of Neural Collapse during the terminal phase of deep learning training"
(2020) for the within-class variability NC1 and the nearest-centre rule NC4; "On the Role of
Neural Collapse in Transfer Learning" (2021), definition 1, for the class-distance normalised
variance.

=======  ==================================================================
h        ``features``, ``(samples, units)``, mostly those before the last layer
y, K     ``labels`` and ``num_classes``
μ_c      the mean of class c, and μ the mean of the μ_c
v_c      the mean squared distance of class c's samples from μ_c
=======  ==================================================================

Every class counts the same, whatever its number of samples, and one without samples not at all.
Samples whose label is not in 0, ..., K - 1 are left out: -1 marks padding.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxnn._check import require, require_array
from jaxnn._numeric import accumulation_dtype
from jaxnn.analysis._labels import class_sums, labelled


class ClassMeans(NamedTuple):
    """What :func:`class_means` gives, in float32 or wider.

    Attributes:
      counts: samples of each class.
      means: μ_c; zero for a class without samples.
      variances: v_c, summed over the units; zero for a class without samples.
    """

    counts: Float[Array, " classes"]
    means: Float[Array, "classes units"]
    variances: Float[Array, " classes"]

    @property
    def centred(self) -> Float[Array, "classes units"]:
        """The means less the mean of the means; zero for a class without samples."""
        present = self.counts > 0
        middle = jnp.sum(self.means, 0) / jnp.maximum(jnp.sum(present), 1).astype(self.means.dtype)
        return jnp.where(present[:, None], self.means - middle[None], 0)


def class_means(
    features: Float[Array, "samples units"], labels: Int[Array, " samples"], *, num_classes: int
) -> ClassMeans:
    r"""Measure where each class lies and how far it spreads.

    .. math:: μ_c = \mathrm{mean}_{i: y_i = c} \, h_i, \quad
       v_c = \mathrm{mean}_{i: y_i = c} \, \|h_i - μ_c\|^2

    Args:
      features: h.
      labels: y.
      num_classes: K.

    Returns:
      Counts, means and variances of each class.

    Raises:
      TypeError: ``features`` is not an array of floating-point numbers, or ``labels`` of integers.
      ValueError: shapes disagree, or fewer than two classes.

    Example:
      >>> x, y = jnp.array([[1.0, 0.0], [3.0, 0.0], [0.0, 5.0]]), jnp.array([0, 0, 1])
      >>> statistics = class_means(x, y, num_classes=2)
      >>> statistics.means.tolist(), statistics.variances.tolist()
      ([[2.0, 0.0], [0.0, 5.0]], [1.0, 0.0])
    """
    features, labels = labelled("class_means", features, labels, num_classes)
    return _statistics(features, labels, num_classes)[0]


@partial(jax.jit, static_argnames="num_classes", inline=True)
def _statistics(
    features: jax.Array, labels: jax.Array, num_classes: int
) -> tuple[ClassMeans, jax.Array, jax.Array]:
    """Give the statistics, each sample's distance vector from its mean, and 1 / its count."""
    ones = jnp.ones(len(features), features.dtype)
    counts = class_sums(ones, labels, num_classes)
    inverse = 1 / jnp.maximum(counts, 1)
    means = class_sums(features, labels, num_classes) * inverse[:, None]
    known = labels < num_classes
    own = jnp.minimum(labels, num_classes - 1)
    apart = jnp.where(known[:, None], features - means[own], 0)
    variances = class_sums(jnp.sum(apart**2, 1), labels, num_classes) * inverse
    share = jnp.where(known, inverse[own], 0)
    return ClassMeans(counts, means, variances), apart, share


def within_class_variability(
    features: Float[Array, "samples units"], labels: Int[Array, " samples"], *, num_classes: int
) -> Float[Array, ""]:
    r"""Measure NC1: how much samples vary about their class means, relative to the means.

    .. math:: \tfrac{1}{K} \mathrm{tr}(Σ_W Σ_B^+), \quad
       Σ_W = \mathrm{mean}_c \, \mathrm{mean}_{i: y_i = c} (h_i - μ_c)(h_i - μ_c)^T, \quad
       Σ_B = \mathrm{mean}_c (μ_c - μ)(μ_c - μ)^T

    with Σ⁺ the pseudo-inverse. Neither matrix is formed: with M the K centred means as rows,
    it is the mean of :math:`\|(h_i - μ_{y_i}) M^+\|^2`. It does not change under rotation or
    scaling of h, nor under any invertible linear map if d = K - 1.

    Args:
      features: h.
      labels: y.
      num_classes: K.

    Returns:
      0 where every class has collapsed to a point, the more the classes overlap. Directions in
      which the means do not differ are not counted, so means that all coincide give 0 too.

    Raises:
      TypeError: ``features`` is not an array of floating-point numbers, or ``labels`` of integers.
      ValueError: shapes disagree, or fewer than two classes.

    Differs: some codes weigh classes by their counts; it is the same for equal counts.

    Example:
      >>> x, y = jnp.array([[0.0], [2.0], [10.0], [12.0]]), jnp.array([0, 0, 1, 1])
      >>> print(within_class_variability(x, y, num_classes=2).round(4))  # 1 / 25 / 2
      0.02
    """
    where = "within_class_variability"
    features, labels = labelled(where, features, labels, num_classes)
    return _within(features, labels, num_classes)


@partial(jax.jit, static_argnames="num_classes", inline=True)
def _within(features: jax.Array, labels: jax.Array, num_classes: int) -> jax.Array:
    statistics, apart, share = _statistics(features, labels, num_classes)
    inverse = jnp.linalg.pinv(statistics.centred)
    seen = jnp.sum(jnp.dot(apart, inverse, precision=jax.lax.Precision.HIGHEST) ** 2, 1)
    return jnp.sum(share * seen) / jnp.maximum(jnp.sum(statistics.counts > 0), 1).astype(seen.dtype)


def class_distance_variance(
    features: Float[Array, "samples units"], labels: Int[Array, " samples"], *, num_classes: int
) -> Float[Array, ""]:
    r"""Measure the class-distance normalised variance (CDNV), the mean over pairs of classes.

    .. math:: \mathrm{mean}_{c \ne c'} \; \frac{v_c + v_{c'}}{2 \, \|μ_c - μ_{c'}\|^2}

    The error of the nearest-mean rule from n samples a class is of the order of
    :math:`(1 + 1/n)` times it.

    Args:
      features: h.
      labels: y.
      num_classes: K; those without samples are left out.

    Returns:
      0 where every class has collapsed to a point of its own; d s² / D² for isotropic clouds of
      standard deviation s in d dimensions, D apart; infinity where two means coincide. 0 if fewer
      than two classes have samples.

    Raises:
      TypeError: ``features`` is not an array of floating-point numbers, or ``labels`` of integers.
      ValueError: shapes disagree, or fewer than two classes.

    Example:
      >>> x, y = jnp.array([[0.0], [2.0], [10.0], [10.0]]), jnp.array([0, 0, 1, 1])
      >>> print(class_distance_variance(x, y, num_classes=2).round(5))  # 1 / (2 * 81)
      0.00617
    """
    where = "class_distance_variance"
    features, labels = labelled(where, features, labels, num_classes)
    return _distance_variance(features, labels, num_classes)


@partial(jax.jit, static_argnames="num_classes", inline=True)
def _distance_variance(features: jax.Array, labels: jax.Array, num_classes: int) -> jax.Array:
    statistics = _statistics(features, labels, num_classes)[0]
    present = statistics.counts > 0
    pairs = present[:, None] & present[None] & ~jnp.eye(num_classes, dtype=bool)
    means, variances = statistics.means, statistics.variances
    square = jnp.sum((means[:, None] - means[None]) ** 2, -1)
    ratio = (variances[:, None] + variances[None]) / (2 * jnp.where(pairs, square, 1))
    count = jnp.maximum(jnp.sum(pairs), 1).astype(square.dtype)
    # Two points in one place are not told apart either: no 0 / 0.
    ratio = jnp.where(square > 0, ratio, jnp.inf)
    return jnp.sum(jnp.where(pairs, ratio, 0)) / count


def nearest_centre(
    features: Float[Array, "*batch units"], centres: Float[Array, "classes units"]
) -> Int[Array, "*batch"]:
    r"""Classify by the nearest centre.

    .. math:: \mathrm{argmin}_c \, \|h - μ_c\|

    Args:
      features: h.
      centres: μ, mostly ``class_means(...).means`` of a few labelled samples.

    Returns:
      Classes as int32, the first of several as near.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: the numbers of units disagree, or there are no centres.

    Example:
      >>> nearest_centre(jnp.array([[1.0], [7.0]]), jnp.array([[0.0], [10.0]])).tolist()
      [0, 1]
    """
    return _nearest("nearest_centre", features, centres)


def nearest_centre_agreement(
    features: Float[Array, "samples units"],
    centres: Float[Array, "classes units"],
    outputs: Float[Array, "samples classes"],
) -> Float[Array, ""]:
    r"""Measure NC4: how often the classifier and the nearest class mean say the same.

    .. math:: \mathrm{mean}_i \, [\, \mathrm{argmax}_c z_{ic} = \mathrm{argmin}_c \|h_i - μ_c\| \,]

    Args:
      features: h.
      centres: μ, the means of the training data.
      outputs: z, the classifier's logits for h.

    Returns:
      A fraction, 1 under neural collapse.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: shapes disagree.

    Example:
      >>> h, centres = jnp.array([[1.0], [7.0]]), jnp.array([[0.0], [10.0]])
      >>> nearest_centre_agreement(h, centres, jnp.array([[2.0, 1.0], [2.0, 1.0]])).item()
      0.5
    """
    where = "nearest_centre_agreement"
    nearest = _nearest(where, features, centres)
    require_array(where, outputs=outputs)
    shape = (*features.shape[:-1], len(centres))
    require(outputs.shape == shape, where, "outputs", outputs, f"shape {shape}")
    require(nearest.size > 0, where, "features", features, "at least one sample")
    same = jnp.argmax(outputs, -1).astype(jnp.int32) == nearest
    return jnp.mean(same, dtype=accumulation_dtype(features.dtype))


def _nearest(where: str, features: jax.Array, centres: jax.Array) -> jax.Array:
    require_array(where, features=features, centres=centres)
    ok = centres.ndim == 2 and len(centres) > 0
    require(ok, where, "centres", centres, "shape (classes, units), with at least one class")
    ok = features.ndim > 0 and features.shape[-1] == centres.shape[-1]
    require(ok, where, "features", features, f"shape (*batch, {centres.shape[-1]})")
    wide = jnp.promote_types(accumulation_dtype(features.dtype), accumulation_dtype(centres.dtype))
    features, centres = features.astype(wide), centres.astype(wide)
    # Seen from their middle, centres far from the origin lose no digits.
    middle = jnp.mean(centres, 0)
    centres = centres - middle[None]
    features = features - jnp.broadcast_to(middle, features.shape)
    products = jnp.dot(features, centres.T, precision=jax.lax.Precision.HIGHEST)
    squares = jnp.broadcast_to(jnp.sum(centres**2, 1), products.shape)
    return jnp.argmin(squares - 2 * products, -1).astype(jnp.int32)
