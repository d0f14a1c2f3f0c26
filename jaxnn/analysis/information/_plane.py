r"""The information plane: what each layer knows of its input, and what of the labels.

A network without noise maps every input to one T: of discrete states, I(X; T) is H(T), and
I(T; Y) = H(T) - H(T | Y). Its true value for continuous T is infinite, so that what is estimated
depends on how T is made coarse, by bins or noise: compare figures of one estimator only.

Sources: "Opening the Black Box of Deep Neural Networks via Information" (2017);
"Adaptive Estimators Show Information Compression in Deep Neural Networks" (2019), whose
adaptive estimators make T coarse in proportion to its size.

=======  ==================================================================
t        activations of one layer, ``(samples, *units)``, one row for each input
y        labels
=======  ==================================================================
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxnn._check import require, require_array, require_positive
from jaxnn._numeric import accumulation_dtype
from jaxnn.analysis._labels import require_labels
from jaxnn.analysis.information._discrete import (
    bin_quantile,
    bin_uniform,
    discrete_entropy,
    discrete_mutual_information,
)
from jaxnn.analysis.information._mixture import mixture_bounds


class Information(NamedTuple):
    """A point of the information plane, in nats.

    Attributes:
      inputs: I(X; T), what the layer tells of the input.
      labels: I(T; Y), what it tells of the label.
    """

    inputs: Float[Array, ""]
    labels: Float[Array, ""]


Estimator = Callable[[jax.Array, jax.Array], Information]


def binned_information(
    t: Float[Array, "samples *units"],
    labels: Int[Array, " samples"],
    *,
    bins: int = 30,
    low: float | Float[Array, ""] = -1.0,
    high: float | Float[Array, ""] = 1.0,
) -> Information:
    r"""Estimate a layer's information with bins of equal width, in nats.

    Args:
      t: activations for different inputs, equally likely.
      labels: y.
      bins: for each unit.
      low: where the first bin begins; -1 for the hyperbolic tangent.
      high: where the last bin ends.

    Returns:
      I(X; T) = H(T) and I(T; Y) of the binned T; not above ln n for n samples.

    Raises:
      TypeError: ``t`` is not an array of floating-point numbers, or ``labels`` of integers.
      ValueError: shapes disagree, or a bad option of :func:`bin_uniform`.

    Example:
      >>> t = jnp.array([[-0.9], [-0.3], [0.3], [0.9]])
      >>> point = binned_information(t, jnp.array([0, 0, 1, 1]))
      >>> print((point.inputs / jnp.log(2)).round(4), (point.labels / jnp.log(2)).round(4))
      2.0 1.0
    """
    _check("binned_information", t, labels)
    return _counted(bin_uniform(t, bins=bins, low=low, high=high), labels)


def adaptive_binned_information(
    t: Float[Array, "samples *units"], labels: Int[Array, " samples"], *, bins: int = 30
) -> Information:
    r"""Estimate a layer's information with bins of equally many different values, in nats.

    Entropy-based adaptive binning: the edges follow the activations of this layer at this time,
    whatever their range, so that scaling them changes nothing. See :func:`bin_quantile`.

    Args:
      t: activations for different inputs, equally likely.
      labels: y.
      bins: for each unit; the edges are the same for all units.

    Returns:
      I(X; T) = H(T) and I(T; Y) of the binned T; not above ln n for n samples.

    Raises:
      TypeError: ``t`` is not an array of floating-point numbers, or ``labels`` of integers.
      ValueError: shapes disagree, or ``bins`` is not a whole number above zero.

    Example:
      >>> t = jnp.array([[0.0], [0.0], [3.0], [90.0]])
      >>> point = adaptive_binned_information(t, jnp.array([0, 0, 1, 1]))
      >>> print((point.inputs / jnp.log(2)).round(4), (point.labels / jnp.log(2)).round(4))
      1.5 1.0
    """
    _check("adaptive_binned_information", t, labels)
    return _counted(bin_quantile(t, bins=bins), labels)


def kde_information(
    t: Float[Array, "samples *units"],
    labels: Int[Array, " samples"],
    *,
    variance: float | Float[Array, ""] = 1e-3,
) -> Information:
    r"""Estimate a layer's information as if noise of one variance were added, in nats.

    Both numbers come from the upper bound of the entropy; see :func:`mixture_information`.

    Args:
      t: activations for different inputs, equally likely.
      labels: y.
      variance: of the noise, whatever the size of the activations.

    Returns:
      I(X; T), and I(T; Y) as the difference of the bounds for all samples and within labels.

    Raises:
      TypeError: ``t`` is not an array of floating-point numbers, or ``labels`` of integers.
      ValueError: shapes disagree, or ``variance`` is not above zero.

    Example:
      >>> t = jnp.array([[-3.0], [-1.0], [1.0], [3.0]])
      >>> point = kde_information(t, jnp.array([0, 0, 1, 1]))
      >>> print((point.inputs / jnp.log(2)).round(4), (point.labels / jnp.log(2)).round(4))
      2.0 1.0
    """
    where = "kde_information"
    _check(where, t, labels)
    if isinstance(variance, float | int):
        require_positive(where, variance=variance)
    return _noisy(_wide(t), labels, variance)


def adaptive_kde_information(
    t: Float[Array, "samples *units"], labels: Int[Array, " samples"], *, scale: float = 1e-3
) -> Information:
    r"""Estimate a layer's information as if noise in proportion to it were added, in nats.

    .. math:: σ^2 = c \, \max |t|^2

    Args:
      t: activations for different inputs, equally likely.
      labels: y.
      scale: c.

    Returns:
      As :func:`kde_information`; scaling ``t`` changes nothing.

    Raises:
      TypeError: ``t`` is not an array of floating-point numbers, or ``labels`` of integers.
      ValueError: shapes disagree, or ``scale`` is not above zero.

    Example:
      >>> t = jnp.array([[-3.0], [-1.0], [1.0], [3.0]])
      >>> point = adaptive_kde_information(1e6 * t, jnp.array([0, 0, 1, 1]))
      >>> print((point.inputs / jnp.log(2)).round(4), (point.labels / jnp.log(2)).round(4))
      2.0 1.0
    """
    where = "adaptive_kde_information"
    _check(where, t, labels)
    require_positive(where, scale=scale)
    wide = _wide(t)
    largest = jnp.max(jnp.abs(wide))
    # Relative to the largest, so that no square overflows or vanishes.
    return _noisy(wide / jnp.where(largest > 0, largest, 1), labels, scale)


def information_plane(
    activations: Mapping[str, Float[Array, "samples *units"]],
    labels: Int[Array, " samples"],
    *,
    estimator: Estimator = adaptive_binned_information,
) -> dict[str, Information]:
    r"""Estimate the information of every layer.

    Args:
      activations: name to activations, as :func:`jaxnn.analysis.activations.capture` gives them,
        for different inputs, equally likely.
      labels: y.
      estimator: called as ``estimator(t, labels)``; give options by :func:`functools.partial`.

    Returns:
      Name to its point; vmap over the networks, or times, of activations with a leading axis.

    Raises:
      TypeError: an array is not of floating-point numbers, or ``labels`` of integers.
      ValueError: shapes disagree, or no activations.

    Example:
      >>> layers = {"first": jnp.arange(4.0)[:, None], "second": jnp.array([[1.0], [1], [9], [9]])}
      >>> points = information_plane(layers, jnp.array([0, 0, 1, 1]))
      >>> {name: round(float(point.inputs / jnp.log(2)), 4) for name, point in points.items()}
      {'first': 2.0, 'second': 1.0}
    """
    where = "information_plane"
    require(len(activations) > 0, where, "activations", activations, "at least one layer")
    return {name: estimator(t, labels) for name, t in activations.items()}


def _check(where: str, t: jax.Array, labels: jax.Array) -> None:
    require_array(where, t=t)
    ok = t.ndim > 0 and t.size > 0
    require(ok, where, "t", t, "shape (samples, *units), none of them zero")
    require_labels(where, labels, len(t))


def _wide(t: jax.Array) -> jax.Array:
    rows = jnp.asarray(t).reshape(len(t), -1)
    return rows.astype(accumulation_dtype(rows.dtype))


def _counted(states: jax.Array, labels: jax.Array) -> Information:
    return Information(discrete_entropy(states), discrete_mutual_information(states, labels))


@partial(jax.jit, inline=True)
def _noisy(t: jax.Array, labels: jax.Array, variance: jax.Array | float) -> Information:
    every, within = mixture_bounds(t, jnp.asarray(variance, t.dtype), labels)
    return Information(every.upper, jnp.maximum(every.upper - within.upper, 0))
