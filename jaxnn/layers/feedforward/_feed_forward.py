r"""The position-wise feed-forward block: widen, apply a non-linearity, narrow again.

Source: "Attention Is All You Need" (2017), equation 2, with the activation as an argument.

===========  ==========================================
x            input, ``(*batch, features)``
U, a         ``up_kernel`` (features, hidden), ``up_bias``
D, c         ``down_kernel`` (hidden, features), ``down_bias``
===========  ==========================================
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxnn._check import require_array, require_positive
from jaxnn.layers.feedforward._dense import Dense, dense


def feed_forward(
    x: Float[Array, "*batch features"],
    up_kernel: Float[Array, "features hidden"],
    up_bias: Float[Array, " hidden"] | None,
    down_kernel: Float[Array, "hidden outputs"],
    down_bias: Float[Array, " outputs"] | None,
    *,
    activation: Callable[[jax.Array], jax.Array] = jax.nn.gelu,
) -> Float[Array, "*batch outputs"]:
    r"""Apply the two-layer block to the last axis.

    .. math:: y = \phi(x U + a) D + c

    Args:
      x: any leading axes, then features.
      up_kernel: U, widening.
      up_bias: a, or ``None``.
      down_kernel: D, narrowing.
      down_bias: c, or ``None``.
      activation: the element-wise φ.

    Returns:
      An array in the dtype of ``x``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree (raised by :func:`dense`).
    """
    return dense(activation(dense(x, up_kernel, up_bias)), down_kernel, down_bias)


class FeedForward(nn.Module):
    """The block with its parameters, in the submodules ``up`` and ``down``.

    Attributes:
      hidden_features: width between the two maps; 4 times the input's if ``None``.
      features: output width; the input's if ``None``.
      activation: element-wise non-linearity.
      dropout_rate: applied after the activation when a ``dropout`` key is given.
      dense: factory of the two maps, called as ``dense(features, name=..., ...)``.
      use_bias: whether the maps have biases.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    hidden_features: int | None = None
    features: int | None = None
    activation: Callable[[jax.Array], jax.Array] = jax.nn.gelu
    dropout_rate: float = 0.0
    dense: Callable[..., nn.Module] = Dense
    use_bias: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "*batch features"], deterministic: bool | None = None
    ) -> Float[Array, "*batch outputs"]:
        """Map ``(*batch, inputs)`` to ``(*batch, features)``.

        ``deterministic=None`` drops units exactly when a ``dropout`` key was given.
        """
        require_array("FeedForward", x=x)
        hidden_features = self.hidden_features or 4 * x.shape[-1]
        require_positive("FeedForward", hidden_features=hidden_features)
        options = {
            "use_bias": self.use_bias,
            "dtype": self.dtype,
            "param_dtype": self.param_dtype,
        }
        hidden = self.activation(self.dense(hidden_features, name="up", **options)(x))
        self.sow("intermediates", "hidden", hidden)
        if deterministic is None:
            deterministic = not self.has_rng("dropout")
        hidden = nn.Dropout(self.dropout_rate)(hidden, deterministic=deterministic)
        return self.dense(self.features or x.shape[-1], name="down", **options)(hidden)
