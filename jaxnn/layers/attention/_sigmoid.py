r"""Sigmoid attention: each weight is found on its own, without a sum over the row.

Source: "Theory, Analysis, and Best Practices for Sigmoid Self-Attention" (2024), equation 3
and section 3. With b = -log n the rows sum to about one at the start of training, as those of
softmax do; with b = 0 they sum to n/2, and training suffers. No row needs its maximum or its
sum, so keys can be summed over in pieces and in any order.

===========  ==================================================
q            ``query``, ``(*batch, queries, heads, width)``
k            ``key``, ``(*batch, keys, key_heads, width)``
v            ``value``, ``(*batch, keys, key_heads, value_width)``
b            ``logit_bias``, -log n if not given
c            ``bias``, broadcast to ``(*batch, heads, queries, keys)``
s            ``scale``, 1/√width if not given
n            the number of keys
===========  ==================================================
"""

import math
from typing import Literal, overload

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxnn._check import require
from jaxnn.layers.attention._dot_product import Key, Output, Query, Value, Weights
from jaxnn.layers.attention._products import (
    allowed_pairs,
    attention_logits,
    check_attention,
    drop_weights,
    weighted_values,
)


@overload
def sigmoid_attention(
    query: Query,
    key: Key,
    value: Value,
    *,
    mask: Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    logit_bias: float | None = None,
    dropout_rate: float = 0.0,
    dropout_key: jax.Array | None = None,
    return_weights: Literal[False] = False,
) -> Output: ...
@overload
def sigmoid_attention(
    query: Query,
    key: Key,
    value: Value,
    *,
    mask: Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    logit_bias: float | None = None,
    dropout_rate: float = 0.0,
    dropout_key: jax.Array | None = None,
    return_weights: Literal[True],
) -> tuple[Output, Weights]: ...
def sigmoid_attention(
    query: Query,
    key: Key,
    value: Value,
    *,
    mask: Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    logit_bias: float | None = None,
    dropout_rate: float = 0.0,
    dropout_key: jax.Array | None = None,
    return_weights: bool = False,
) -> Output | tuple[Output, Weights]:
    r"""Attend with weights that are sigmoids, not normalised over the keys.

    .. math:: w_{ij} = \sigma(s\,q_i \cdot k_j + c_{ij} + b), \quad y_i = \sum_j w_{ij} v_j

    Args:
      query: q.
      key: k; with fewer heads, each serves a run of ``heads / key_heads`` query heads.
      value: v, one for each key.
      mask: True where a query may attend to a key; elsewhere the weight is exactly 0.
      bias: c, added to the logits, e.g. ALiBi's; broadcasts to the weights.
      is_causal: whether query i attends to keys 0 ... i only, counted from the first of both.
      scale: s.
      logit_bias: b. The default counts every key of the array, masked or not; for padded
        examples pass 0 here and each example's -log n in ``bias``.
      dropout_rate: share of the weights dropped, the others scaled up.
      dropout_key: random key, needed if ``dropout_rate`` is not zero.
      return_weights: whether to return ``(output, weights)``.

    Returns:
      An array in the dtype of ``value``; the sigmoid is taken in float32 or wider. A query that
      may attend to nothing gets zeros. The weights are those before dropout, ``(*batch, heads,
      queries, keys)``, in the dtype of ``query``; rows need not sum to one.

    Raises:
      TypeError: an argument is not an array of floating-point numbers, or ``mask`` of booleans.
      ValueError: shapes disagree.

    Example:
      >>> query, key = jnp.zeros((1, 1, 2)), jnp.ones((3, 1, 2))
      >>> print(sigmoid_attention(query, key, jnp.ones((3, 1, 1))).round(2))
      [[[0.75]]]
    """
    where = "sigmoid_attention"
    check_attention(where, query, key, value, mask, bias, scale, dropout_rate, dropout_key)
    logits = attention_logits(query, key, bias, scale)
    if logit_bias is None:
        logit_bias = -math.log(max(logits.shape[-1], 1))
    require(
        isinstance(logit_bias, float | int) and math.isfinite(logit_bias),
        where,
        "logit_bias",
        logit_bias,
        "a finite number",
        "Pass an array as `bias`.",
    )
    weights = jax.nn.sigmoid(logits + logit_bias)
    allowed = allowed_pairs(logits.shape, mask, is_causal)
    if allowed is not None:
        weights = jnp.where(allowed, weights, jnp.zeros_like(weights))
    output = weighted_values(drop_weights(weights, dropout_rate, dropout_key), value)
    return (output, weights.astype(query.dtype)) if return_weights else output
