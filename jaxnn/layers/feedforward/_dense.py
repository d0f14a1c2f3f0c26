r"""The affine map y = x W + b over the last axis, as one two-dimensional product.

All leading axes are flattened into one before the product. With three-dimensional operands
autodiff derives the kernel's gradient through a transposed copy in which XLA recomputes the
preceding activation element by element; with two it is a plain product over the rows.

===========  =========================
x            input, ``(*batch, inputs)``
W            ``kernel``, ``(inputs, outputs)``
b            ``bias``, ``(outputs,)``
===========  =========================
"""

import math

import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_positive, require_rank
from jaxnn._numeric import accumulation_dtype


def dense(
    x: Float[Array, "*batch inputs"],
    kernel: Float[Array, "inputs outputs"],
    bias: Float[Array, " outputs"] | None = None,
) -> Float[Array, "*batch outputs"]:
    r"""Apply an affine map to the last axis.

    .. math:: y = x W + b

    Args:
      x: any leading axes, then features.
      kernel: the weights W, in the layout (inputs, outputs).
      bias: the offset b; none if ``None``.

    Returns:
      An array in the dtype of ``x``; products accumulate in float32 or wider.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: the inner sizes disagree.

    Example:
      >>> dense(jnp.ones((2, 3)), jnp.ones((3, 1)), jnp.array([0.5])).tolist()
      [[3.5], [3.5]]
    """
    require_array("dense", x=x, kernel=kernel)
    require_rank("dense", "x", x, 1, "(*batch, inputs)")
    require(kernel.ndim == 2, "dense", "kernel", kernel, "shape (inputs, outputs)")
    require(
        x.shape[-1] == kernel.shape[0],
        "dense",
        "x",
        x,
        f"a last axis of {kernel.shape[0]}, the rows of `kernel`",
        "Was an axis left unflattened, or the kernel stored as (outputs, inputs)?",
    )
    wide = accumulation_dtype(x.dtype)
    # The row count is spelled out: -1 is undefined for empty batches.
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    y = jnp.dot(rows, kernel, preferred_element_type=wide)
    if bias is not None:
        require_array("dense", bias=bias)
        require(bias.shape == kernel.shape[1:], "dense", "bias", bias, f"shape {kernel.shape[1:]}")
        y = y + bias.astype(wide)[None, :]
    return y.astype(x.dtype).reshape(*x.shape[:-1], kernel.shape[1])


class Dense(nn.Module):
    """The affine map with its parameters ``kernel`` and ``bias``; see :func:`dense`.

    Parameters have the names and layout of ``flax.linen.Dense``, so either loads the other's.

    Attributes:
      features: size of the output's last axis.
      use_bias: whether to add ``bias``.
      dtype: compute in this dtype; ``None`` promotes input and parameters.
      param_dtype: dtype the parameters are kept in.
      kernel_init: initialiser of ``kernel``.
      bias_init: initialiser of ``bias``.
    """

    features: int
    use_bias: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = nn.initializers.lecun_normal()
    bias_init: Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        """Map ``(*batch, inputs)`` to ``(*batch, features)``."""
        require_array("Dense", x=x)
        require_positive("Dense", features=self.features)
        shape = (x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, shape[1:], self.param_dtype)
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return dense(x, kernel, bias)
