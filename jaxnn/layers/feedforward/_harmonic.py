r"""Logits by distance: each class has a centre, and the nearest is the most likely.

======  ======================================================
x       the representation, ``(*batch, inputs)``
w_c     centre of class c, a column of ``kernel``
d_c     distance between them
n       ``exponent``
======  ======================================================

Source: "Harmonic Loss Trains Interpretable AI Models" (2025), section 2.
"""

import math

import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jax import lax
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count, require_positive, require_rank
from jaxnn._numeric import accumulation_dtype


def harmonic_logits(
    x: Float[Array, "*batch inputs"],
    kernel: Float[Array, "inputs classes"],
    *,
    exponent: float | None = None,
) -> Float[Array, "*batch classes"]:
    r"""Give logits whose softmax falls with a power of the distance to each class's centre.

    .. math:: z_c = -n \log d_c, \quad d_c = \lVert x - w_c \rVert_2, \quad
        \mathrm{softmax}(z)_c = \frac{d_c^{-n}}{\sum_k d_k^{-n}}

    Their cross-entropy is the harmonic loss: zero at x = w_y, whatever the scale, since scaling x
    and all centres alike, or shifting them, changes no probability.

    Args:
      x: any leading axes, then features.
      kernel: the centres as columns, in the layout of :func:`dense`.
      exponent: n; the square root of the number of inputs if ``None``. A larger one makes
        probabilities sharper.

    Returns:
      Logits, in the dtype of ``x``. Distances count as no less than the rounding of their squares,
      so that at a centre logits are finite, and their gradient there is zero.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: the inner sizes disagree, or ``exponent`` is not positive.

    Example:
      >>> z = harmonic_logits(jnp.array([0.0]), jnp.array([[1.0, -2.0]]), exponent=1.0)
      >>> jax.nn.softmax(z).round(3).tolist()
      [0.667, 0.333]
    """
    where = "harmonic_logits"
    require_array(where, x=x, kernel=kernel)
    require_rank(where, "x", x, 1, "(*batch, inputs)")
    require(kernel.ndim == 2, where, "kernel", kernel, "shape (inputs, classes)")
    inputs, classes = kernel.shape
    needs = f"a last axis of {inputs}, the rows of `kernel`"
    require(x.shape[-1] == inputs, where, "x", x, needs)
    power = math.sqrt(inputs) if exponent is None else exponent
    require_positive(where, exponent=power)
    wide = accumulation_dtype(x.dtype)
    rows, columns = x.reshape(math.prod(x.shape[:-1]), inputs).astype(wide), kernel.astype(wide)
    # Seen from the centres' mean, products are smallest, and so is what their difference loses.
    middle = lax.stop_gradient(jnp.mean(columns, axis=1))
    rows, columns = rows - middle[None, :], columns - middle[:, None]
    sizes = jnp.sum(rows**2, axis=1)[:, None] + jnp.sum(columns**2, axis=0)[None, :]
    square = sizes - 2 * jnp.dot(rows, columns, precision="highest")
    limits = jnp.finfo(wide)
    floor = lax.stop_gradient(limits.eps * sizes) + limits.tiny
    logits = -power / 2 * jnp.log(jnp.maximum(square, floor))
    return logits.astype(x.dtype).reshape(*x.shape[:-1], classes)


class HarmonicHead(nn.Module):
    """A layer of class centres, ``kernel``, and their :func:`harmonic_logits`.

    It stands where a linear layer to logits stands, as the ``dense`` of a head: called as
    ``HarmonicHead(features, name=..., dtype=..., param_dtype=...)``.

    Attributes:
      features: number of classes.
      exponent: n; the square root of the number of inputs if ``None``.
      dtype: compute in this dtype; ``None`` promotes input and parameters.
      param_dtype: dtype the parameters are kept in.
      kernel_init: initialiser of ``kernel``.
    """

    features: int
    exponent: float | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch features"]:
        """Map ``(*batch, inputs)`` to ``(*batch, features)``."""
        require_array("HarmonicHead", x=x)
        require_count("HarmonicHead", features=self.features)
        shape = (x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        x, kernel = promote_dtype(x, kernel, dtype=self.dtype)
        return harmonic_logits(x, kernel, exponent=self.exponent)
