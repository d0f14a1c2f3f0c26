r"""Layer normalisation: each row is shifted to mean 0 and scaled to variance 1.

Source: "Layer Normalization" (2016). The derivative is written out once, as a linear map of
the tangents (a ``custom_jvp``), so that forward mode, reverse mode and their compositions all
work; its reductions are matrix-vector products, which XLA's CPU backend runs faster than
fused reductions of the same sums.

===========  =====================================
x            input, ``(*batch, features)``
g, b         ``scale``, ``bias``, ``(features,)``
μ, σ²        mean and variance of one row
ε            ``epsilon``, keeps constant rows finite
===========  =====================================
"""

import functools
import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jax import lax
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_positive, require_rank
from jaxnn._numeric import accumulation_dtype


def layer_norm(
    x: Float[Array, "*batch features"],
    scale: Float[Array, " features"] | None = None,
    bias: Float[Array, " features"] | None = None,
    *,
    epsilon: float = 1e-6,
) -> Float[Array, "*batch features"]:
    r"""Normalise the last axis to mean 0 and variance 1, then scale and shift it.

    .. math:: y = g \odot \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + b

    Args:
      x: any leading axes, then features.
      scale: g; ones if ``None``.
      bias: b; zeros if ``None``.
      epsilon: ε, added to the variance, which divides by the number of features.

    Returns:
      An array in the dtype of ``x``; statistics are taken in float32 or wider.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: ``scale`` or ``bias`` is not ``(features,)``, or ``epsilon`` is not positive.

    Example:
      >>> layer_norm(jnp.array([1.0, 3.0])).round(3).tolist()
      [-1.0, 1.0]
    """
    require_array("layer_norm", x=x)
    require_rank("layer_norm", "x", x, 1, "(*batch, features)")
    require_positive("layer_norm", epsilon=epsilon)
    wide = accumulation_dtype(x.dtype)
    scale = _parameter("layer_norm", "scale", scale, x, 1, wide)
    bias = _parameter("layer_norm", "bias", bias, x, 0, wide)
    # The row count is spelled out: -1 is undefined for empty batches.
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1]).astype(wide)
    return _normalize(rows, scale, bias, epsilon).astype(x.dtype).reshape(x.shape)


def _parameter(where, argument, value, x, default, dtype):
    """Check a per-feature parameter and widen it, or make the neutral one."""
    shape = x.shape[-1:]
    if value is None:
        return jnp.full(shape, default, dtype)
    require_array(where, **{argument: value})
    require(value.shape == shape, where, argument, value, f"shape {shape}, the features of `x`")
    return value.astype(dtype)


def _standardize(x, epsilon):
    """Give the normalised rows and one over their standard deviation, ``(rows, 1)``."""
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    # From centred values: E[x²] - E[x]² would cancel for rows far from the origin.
    variance = jnp.mean(centred * centred, axis=-1, keepdims=True)
    inverse = lax.rsqrt(variance + epsilon)
    return centred * inverse, inverse


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def _normalize(x, scale, bias, epsilon):
    standard, _ = _standardize(x, epsilon)
    return standard * scale[None, :] + bias[None, :]


@_normalize.defjvp
def _normalize_jvp(epsilon, primals, tangents):
    x, scale, bias = primals
    dx, dscale, dbias = tangents
    standard, inverse = _standardize(x, epsilon)
    ones = jnp.ones(x.shape[0], x.dtype)
    share = scale / x.shape[-1]
    # Linear in the tangents; transposed, each outer product is a matrix-vector product.
    mean = inverse[:, 0] * jnp.sum(dx, axis=-1)
    slope = inverse[:, 0] * jnp.sum(standard * dx, axis=-1)
    dy = inverse * (dx * scale[None, :]) - _outer(mean, share)
    dy += standard * (_outer(ones, dscale) - _outer(slope, share)) + _outer(ones, dbias)
    return standard * scale[None, :] + bias[None, :], dy


def _outer(rows, features):
    return lax.dot_general(rows, features, (((), ()), ((), ())))


class LayerNorm(nn.Module):
    """Layer normalisation with its parameters; see :func:`layer_norm`.

    Parameters have the names and shapes of ``flax.linen.LayerNorm``, so either loads the
    other's.

    Attributes:
      epsilon: added to the variance.
      use_scale: whether to multiply by ``scale``.
      use_bias: whether to add ``bias``.
      dtype: dtype of the result; ``None`` promotes input and parameters.
      param_dtype: dtype the parameters are kept in.
      scale_init: initialiser of ``scale``.
      bias_init: initialiser of ``bias``.
    """

    epsilon: float = 1e-6
    use_scale: bool = True
    use_bias: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    scale_init: Initializer = nn.initializers.ones_init()
    bias_init: Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: Float[Array, "*batch features"]) -> Float[Array, "*batch features"]:
        """Normalise ``(*batch, features)`` over its last axis."""
        require_array("LayerNorm", x=x)
        require_rank("LayerNorm", "x", x, 1, "(*batch, features)")
        shape, dtype = x.shape[-1:], self.param_dtype
        scale = self.param("scale", self.scale_init, shape, dtype) if self.use_scale else None
        bias = self.param("bias", self.bias_init, shape, dtype) if self.use_bias else None
        x, scale, bias = promote_dtype(x, scale, bias, dtype=self.dtype)
        return layer_norm(x, scale, bias, epsilon=self.epsilon)
