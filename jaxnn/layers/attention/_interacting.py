r"""Interacting layers: the fields of a table's row attend to each other, so that they multiply.

Source: "AutoInt: Automatic Feature Interaction Learning via Self-Attentive Neural Networks"
(2018), equations 5 to 8. Logits are not scaled and the heads' outputs not mixed.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_positive, require_rank
from jaxnn.layers.attention._dot_product import dot_product_attention
from jaxnn.layers.feedforward import Dense


class InteractingLayer(nn.Module):
    r"""Attend among fields, add a linear map of each, and rectify.

    .. math:: y_m = \mathrm{relu}\Big(\big[\textstyle\sum_k a^h_{mk} W^h_V e_k\big]_h
        + W_R e_m\Big), \quad a^h_{m \cdot} = \mathrm{softmax}_k \langle W^h_Q e_m, W^h_K e_k\rangle

    Submodules are ``query``, ``key``, ``value`` and ``residual``, without biases. When the
    collection ``intermediates`` is mutable, the weights are sown there as ``attention_weights``,
    ``(*batch, heads, fields, fields)``.

    Attributes:
      num_heads: number of heads.
      features: width of all heads together; the input's if ``None``.
      use_residual: whether to add the linear map of each field.
      dense: factory of the maps, called as ``dense(features, name=..., ...)``.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    num_heads: int
    features: int | None = None
    use_residual: bool = True
    dense: Callable[..., nn.Module] = Dense
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "*batch fields inputs"]
    ) -> Float[Array, "*batch fields features"]:
        """Map ``(*batch, fields, inputs)`` to ``(*batch, fields, features)``."""
        where = "InteractingLayer"
        require_array(where, x=x)
        require_rank(where, "x", x, 2, "(*batch, fields, features)")
        require_positive(where, num_heads=self.num_heads)
        features = self.features or x.shape[-1]
        width, rest = divmod(features, self.num_heads)
        require(
            rest == 0 and width > 0,
            where,
            "num_heads",
            self.num_heads,
            f"a divisor of the {features} features of all heads",
        )
        query, key, value = (
            self._map(name, features, x).reshape(*x.shape[:-1], self.num_heads, width)
            for name in ("query", "key", "value")
        )
        if self.is_mutable_collection("intermediates"):
            y, weights = dot_product_attention(query, key, value, scale=1.0, return_weights=True)
            self.sow("intermediates", "attention_weights", weights)
        else:
            y = dot_product_attention(query, key, value, scale=1.0)
        y = y.reshape(*x.shape[:-1], features)
        if self.use_residual:
            y = y + self._map("residual", features, x)
        return jax.nn.relu(y)

    def _map(self, name: str, features: int, x: jax.Array) -> jax.Array:
        options: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        dense: Any = self.dense(features, name=name, use_bias=False, **options)
        return dense(x)
