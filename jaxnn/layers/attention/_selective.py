r"""Selective attention: each token says how sharply it attends and how much its value counts.

Source: "Selective Attention: Enhancing Transformer through Principled Context Control" (2024),
section 3. A query's temperature multiplies its logits. Its first term lets tokens differ, its
second keeps the weights from spreading out as there are more keys.

===========  ====================================================
f            ``tokens``, ``(*batch, time, heads)``
n            number of keys a query sees, its position plus one
α            ``position_logit``, ``(heads,)``
===========  ====================================================
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Num

from jaxnn._check import require, require_array
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.attention._multi_head import MultiHeadAttention


def selective_temperature(
    tokens: Float[Array, "*batch time heads"],
    positions: Num[Array, "*position_batch time"],
    position_logit: Float[Array, " heads"],
) -> Float[Array, "*batch time heads"]:
    r"""Give what each head's query is multiplied by.

    .. math:: \tau = \tanh(f) + 1 + \sigma(\alpha) \log n

    Args:
      tokens: f, a learned function of each token.
      positions: n - 1, ``(time,)`` or ``(*batch, time)``.
      position_logit: α; far below zero, only the token matters.

    Returns:
      An array in the dtype of ``tokens``.

    Raises:
      TypeError: an argument is not an array.
      ValueError: shapes disagree.

    Example:
      >>> tokens, logit = jnp.zeros((3, 1)), jnp.zeros(1)
      >>> print(selective_temperature(tokens, jnp.arange(3), logit)[:, 0].round(2))
      [1.   1.35 1.55]
    """
    where = "selective_temperature"
    require_array(where, tokens=tokens, position_logit=position_logit)
    require_array(where, floating=False, positions=positions)
    require(tokens.ndim >= 2, where, "tokens", tokens, "shape (*batch, time, heads)")
    *batch, time, heads = tokens.shape
    require(
        positions.shape in ((time,), (*batch, time)),
        where,
        "positions",
        positions,
        f"shape {(time,)} or {(*batch, time)}, one for each token",
    )
    shape = (heads,)
    require(
        position_logit.shape == shape, where, "position_logit", position_logit, f"shape {shape}"
    )
    wide = accumulation_dtype(tokens.dtype)
    seen = jnp.log1p(positions.astype(wide))
    seen = jnp.broadcast_to(seen[..., None], tokens.shape)
    share = jnp.broadcast_to(jax.nn.sigmoid(position_logit.astype(wide)), tokens.shape)
    return (jnp.tanh(tokens.astype(wide)) + 1 + share * seen).astype(tokens.dtype)


class SelectiveAttention(MultiHeadAttention):
    """Multi-head attention whose queries, and values if asked, have temperatures.

    Beside those of :class:`MultiHeadAttention` it has submodules ``query_temperature`` and
    ``value_temperature``, maps from the token to f that start at zero, and parameters
    ``query_position`` and ``value_position``, the α of each head. As in the paper a value's
    temperature has no term for the position unless asked.

    Attributes:
      share_heads: whether one f serves all heads; it then has ``features`` parameters and one.
      hidden_features: width of a hidden layer of f with GELU; ``None`` for a linear map.
      position_init: what α starts at.
      select_values: whether values have temperatures too.
    """

    share_heads: bool = True
    hidden_features: int | None = None
    position_init: float = 0.0
    select_values: bool = True

    def _prepare(
        self, name: str, heads: jax.Array, x: jax.Array, positions: jax.Array
    ) -> jax.Array:
        if name == "key" or (name == "value" and not self.select_values):
            return heads
        count = heads.shape[-2]
        f = self._token_map(f"{name}_temperature", x, 1 if self.share_heads else count)
        f = jnp.broadcast_to(f, (*x.shape[:-1], count))
        if name == "query":
            start = nn.initializers.constant(self.position_init)
            logit = self.param("query_position", start, (count,), self.param_dtype)
            temperature = selective_temperature(f, positions, logit)
        else:
            temperature = 1 + jnp.tanh(f)
        scale = jnp.broadcast_to(temperature[..., None].astype(heads.dtype), heads.shape)
        return heads * scale

    def _token_map(self, name: str, x: jax.Array, outputs: int) -> jax.Array:
        if self.hidden_features is not None:
            hidden: Any = self._dense(self.hidden_features, f"{name}_hidden", use_bias=True)
            x = jax.nn.gelu(hidden(x))
        zeros = nn.initializers.zeros_init()
        last: Any = self._dense(outputs, name, use_bias=True, kernel_init=zeros)
        return last(x)
