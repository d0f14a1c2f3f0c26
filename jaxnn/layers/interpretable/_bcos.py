r"""B-cos units: linear maps scaled down by how far their input is from aligned with the weights.

.. math:: y_j = |c_j|^{B-1} \; \hat w_j \cdot x, \qquad
   c_j = \cos(x, w_j) = \frac{w_j \cdot x}{\lVert w_j \rVert \, \lVert x \rVert}

A network of them without biases is dynamically linear: :math:`f(x) = W(x)\,x`, where W(x) is
the product of its layers' weights, each row times its scale :math:`|c_j|^{B-1}`. The scale is
marked by the name ``dynamic`` (``jax.ad_checkpoint.checkpoint_name``), so that
:func:`jaxnn.analysis.attribution.dynamic_weights` finds it in any function and returns W(x).

===========  =============================================================
x            input, ``(*batch, inputs)``, or the taps of a convolution
w_j          column j of ``kernel``, ``(inputs, outputs)``; ŵ_j of length one
B            ``power``; 1 leaves a linear layer
===========  =============================================================

Source: "B-cos Networks: Alignment is All We Need for Interpretability" (2022), equations 3 to
10; weights that keep their length from "B-cosification: Transforming Deep Neural Networks to be
Inherently Interpretable" (2024).
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers._convolution import Padding, convolve, require_convolution


def bcos(
    x: Float[Array, "*batch inputs"],
    kernel: Float[Array, "inputs outputs"],
    bias: Float[Array, " outputs"] | None = None,
    *,
    power: float = 2.0,
    pieces: int = 1,
    normalize: bool = True,
) -> Float[Array, "*batch units"]:
    r"""Apply B-cos units to the last axis.

    .. math:: y_j = |\cos(x, w_j)|^{B-1} \; \hat w_j \cdot x

    Args:
      x: any leading axes, then features.
      kernel: the weights w as columns; of any length.
      bias: added to the outputs, before the largest piece is taken; none if ``None``. With it
        the output is no longer W(x) x, but that and an offset.
      power: B, at least 1.
      pieces: how many columns, side by side, compete for one unit: the largest is taken
        (MaxOut).
      normalize: whether the weights are brought to length one first. Without it the layer's
        output is that much longer; the cosine is the same.

    Returns:
      ``outputs / pieces`` units, in the dtype of ``x``; products accumulate in float32 or wider.
      Where ``x`` is zero, so is the output (without a bias).

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree, or ``power`` is below 1.

    Example:
      >>> x, kernel = jnp.array([3.0, 4.0]), jnp.array([[0.0, 2.0], [1.0, 0.0]])
      >>> [round(y, 4) for y in bcos(x, kernel).tolist()]  # |x| cos², cosines 0.8 and 0.6
      [3.2, 1.8]
    """
    where = "bcos"
    require_array(where, x=x, kernel=kernel)
    require_rank(where, "x", x, 1, "(*batch, inputs)")
    inputs = x.shape[-1]
    ok = kernel.ndim == 2 and kernel.shape[0] == inputs
    require(ok, where, "kernel", kernel, f"shape ({inputs}, outputs)")
    outputs = kernel.shape[1]
    _check(where, power, pieces, outputs)
    if bias is not None:
        require_array(where, bias=bias)
        require(bias.shape == (outputs,), where, "bias", bias, f"shape ({outputs},)")
    wide = accumulation_dtype(x.dtype)
    rows = x.reshape(math.prod(x.shape[:-1]), inputs)
    weights, lengths = _weights(kernel, wide, normalize)
    linear = jnp.dot(rows.astype(wide), weights, precision="highest")
    square = jnp.sum(rows.astype(wide) ** 2, axis=-1, keepdims=True)
    y = _scaled(linear, square, lengths, bias, power, pieces)
    return y.astype(x.dtype).reshape(*x.shape[:-1], outputs // pieces)


def _check(where: str, power: float, pieces: int, outputs: int) -> None:
    require(power >= 1, where, "power", power, "a number of at least 1")
    require_count(where, pieces=pieces)
    needs = f"a divisor of the {outputs} outputs of `kernel`"
    require(outputs % pieces == 0, where, "pieces", pieces, needs)


def _weights(
    kernel: jax.Array, dtype: Dtype, normalize: bool
) -> tuple[jax.Array, jax.Array | None]:
    """Give the weights to multiply with, and their lengths unless these are one."""
    kernel = kernel.astype(dtype)
    square = jnp.sum(kernel**2, axis=tuple(range(kernel.ndim - 1)))
    lengths = jnp.sqrt(jnp.where(square > 0, square, 1))
    if not normalize:
        return kernel, lengths
    return kernel / lengths.reshape((1,) * (kernel.ndim - 1) + lengths.shape), None


def _scaled(
    linear: jax.Array,
    square: jax.Array,
    lengths: jax.Array | None,
    bias: jax.Array | None,
    power: float,
    pieces: int,
) -> jax.Array:
    """Scale products (..., outputs) with inputs whose squares sum to ``square`` (..., 1)."""

    def spread(values: jax.Array) -> jax.Array:
        return values.astype(linear.dtype).reshape((1,) * (linear.ndim - 1) + values.shape)

    y = linear
    if power != 1:
        size = jnp.sqrt(jnp.where(square > 0, square, 1))
        cosine = jnp.abs(linear) / (size if lengths is None else size * spread(lengths))
        if power != 2:
            # Below B = 2 the slope of c^(B - 1) at 0 is infinite, that of the output is not.
            some = cosine > 0
            cosine = jnp.where(some, jnp.where(some, cosine, 1) ** (power - 1), 0)
        y = checkpoint_name(cosine, "dynamic") * linear
    if bias is not None:
        y = y + spread(bias)
    if pieces == 1:
        return y
    return jnp.max(y.reshape(*y.shape[:-1], -1, pieces), axis=-1)


class BcosDense(nn.Module):
    """B-cos units with their weights, ``kernel``; see :func:`bcos`.

    It stands where a dense layer stands, e.g. as the ``dense`` of
    :class:`~jaxnn.models.MLP`. No activation is needed behind it; a ReLU keeps the network
    dynamically linear.

    Attributes:
      features: size of the output's last axis.
      power: B.
      pieces: columns that compete for one unit.
      normalize: whether the weights are brought to length one.
      use_bias: whether there is a ``bias``; the explanation is then not complete.
      dtype: compute in this dtype; ``None`` promotes input and parameters.
      param_dtype: dtype the parameters are kept in.
      kernel_init: initialiser of ``kernel``, ``(inputs, features * pieces)``.
      bias_init: initialiser of ``bias``.
    """

    features: int
    power: float = 2.0
    pieces: int = 1
    normalize: bool = True
    use_bias: bool = False
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = nn.initializers.lecun_normal()
    bias_init: Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch features"]:
        """Map ``(*batch, inputs)`` to ``(*batch, features)``."""
        require_array("BcosDense", x=x)
        kernel, bias = _parameters(self, "BcosDense", (), x.shape[-1])
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        options = {"power": self.power, "pieces": self.pieces, "normalize": self.normalize}
        return bcos(x, kernel, bias, **options)


class BcosConv(nn.Module):
    """A convolution of B-cos units over one to three axes; see :func:`bcos`.

    The cosine at a place is that between the taps' weights and the patch beneath them.

    Attributes:
      features: output channels.
      kernel_size: taps along each axis.
      strides: step along each axis, or one for all.
      padding: ``"SAME"``, ``"VALID"``, or pairs of numbers of places.
      power: as in :class:`BcosDense`, and so are the following.
      pieces: columns that compete for one unit.
      normalize: whether the weights are brought to length one.
      use_bias: whether there is a ``bias``.
      dtype: compute in this dtype; ``None`` promotes input and parameters.
      param_dtype: dtype the parameters are kept in.
      kernel_init: initialiser of ``kernel``, ``(*kernel_size, inputs, features * pieces)``.
      bias_init: initialiser of ``bias``.
    """

    features: int
    kernel_size: Sequence[int] = (3, 3)
    strides: int | Sequence[int] = 1
    padding: Padding = "SAME"
    power: float = 2.0
    pieces: int = 1
    normalize: bool = True
    use_bias: bool = False
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = nn.initializers.lecun_normal()
    bias_init: Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Map ``(*batch, *space, inputs)`` to ``(*batch, *smaller space, features)``."""
        where = "BcosConv"
        taps = require_convolution(where, x, self.kernel_size)
        kernel, bias = _parameters(self, where, taps, x.shape[-1])
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        wide = accumulation_dtype(x.dtype)
        weights, lengths = _weights(kernel, wide, self.normalize)
        options = {"strides": self.strides, "padding": self.padding}
        linear = convolve(where, x.astype(wide), lambda rows: rows, weights, **options)
        ones = jnp.ones((*taps, 1, 1), wide)
        squares = jnp.sum(x.astype(wide) ** 2, axis=-1, keepdims=True)
        square = convolve(where, squares, lambda rows: rows, ones, **options)
        y = _scaled(linear, square, lengths, bias, self.power, self.pieces)
        return y.astype(x.dtype)


def _parameters(
    module: BcosDense | BcosConv, where: str, taps: tuple[int, ...], inputs: int
) -> tuple[jax.Array, jax.Array | None]:
    """Make the kernel of a module, and its bias."""
    require_count(where, features=module.features, pieces=module.pieces)
    outputs = module.features * module.pieces
    _check(where, module.power, module.pieces, outputs)
    shape = (*taps, inputs, outputs)
    kernel = module.param("kernel", module.kernel_init, shape, module.param_dtype)
    if not module.use_bias:
        return kernel, None
    return kernel, module.param("bias", module.bias_init, (outputs,), module.param_dtype)
