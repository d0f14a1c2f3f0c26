r"""The residual inverted bottleneck: normalise, widen, narrow, and add to what was read.

Source: "Scaling MLPs: A Tale of Inductive Bias" (2023), section 3: the block that makes a pure
perceptron on flattened pixels trainable at depth, with GELU and four times the width inside.

===========  ==========================================
x            input, ``(*batch, features)``
g, b         ``scale``, ``offset`` of the normalisation
U, a         ``up_kernel`` (features, hidden), ``up_bias``
D, c         ``down_kernel`` (hidden, features), ``down_bias``
===========  ==========================================
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_rank
from jaxnn.layers.feedforward._dense import Dense
from jaxnn.layers.feedforward._feed_forward import FeedForward, feed_forward
from jaxnn.layers.normalization import LayerNorm, layer_norm


def inverted_bottleneck(
    x: Float[Array, "*batch features"],
    scale: Float[Array, " features"] | None,
    offset: Float[Array, " features"] | None,
    up_kernel: Float[Array, "features hidden"],
    up_bias: Float[Array, " hidden"] | None,
    down_kernel: Float[Array, "hidden features"],
    down_bias: Float[Array, " features"] | None,
    *,
    activation: Callable[[jax.Array], jax.Array] = jax.nn.gelu,
) -> Float[Array, "*batch features"]:
    r"""Add to each row what a feed-forward block makes of it, normalised.

    .. math:: y = x + \phi(\mathrm{LN}(x) U + a) D + c

    Args:
      x: any leading axes, then features.
      scale: g of the layer normalisation; ones if ``None``.
      offset: b of the layer normalisation; zeros if ``None``.
      up_kernel: U, widening.
      up_bias: a, or ``None``.
      down_kernel: D, narrowing.
      down_bias: c, or ``None``.
      activation: the element-wise φ.

    Returns:
      An array of the shape and dtype of ``x``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree.
    """
    where = "inverted_bottleneck"
    require_array(where, x=x, down_kernel=down_kernel)
    require_rank(where, "x", x, 1, "(*batch, features)")
    features = x.shape[-1]
    fits = down_kernel.shape[-1:] == (features,)
    needs = f"shape (hidden, {features}), to be added to `x`"
    require(fits, where, "down_kernel", down_kernel, needs)
    normalized = layer_norm(x, scale, offset)
    change = feed_forward(
        normalized, up_kernel, up_bias, down_kernel, down_bias, activation=activation
    )
    return x + change


class InvertedBottleneck(nn.Module):
    """The block with its parameters, in the submodules ``norm`` and ``feedforward``.

    Attributes:
      hidden_features: width between the two maps; 4 times the input's if ``None``.
      activation: element-wise non-linearity of the default feed-forward block.
      dropout_rate: applied to the default block's hidden units and to what is added, when a
        ``dropout`` key is given.
      feedforward: factory of what is added, called as ``feedforward(features=width, name=...,
        dtype=..., param_dtype=...)``; ``None`` is a
        :class:`~jaxnn.layers.feedforward.FeedForward` of ``hidden_features`` and ``dense``.
      norm: factory of the normalisation, called as ``norm(name=..., dtype=...,
        param_dtype=...)``.
      dense: factory of the default block's two maps.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    hidden_features: int | None = None
    activation: Callable[[jax.Array], jax.Array] = jax.nn.gelu
    dropout_rate: float = 0.0
    feedforward: Callable[..., nn.Module] | None = None
    norm: Callable[..., nn.Module] = LayerNorm
    dense: Callable[..., nn.Module] = Dense
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "*batch features"], deterministic: bool | None = None
    ) -> Float[Array, "*batch features"]:
        """Map ``(*batch, features)`` to the same shape.

        ``deterministic=None`` drops units exactly when a ``dropout`` key was given.
        """
        require_array("InvertedBottleneck", x=x)
        require_rank("InvertedBottleneck", "x", x, 1, "(*batch, features)")
        options: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        if self.feedforward is None:
            transform: Any = FeedForward(
                self.hidden_features,
                activation=self.activation,
                dropout_rate=self.dropout_rate,
                dense=self.dense,
                name="feedforward",
                **options,
            )
        else:
            transform = self.feedforward(features=x.shape[-1], name="feedforward", **options)
        norm: Any = self.norm(name="norm", **options)
        # Parts without dropout need not know the word.
        said = {} if deterministic is None else {"deterministic": deterministic}
        change = transform(norm(x), **said)
        if deterministic is None:
            deterministic = not self.has_rng("dropout")
        return x + nn.Dropout(self.dropout_rate)(change, deterministic=deterministic)
