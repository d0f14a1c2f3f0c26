r"""Activations that are no function of one number: of halves, of groups, or of chance.

===========  ==============================================================
x            input, ``(*batch, features)``
φ            ``activation``, applied to the gate
l, u         ``lower`` and ``upper``, bounds of the slopes
===========  ==============================================================
"""

from collections.abc import Callable
from numbers import Real

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count, require_key, require_rank
from jaxnn._numeric import accumulation_dtype


def concatenated_relu(x: Float[Array, "*batch features"]) -> Float[Array, "*batch doubled"]:
    r"""Rectify an array and its negative, side by side on the last axis.

    .. math:: y = [\max(x, 0), \max(-x, 0)]

    Source: "Understanding and Improving Convolutional Neural Networks via Concatenated
    Rectified Linear Units" (2016).

    Args:
      x: any leading axes, then features.

    Returns:
      An array of twice as many features, in the dtype of ``x``.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: ``x`` has no axis.

    Example:
      >>> concatenated_relu(jnp.array([2.0, -3.0])).tolist()
      [2.0, 0.0, 0.0, 3.0]
    """
    require_array("concatenated_relu", x=x)
    require_rank("concatenated_relu", "x", x, 1, "(*batch, features)")
    return jnp.concatenate([jax.nn.relu(x), jax.nn.relu(-x)], axis=-1)


def maxout(x: Float[Array, "*batch features"], pieces: int = 2) -> Float[Array, "*batch units"]:
    r"""Take the largest of each group of neighbouring features.

    .. math:: y_i = \max_{0 \le k < p} x_{p i + k}

    Source: "Maxout Networks" (2013).

    Args:
      x: any leading axes, then features.
      pieces: features a unit, p.

    Returns:
      An array of features / p units, in the dtype of ``x``.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: the features do not divide into groups of ``pieces``.

    Example:
      >>> maxout(jnp.array([1.0, 5.0, -2.0, -3.0])).tolist()
      [5.0, -2.0]
    """
    require_array("maxout", x=x)
    require_rank("maxout", "x", x, 1, "(*batch, features)")
    require_count("maxout", pieces=pieces)
    features = x.shape[-1]
    require(features % pieces == 0, "maxout", "x", x, f"features in groups of {pieces}")
    return jnp.max(x.reshape(*x.shape[:-1], features // pieces, pieces), axis=-1)


def gated_linear_unit(
    x: Float[Array, "*batch features"],
    activation: Callable[[jax.Array], jax.Array] = jax.nn.sigmoid,
) -> Float[Array, "*batch halved"]:
    r"""Multiply the first half of the features by an activation of the second.

    .. math:: y = x_1 \, \phi(x_2)

    With sigmoid it is GLU, with the identity, ReLU, GELU and SiLU the bilinear unit, ReGLU,
    GEGLU and SwiGLU. :class:`~jaxnn.layers.feedforward.GatedFeedForward` has the maps too.

    Source: "Language Modeling with Gated Convolutional Networks" (2016).

    Args:
      x: any leading axes, then an even number of features.
      activation: φ, element by element.

    Returns:
      An array of half as many features, in the dtype of ``x``.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: ``x`` has no axis or an odd number of features.

    Example:
      >>> gated_linear_unit(jnp.array([2.0, 3.0, -1.0, 4.0]), jax.nn.relu).tolist()
      [0.0, 12.0]
    """
    require_array("gated_linear_unit", x=x)
    require_rank("gated_linear_unit", "x", x, 1, "(*batch, features)")
    require(x.shape[-1] % 2 == 0, "gated_linear_unit", "x", x, "an even number of features")
    value, gate = jnp.split(x, 2, axis=-1)
    return value * activation(gate)


def randomized_leaky_relu(
    x: Float[Array, "..."],
    key: jax.Array | None = None,
    *,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
) -> Float[Array, "..."]:
    r"""Scale each entry below zero by a slope of its own, drawn at random; in use by the mean.

    .. math:: y = \begin{cases} x & x > 0 \\ a x & x \le 0 \end{cases}, \quad a \sim U(l, u)

    Source: "Empirical Evaluation of Rectified Activations in Convolutional Network" (2015).

    Args:
      x: an array of any shape.
      key: draws the slopes; all are (l + u) / 2 if ``None``.
      lower: smallest slope l.
      upper: largest slope u.

    Returns:
      An array of the shape and dtype of ``x``.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers, or ``key`` is no key.
      ValueError: ``upper`` is not a number of at least ``lower``.

    Example:
      >>> randomized_leaky_relu(jnp.array([-2.0, 3.0]), lower=0.0, upper=1.0).tolist()
      [-1.0, 3.0]
    """
    where = "randomized_leaky_relu"
    require_array(where, x=x)
    require(isinstance(lower, Real), where, "lower", lower, "a number")
    ordered = isinstance(upper, Real) and lower <= upper
    require(ordered, where, "upper", upper, f"a number of at least `lower`, {lower}")
    if key is None:
        return jnp.where(x > 0, x, (lower + upper) / 2 * x)
    require_key(where, key)
    # One draw for all dtypes: bfloat16 could not hold most of them.
    wide = accumulation_dtype(x.dtype)
    slopes = jax.random.uniform(key, x.shape, wide, lower, upper)
    wider = x.astype(wide)
    return jnp.where(wider > 0, wider, slopes * wider).astype(x.dtype)
