r"""Losses of the spherical family: of all outputs they see sum, sum of squares, and the label's.

======  ======================================================
o       ``outputs``, one per class, D of them
y       ``targets``, the label
μ, σ    mean and standard deviation of the outputs of one row
a, b    ``sharpness``, ``shift``
x, W    input ``(*batch, inputs)`` and ``kernel`` ``(inputs, D)`` of a linear layer, o = x W
w_y     the label's column of W
======  ======================================================

With :math:`\bar w` the mean of the columns of W and :math:`G = (W - \bar w 1^\top)
(W - \bar w 1^\top)^\top`, a linear layer's outputs have :math:`\mu = x \bar w` and
:math:`\sigma^2 = x G x^\top / D`: one row's loss and its gradient for x cost the square of the
inputs, whatever D.

Sources: "The Z-loss: a shift and scale invariant classification loss belonging to the Spherical
Family" (2016); "An Exploration of Softmax Alternatives Belonging to the Spherical Loss Family"
(2015); "Efficient Exact Gradient Update for Training Deep Networks with Very Large Sparse Targets"
(2014) for the factors.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Integer

from jaxnn._check import require, require_array, require_count, require_positive, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.train.losses._classification import _check, _of_label


class SphericalFactors(NamedTuple):
    """What the spherical family needs of a linear layer's kernel besides the label's column.

    Attributes:
      mean: of the columns.
      gram: G, sums over columns of products of their differences from the mean.
    """

    mean: Float[Array, " inputs"]
    gram: Float[Array, "inputs inputs"]


def spherical_z_loss(
    outputs: Float[Array, "*batch classes"],
    targets: Integer[Array, "*batch"],
    *,
    sharpness: float = 1.0,
    shift: float = 1.0,
) -> Float[Array, "*batch"]:
    r"""Give the Z-loss: the softplus of how far the label's standard score is below a shift.

    .. math:: \ell = \frac{1}{a} \log\big(1 + e^{a (b - z_y)}\big), \quad
        z_c = \frac{o_c - \mu}{\sigma}

    Shifting all outputs or scaling them by a positive number changes nothing, so a network cannot
    lower it by growing. It is another thing than the ``z_loss`` of :func:`cross_entropy`.

    Args:
      outputs: one per class.
      targets: integer labels in [0, classes); others give NaN.
      sharpness: a; the larger, the less is gained above b.
      shift: b. Standard scores are between :math:`\pm \sqrt{D - 1}`.

    Returns:
      One value per label, in float32 or wider. Where all outputs are the same up to rounding, z
      counts as 0, without a gradient.

    Raises:
      TypeError: ``outputs`` are not floating-point or ``targets`` not integers.
      ValueError: the leading shapes differ, or ``sharpness`` is not positive.

    Example:
      >>> outputs = jnp.array([[1.0, -1.0]])
      >>> spherical_z_loss(outputs, jnp.array([0]), shift=1.0).round(3).tolist()
      [0.693]
    """
    outputs, targets = _check("spherical_z_loss", outputs, targets)
    require_positive("spherical_z_loss", sharpness=sharpness)
    wide = accumulation_dtype(outputs.dtype)
    # Scaled first, as changes nothing: squares of large numbers are infinite.
    o = outputs.astype(wide)
    o = o / _size(o)
    centred = o - jnp.mean(o, axis=-1, keepdims=True)
    rounding = 4 * jnp.finfo(wide).eps
    flat = jnp.max(jnp.abs(centred), axis=-1, keepdims=True) <= rounding
    unit = centred / jnp.where(flat, 1, _size(centred))
    deviation = jnp.sqrt(jnp.where(flat, 1, jnp.mean(unit**2, axis=-1, keepdims=True)))
    z = jnp.where(flat, 0, unit / deviation)
    return _softplus(_of_label(z, targets), sharpness, shift)


def spherical_factors(kernel: Float[Array, "inputs classes"]) -> SphericalFactors:
    """Give the factors of a linear layer's kernel, once for all rows.

    Args:
      kernel: W, a column per class.

    Returns:
      The factors, in float32 or wider.

    Raises:
      TypeError: ``kernel`` is not an array of floating-point numbers.
      ValueError: it has not two axes.
    """
    where = "spherical_factors"
    require_array(where, kernel=kernel)
    require(kernel.ndim == 2, where, "kernel", kernel, "shape (inputs, classes)")
    columns = jnp.asarray(kernel, accumulation_dtype(kernel.dtype))
    mean = jnp.mean(columns, axis=1)
    centred = columns - mean[:, None]
    return SphericalFactors(mean, jnp.dot(centred, centred.T, precision="highest"))


def factored_z_loss(
    x: Float[Array, "*batch inputs"],
    column: Float[Array, "*batch inputs"],
    factors: SphericalFactors,
    *,
    classes: int,
    sharpness: float = 1.0,
    shift: float = 1.0,
) -> Float[Array, "*batch"]:
    r"""Give the Z-loss of a linear layer's outputs without computing them.

    .. math:: z_y = \frac{x (w_y - \bar w)}{\sqrt{x G x^\top / D}}

    It is ``spherical_z_loss(x @ kernel, targets)`` for ``column = kernel.T[targets]`` and
    ``factors = spherical_factors(kernel)``; cost and gradient for x and the column do not depend
    on D. Factors that are kept while the kernel changes must be kept up to date by the caller;
    differentiated through, they are as dear as the layer.

    Args:
      x: the linear layer's input.
      column: w_y, the label's column of the kernel.
      factors: of the same kernel.
      classes: D.
      sharpness: a.
      shift: b.

    Returns:
      One value per row, in float32 or wider. Where all outputs are the same up to rounding, z
      counts as 0, without a gradient.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: shapes disagree, ``classes`` is no whole number above zero, or ``sharpness`` is
        not positive.
    """
    where = "factored_z_loss"
    mean, gram = factors
    require_array(where, x=x, column=column, mean=mean, gram=gram)
    require_rank(where, "x", x, 1, "(*batch, inputs)")
    require(column.shape == x.shape, where, "column", column, f"shape {x.shape}, that of `x`")
    inputs = x.shape[-1]
    require(mean.shape == (inputs,), where, "factors.mean", mean, f"shape {(inputs,)}")
    require(gram.shape == 2 * (inputs,), where, "factors.gram", gram, f"shape {2 * (inputs,)}")
    require_count(where, classes=classes)
    require_positive(where, sharpness=sharpness)
    wide = accumulation_dtype(x.dtype)
    rows, column, mean, gram = (jnp.asarray(v, wide) for v in (x, column, mean, gram))
    rows = rows / _size(rows)
    products = jnp.matmul(rows, gram, precision="highest")
    variance = jnp.sum(products * rows, axis=-1) / classes
    # What x G x could be, were x along the gram's largest direction.
    scale = lax.stop_gradient(jnp.trace(gram)) * jnp.sum(lax.stop_gradient(rows) ** 2, axis=-1)
    flat = variance * classes <= jnp.finfo(wide).eps * scale
    along = jnp.sum(rows * (column - jnp.broadcast_to(mean, column.shape)), axis=-1)
    z = jnp.where(flat, 0, along / jnp.sqrt(jnp.where(flat, 1, variance)))
    return _softplus(z, sharpness, shift)


def spherical_cross_entropy(
    outputs: Float[Array, "*batch classes"],
    targets: Integer[Array, "*batch"],
    *,
    epsilon: float = 1e-3,
) -> Float[Array, "*batch"]:
    r"""Give the negative log-likelihood of each label under the spherical softmax, in nats.

    .. math:: \ell = -\log \frac{o_y^2 + \epsilon}{\sum_c (o_c^2 + \epsilon)}

    Outputs and their negatives are as good; without ε scaling them would change nothing.

    Args:
      outputs: one per class.
      targets: integer labels in [0, classes); others give NaN.
      epsilon: ε, above zero, so that the logarithm is finite at zero.

    Returns:
      One value per label, in float32 or wider.

    Raises:
      TypeError: ``outputs`` are not floating-point or ``targets`` not integers.
      ValueError: the leading shapes differ, or ``epsilon`` is not positive.
    """
    outputs, targets = _check("spherical_cross_entropy", outputs, targets)
    require_positive("spherical_cross_entropy", epsilon=epsilon)
    wide = accumulation_dtype(outputs.dtype)
    scale, o = _scaled(outputs.astype(wide))
    return _log_loss(o**2 + epsilon / scale**2, targets)


def taylor_cross_entropy(
    outputs: Float[Array, "*batch classes"], targets: Integer[Array, "*batch"]
) -> Float[Array, "*batch"]:
    r"""Give the negative log-likelihood of each label under the Taylor softmax, in nats.

    .. math:: \ell = -\log \frac{1 + o_y + o_y^2 / 2}{\sum_c (1 + o_c + o_c^2 / 2)}

    the softmax with the exponential's series up to the square, which is 1/2 at least.

    Args:
      outputs: one per class.
      targets: integer labels in [0, classes); others give NaN.

    Returns:
      One value per label, in float32 or wider.

    Raises:
      TypeError: ``outputs`` are not floating-point or ``targets`` not integers.
      ValueError: the leading shapes differ.
    """
    outputs, targets = _check("taylor_cross_entropy", outputs, targets)
    scale, o = _scaled(outputs.astype(accumulation_dtype(outputs.dtype)))
    # ((o + 1)² + 1) / 2: a sum of squares loses nothing where 1 + o is close to zero.
    return _log_loss(((o + 1 / scale) ** 2 + 1 / scale**2) / 2, targets)


def _size(values: jax.Array) -> jax.Array:
    """Give each row's largest magnitude, or 1 where that is 0; no gradient."""
    size = jnp.max(jnp.abs(lax.stop_gradient(values)), axis=-1, keepdims=True)
    return jnp.where(size == 0, 1, size)


def _scaled(outputs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Give a scale of at least 1 and the outputs divided by it, whose squares are finite."""
    scale = jnp.maximum(_size(outputs), 1)
    return scale, outputs / scale


def _log_loss(shares: jax.Array, targets: jax.Array) -> jax.Array:
    return jnp.log(jnp.sum(shares, axis=-1)) - jnp.log(_of_label(shares, targets))


def _softplus(z: jax.Array, sharpness: float, shift: float) -> jax.Array:
    return jax.nn.softplus(sharpness * (shift - z)) / sharpness
