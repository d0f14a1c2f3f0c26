r"""The Padé neuron: one polynomial of the inputs over another, in place of a weighted sum.

.. math::
    y_j = \frac{b_j + \sum_{k=1}^{M} \sum_i w_{kij}\,x_i^k}
               {1 + \bigl| \sum_{l=1}^{N} \sum_i v_{lij}\,x_i^l \bigr|}

M = 1 and N = 0 is the usual neuron, M = 2 and N = 0 the quadratic one, N = 0 the self-organised
(generative) one. The denominator is never below 1, so that no input divides by zero. Both sums
come out of one product with the powers of x side by side.

===========  ==========================================
x            input, ``(*batch, inputs)``
w            ``numerator``, ``(M, inputs, outputs)``
v            ``denominator``, ``(N, inputs, outputs)``
b            ``bias``, ``(outputs,)``
===========  ==========================================

Source: "PAON: A New Neuron Model using Padé Approximants" (2025).
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers._convolution import Padding, convolve, require_convolution


def pade_layer(
    x: Float[Array, "*batch inputs"],
    numerator: Float[Array, "M inputs outputs"],
    denominator: Float[Array, "N inputs outputs"] | None = None,
    bias: Float[Array, " outputs"] | None = None,
) -> Float[Array, "*batch outputs"]:
    r"""Apply Padé neurons to the last axis.

    .. math:: y_j = \Bigl(b_j + \sum_{k,i} w_{kij} x_i^k\Bigr)
              \Big/ \Bigl(1 + \bigl|\sum_{l,i} v_{lij} x_i^l\bigr|\Bigr)

    Args:
      x: any leading axes, then features.
      numerator: w, for the powers 1 to M.
      denominator: v, for the powers 1 to N; the denominator is 1 without it.
      bias: b; none if ``None``.

    Returns:
      An array in the dtype of ``x``; products accumulate in float32 or wider.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.

    Example:
      >>> x = jnp.array([[2.0]])  # (3 x + x²) / (1 + |x|)
      >>> pade_layer(x, jnp.array([[[3.0]], [[1.0]]]), jnp.ones((1, 1, 1))).round(4).tolist()
      [[3.3333]]
    """
    where = "pade_layer"
    require_array(where, x=x, numerator=numerator)
    require_rank(where, "x", x, 1, "(*batch, inputs)")
    inputs = x.shape[-1]
    ok = numerator.ndim == 3 and numerator.shape[1] == inputs and numerator.shape[0] > 0
    require(ok, where, "numerator", numerator, f"shape (M, {inputs}, outputs)")
    outputs = numerator.shape[2]
    kernels = [numerator.reshape(-1, outputs)]
    if denominator is not None:
        require_array(where, denominator=denominator)
        ok = denominator.ndim == 3 and denominator.shape[1:] == numerator.shape[1:]
        require(ok, where, "denominator", denominator, f"shape (N, {inputs}, {outputs})")
        kernels.append(denominator.reshape(-1, outputs))
    if bias is not None:
        require_array(where, bias=bias)
        require(bias.shape == (outputs,), where, "bias", bias, f"shape ({outputs},)")
    wide = accumulation_dtype(x.dtype)
    rows = x.reshape(math.prod(x.shape[:-1]), inputs)
    values = _powers(rows, max(len(kernel) for kernel in kernels) // inputs)
    sums = jnp.dot(values, _side_by_side(kernels, axis=0), preferred_element_type=wide)
    y = _quotient(sums, None if bias is None else bias.astype(wide), outputs)
    return y.astype(x.dtype).reshape(*x.shape[:-1], outputs)


def _powers(x: jax.Array, degree: int) -> jax.Array:
    """Put x, x², ... along the last axis."""
    values = [x]
    for _ in range(degree - 1):
        values.append(values[-1] * x)
    return jnp.concatenate(values, axis=-1)


def _side_by_side(kernels: list[jax.Array], axis: int) -> jax.Array:
    """Join kernels along their outputs, the shorter ones filled up with zeros along ``axis``."""
    longest = max(kernel.shape[axis] for kernel in kernels)

    def filled(kernel: jax.Array) -> jax.Array:
        widths = [(0, 0)] * kernel.ndim
        widths[axis] = (0, longest - kernel.shape[axis])
        return jnp.pad(kernel, widths)

    return jnp.concatenate([filled(kernel) for kernel in kernels], axis=-1)


def _quotient(sums: jax.Array, bias: jax.Array | None, outputs: int) -> jax.Array:
    top, below = sums[..., :outputs], sums[..., outputs:]
    if bias is not None:
        top = top + bias.reshape((1,) * (top.ndim - 1) + (outputs,))
    return top / (1 + jnp.abs(below)) if below.shape[-1] else top


class PadeDense(nn.Module):
    """Padé neurons with their parameters; see :func:`pade_layer`.

    Parameters are ``numerator``, ``denominator`` (if N > 0) and ``bias``. The numerator's powers
    share the variance of a dense layer; the denominator starts small but not at 0, where its
    magnitude has no slope.

    Attributes:
      features: size of the output's last axis.
      degree: M and N, the degrees of numerator and denominator.
      use_bias: whether to add ``bias``.
      dtype: compute in this dtype; ``None`` promotes input and parameters.
      param_dtype: dtype the parameters are kept in.
      numerator_init: initialiser of ``numerator``; variance 1 / (M inputs) if ``None``.
      denominator_init: initialiser of ``denominator``; a tenth of that deviation if ``None``.
      bias_init: initialiser of ``bias``.
    """

    features: int
    degree: tuple[int, int] = (2, 1)
    use_bias: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    numerator_init: Initializer | None = None
    denominator_init: Initializer | None = None
    bias_init: Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        """Map ``(*batch, inputs)`` to ``(*batch, features)``."""
        where = "PadeDense"
        require_array(where, x=x)
        kernels, bias = _parameters(self, where, (), x.shape[-1])
        x, *kernels, bias = promote_dtype(x, *kernels, bias, dtype=self.dtype)
        return pade_layer(x, *kernels, bias=bias)


class PadeConv(nn.Module):
    """A convolution of Padé neurons over one to three axes; see :func:`pade_layer`.

    Attributes:
      features: output channels.
      kernel_size: taps along each axis.
      strides: step along each axis, or one for all.
      padding: ``"SAME"``, ``"VALID"``, or pairs of numbers of places.
      degree: as in :class:`PadeDense`, and so are the following.
      use_bias: whether to add ``bias``.
      dtype: compute in this dtype; ``None`` promotes input and parameters.
      param_dtype: dtype the parameters are kept in.
      numerator_init: initialiser of ``numerator``, ``(*kernel_size, M, inputs, features)``.
      denominator_init: of ``denominator``.
      bias_init: of ``bias``.
    """

    features: int
    kernel_size: Sequence[int] = (3, 3)
    strides: int | Sequence[int] = 1
    padding: Padding = "SAME"
    degree: tuple[int, int] = (2, 1)
    use_bias: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    numerator_init: Initializer | None = None
    denominator_init: Initializer | None = None
    bias_init: Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Map ``(*batch, *space, inputs)`` to ``(*batch, *smaller space, features)``."""
        where = "PadeConv"
        kernel = require_convolution(where, x, self.kernel_size)
        kernels, bias = _parameters(self, where, kernel, x.shape[-1])
        x, *kernels, bias = promote_dtype(x, *kernels, bias, dtype=self.dtype)
        flat = [k.reshape(*kernel, -1, self.features) for k in kernels]
        sums = convolve(
            where,
            x,
            lambda rows: _powers(rows, max(self.degree)),
            _side_by_side(flat, axis=len(kernel)),
            strides=self.strides,
            padding=self.padding,
        )
        bias = None if bias is None else bias.astype(sums.dtype)
        return _quotient(sums, bias, self.features).astype(x.dtype)


def _parameters(
    module: PadeDense | PadeConv, where: str, kernel: tuple[int, ...], inputs: int
) -> tuple[list[jax.Array], jax.Array | None]:
    """Make the kernels of a module, powers before inputs, and its bias."""
    require_count(where, features=module.features)
    top, below = module.degree
    ok = isinstance(top, int) and isinstance(below, int) and top >= 1 and below >= 0
    require(ok, where, "degree", module.degree, "two integers, M >= 1 and N >= 0")
    std = 1 / math.sqrt(top * inputs * math.prod(kernel))
    inits = {
        "numerator": (top, module.numerator_init or nn.initializers.normal(std)),
        "denominator": (below, module.denominator_init or nn.initializers.normal(std / 10)),
    }
    kernels = [
        module.param(name, init, (*kernel, degree, inputs, module.features), module.param_dtype)
        for name, (degree, init) in inits.items()
        if degree
    ]
    bias = None
    if module.use_bias:
        bias = module.param("bias", module.bias_init, (module.features,), module.param_dtype)
    return kernels, bias
