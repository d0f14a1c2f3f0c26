r"""Gated feed-forward blocks: one linear map opens and closes another, unit by unit.

Source: "GLU Variants Improve Transformer" (2020), equations 5 and 6: with the activation
sigmoid it is GLU, with GELU GEGLU, with SiLU SwiGLU, with the identity the bilinear block.

===========  ==================================
x            input, ``(*batch, features)``
G, U         ``gate_kernel``, ``up_kernel``, (features, hidden)
D            ``down_kernel``, (hidden, features)
===========  ==================================
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxnn._check import require_array, require_positive
from jaxnn.layers.feedforward._dense import Dense, dense


def gated_feed_forward(
    x: Float[Array, "*batch features"],
    gate_kernel: Float[Array, "features hidden"],
    up_kernel: Float[Array, "features hidden"],
    down_kernel: Float[Array, "hidden outputs"],
    *,
    activation: Callable[[jax.Array], jax.Array] = jax.nn.silu,
) -> Float[Array, "*batch outputs"]:
    r"""Apply the gated block, without biases as in the paper, to the last axis.

    .. math:: y = (\phi(x G) \odot x U) D

    Args:
      x: any leading axes, then features.
      gate_kernel: G, whose product goes through φ.
      up_kernel: U, whose product is gated.
      down_kernel: D, narrowing.
      activation: the element-wise φ; SiLU makes it SwiGLU.

    Returns:
      An array in the dtype of ``x``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree (raised by :func:`dense`).
    """
    return dense(activation(dense(x, gate_kernel)) * dense(x, up_kernel), down_kernel)


class GatedFeedForward(nn.Module):
    """The gated block with its parameters, in the submodules ``gate``, ``up`` and ``down``.

    Attributes:
      hidden_features: gated width; 8/3 of the input's, rounded up, if ``None``, which keeps
        the parameters of an ungated block of four times the width.
      features: output width; the input's if ``None``.
      activation: element-wise non-linearity of the gate.
      dropout_rate: applied to the gated units when a ``dropout`` key is given.
      dense: factory of the three maps, called as ``dense(features, name=..., ...)``.
      use_bias: whether the maps have biases.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    hidden_features: int | None = None
    features: int | None = None
    activation: Callable[[jax.Array], jax.Array] = jax.nn.silu
    dropout_rate: float = 0.0
    dense: Callable[..., nn.Module] = Dense
    use_bias: bool = False
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "*batch features"], deterministic: bool | None = None
    ) -> Float[Array, "*batch outputs"]:
        """Map ``(*batch, inputs)`` to ``(*batch, features)``.

        ``deterministic=None`` drops units exactly when a ``dropout`` key was given.
        """
        require_array("GatedFeedForward", x=x)
        hidden_features = self.hidden_features or -(-8 * x.shape[-1] // 3)
        require_positive("GatedFeedForward", hidden_features=hidden_features)
        options = {
            "use_bias": self.use_bias,
            "dtype": self.dtype,
            "param_dtype": self.param_dtype,
        }
        gate = self.activation(self.dense(hidden_features, name="gate", **options)(x))
        hidden = gate * self.dense(hidden_features, name="up", **options)(x)
        self.sow("intermediates", "hidden", hidden)
        if deterministic is None:
            deterministic = not self.has_rng("dropout")
        hidden = nn.Dropout(self.dropout_rate)(hidden, deterministic=deterministic)
        return self.dense(self.features or x.shape[-1], name="down", **options)(hidden)
