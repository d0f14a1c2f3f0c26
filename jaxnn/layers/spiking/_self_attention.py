r"""Spiking self-attention: queries, keys and values are spikes, and no softmax is needed.

.. math:: y_i = a \sum_j (q_i \cdot k_j) \, v_j, \qquad q, k, v \in \{0, 1\}

Scores of spikes are counts, never negative, so that nothing has to make them so; and without the
softmax the product can be bracketed either way, (q kᵀ) v or q (kᵀ v), whichever costs less. Sums
of spikes are whole numbers, exact in floating point: both ways give the same bits.

===  =====================================================================
q    ``query``, ``(*batch, queries, heads, width)``
k    ``key``, ``(*batch, keys, key_heads, width)``
v    ``value``, ``(*batch, keys, key_heads, value_width)``
a    ``scale``
===  =====================================================================

Sources: "Spikformer: When Spiking Neural Network Meets Transformer" (2023), equations 6 to 10;
the order of neurons and maps "Spiking Neural Networks Need High Frequency Information" (2025).
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxnn._check import require, require_array, require_count
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.attention._products import (
    allowed_pairs,
    check_attention,
    fold_keys,
    row_products,
    unfold,
)
from jaxnn.layers.spiking._map_layers import ConvolutionNorm, map_neuron, require_trains


def spiking_self_attention(
    query: Float[Array, "*batch queries heads width"],
    key: Float[Array, "*batch keys key_heads width"],
    value: Float[Array, "*batch keys key_heads value_width"],
    *,
    mask: Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
) -> Float[Array, "*batch queries heads value_width"]:
    r"""Attend by counting common spikes, without a softmax.

    .. math:: y_i = a \sum_j (q_i \cdot k_j) \, v_j

    The keys' and values' product is formed first where that costs less, the scores n × n never;
    a mask over pairs, a bias or causality need the scores.

    Args:
      query: q; spikes, or any numbers.
      key: k; its heads divide those of ``query``.
      value: v.
      mask: True where attention is allowed, broadcast to ``(*batch, heads, queries, keys)``; one
        over keys alone, ``(*batch, 1, 1, keys)``, costs nothing.
      bias: added to the scaled scores.
      is_causal: whether later keys are hidden.
      scale: a; 1 / √width if ``None``, which for heads of 64 is the paper's 0.125.

    Returns:
      Currents, not spikes, in the dtype of ``query``. They grow with the number of keys: a neuron
      or a normalisation has to follow.

    Raises:
      TypeError: an argument has no floating-point numbers, or the mask no booleans.
      ValueError: shapes disagree, or the scale is not positive.

    Example:
      >>> q = k = v = jnp.ones((3, 1, 4))
      >>> spiking_self_attention(q, k, v)[0, 0].tolist()
      [6.0, 6.0, 6.0, 6.0]
    """
    where = "spiking_self_attention"
    check_attention(where, query, key, value, mask, bias, scale)
    *batch, queries, heads, width = query.shape
    keys, key_heads, values = *key.shape[-3:-1], value.shape[-1]
    scale = 1 / math.sqrt(width) if scale is None else scale
    if mask is not None and mask.shape[-3:-1] == (1, 1):
        # What is hidden from all queries has no value.
        seen = jnp.broadcast_to(mask[..., 0, 0, :], (*batch, keys))[..., None, None]
        value, mask = jnp.where(jnp.broadcast_to(seen, value.shape), value, 0), None
    rows, group = math.prod(batch) * key_heads, heads // key_heads
    q = jnp.swapaxes(query, -3, -2).reshape(rows, group * queries, width)
    k, v = fold_keys(key), fold_keys(value)
    pairs = group * queries * keys * (width + values)
    plain = mask is None and bias is None and not is_causal
    if plain and (keys + group * queries) * width * values < pairs:
        wide = accumulation_dtype(v.dtype)
        held = lax.dot_general(k, v, (((1,), (1,)), ((0,), (0,))), preferred_element_type=wide)
        y = _products(q, held.astype(v.dtype))
    else:
        scores = row_products(q, k).reshape(*batch, heads, queries, keys)
        if bias is not None:
            scores = scores + jnp.broadcast_to(bias, scores.shape).astype(scores.dtype) / scale
        allowed = allowed_pairs(scores.shape, mask, is_causal)
        if allowed is not None:
            scores = jnp.where(allowed, scores, 0)
        y = _products(scores.reshape(rows, group * queries, keys).astype(v.dtype), v)
    y = (scale * y).reshape(rows, group, queries, values)
    return unfold(y, batch, heads, query.dtype)


def _products(a: jax.Array, b: jax.Array) -> jax.Array:
    """Multiply matrices ``(n, rows, inner)`` and ``(n, inner, columns)``, widened."""
    wide = accumulation_dtype(b.dtype)
    return lax.dot_general(a, b, (((2,), (1,)), ((0,), (0,))), preferred_element_type=wide)


class SpikingSelfAttention(nn.Module):
    """Mix the places of spike maps by :func:`spiking_self_attention`, a block's ``mixer``.

    Each place is mapped to queries, keys and values, normalised, and made spikes by neurons; what
    the attention gives makes spikes again, which are mapped and normalised.

    Attributes:
      num_heads: heads; they divide the channels.
      scale: a; 1 / √(channels / heads) if ``None``.
      attention: attention function, called as ``attention(query, key, value, scale=)``.
      neuron: factory of the neurons, called as ``neuron(time_axis=0, name=...)``.
      attention_neuron: factory of those after the attention; half the threshold, as in the
        paper.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    num_heads: int = 4
    scale: float | None = None
    attention: Callable[..., Any] = spiking_self_attention
    neuron: Callable[..., nn.Module] = map_neuron
    attention_neuron: Callable[..., nn.Module] = functools.partial(map_neuron, threshold=0.5)
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "time *batch height width channels"]
    ) -> Float[Array, "time *batch height width channels"]:
        """Map spikes ``(time, *batch, height, width, channels)`` to currents of the same shape."""
        where = "SpikingSelfAttention"
        require_trains(where, x)
        require_count(where, num_heads=self.num_heads)
        *rest, height, width, channels = x.shape
        needs = f"a divisor of the {channels} channels"
        require(channels % self.num_heads == 0, where, "num_heads", self.num_heads, needs)
        options = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        heads = (*rest, height * width, self.num_heads, channels // self.num_heads)

        def train(name: str) -> jax.Array:
            y = ConvolutionNorm(channels, kernel_size=1, name=name, **options)(x)
            y = self.neuron(time_axis=0, name=f"{name}_neuron")(y)
            return y.reshape(heads)

        y = self.attention(train("query"), train("key"), train("value"), scale=self.scale)
        require_array(where, attention=y)
        y = self.attention_neuron(time_axis=0, name="neuron")(y.reshape(x.shape))
        return ConvolutionNorm(channels, kernel_size=1, name="output", **options)(y)
