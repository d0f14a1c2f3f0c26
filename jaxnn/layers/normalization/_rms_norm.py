r"""Root-mean-square normalisation: each row is scaled to mean square 1, and not shifted.

Source: "Root Mean Square Layer Normalization" (2019), equation 4.

===========  =====================================
x            input, ``(*batch, features)``
g            ``scale``, ``(features,)``
ε            ``epsilon``, keeps zero rows finite
===========  =====================================
"""

import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jax import lax
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_positive, require_rank
from jaxnn._numeric import accumulation_dtype


def rms_norm(
    x: Float[Array, "*batch features"],
    scale: Float[Array, " features"] | None = None,
    *,
    epsilon: float = 1e-6,
) -> Float[Array, "*batch features"]:
    r"""Normalise the last axis to mean square 1, then scale it.

    .. math:: y = g \odot \frac{x}{\sqrt{\frac{1}{d} \sum_i x_i^2 + \epsilon}}

    Args:
      x: any leading axes, then features.
      scale: g; ones if ``None``.
      epsilon: ε, added to the mean square.

    Returns:
      An array in the dtype of ``x``; the mean square is taken in float32 or wider.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: ``scale`` is not ``(features,)``, or ``epsilon`` is not positive.

    Example:
      >>> print(rms_norm(jnp.array([3.0, 4.0, 5.0])).round(3))
      [0.735 0.98  1.225]
    """
    require_array("rms_norm", x=x)
    require_rank("rms_norm", "x", x, 1, "(*batch, features)")
    require_positive("rms_norm", epsilon=epsilon)
    rows = x.astype(accumulation_dtype(x.dtype))
    y = rows * lax.rsqrt(jnp.mean(rows * rows, axis=-1, keepdims=True) + epsilon)
    if scale is not None:
        require_array("rms_norm", scale=scale)
        shape = x.shape[-1:]
        require(
            scale.shape == shape, "rms_norm", "scale", scale, f"shape {shape}, the features of `x`"
        )
        y = y * jnp.broadcast_to(scale.astype(y.dtype), y.shape)
    return y.astype(x.dtype)


class RMSNorm(nn.Module):
    """Root-mean-square normalisation with its parameter; see :func:`rms_norm`.

    The parameter has the name and shape of ``flax.linen.RMSNorm``'s, so either loads the
    other's.

    Attributes:
      epsilon: added to the mean square.
      use_scale: whether to multiply by ``scale``.
      dtype: dtype of the result; ``None`` promotes input and parameters.
      param_dtype: dtype the parameters are kept in.
      scale_init: initialiser of ``scale``.
    """

    epsilon: float = 1e-6
    use_scale: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    scale_init: Initializer = nn.initializers.ones_init()

    @nn.compact
    def __call__(self, x: Float[Array, "*batch features"]) -> Float[Array, "*batch features"]:
        """Normalise ``(*batch, features)`` over its last axis."""
        require_array("RMSNorm", x=x)
        require_rank("RMSNorm", "x", x, 1, "(*batch, features)")
        scale = None
        if self.use_scale:
            scale = self.param("scale", self.scale_init, x.shape[-1:], self.param_dtype)
        x, scale = promote_dtype(x, scale, dtype=self.dtype)
        return rms_norm(x, scale, epsilon=self.epsilon)
