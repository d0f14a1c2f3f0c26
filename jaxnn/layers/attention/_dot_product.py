r"""Softmax attention: the weights of each query are positive and sum to one.

Sources: "Attention Is All You Need" (2017), equation 1; shared keys from "GQA: Training
Generalized Multi-Query Transformer Models from Multi-Head Checkpoints" (2023); windows from
"Longformer: The Long-Document Transformer" (2020), section 3.1; capped logits from "Gemma 2:
Improving Open Language Models at a Practical Size" (2024), section 2.

Where nobody asks for the weights, ``_query_blocks.py`` leaves out the products that causality
and the window forbid.

===========  ==================================================
q            ``query``, ``(*batch, queries, heads, width)``
k            ``key``, ``(*batch, keys, key_heads, width)``
v            ``value``, ``(*batch, keys, key_heads, value_width)``
b            ``bias``, broadcast to ``(*batch, heads, queries, keys)``
s            ``scale``, 1/√width if not given
w            ``window``
c            ``logit_cap``
===========  ==================================================
"""

from typing import Literal, overload

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxnn._check import require
from jaxnn.layers.attention._cudnn import attend_by_cudnn
from jaxnn.layers.attention._products import (
    allowed_pairs,
    attention_logits,
    check_attention,
    drop_weights,
    weighted_values,
)
from jaxnn.layers.attention._query_blocks import attend_in_blocks, softmax_powers

Query = Float[Array, "*batch queries heads width"]
Key = Float[Array, "*batch keys key_heads width"]
Value = Float[Array, "*batch keys key_heads value_width"]
Output = Float[Array, "*batch queries heads value_width"]
Weights = Float[Array, "*batch heads queries keys"]


@overload
def dot_product_attention(
    query: Query,
    key: Key,
    value: Value,
    *,
    mask: Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    window: int | None = None,
    logit_cap: float | None = None,
    dropout_rate: float = 0.0,
    dropout_key: jax.Array | None = None,
    return_weights: Literal[False] = False,
    implementation: Literal["xla", "cudnn"] | None = None,
) -> Output: ...
@overload
def dot_product_attention(
    query: Query,
    key: Key,
    value: Value,
    *,
    mask: Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    window: int | None = None,
    logit_cap: float | None = None,
    dropout_rate: float = 0.0,
    dropout_key: jax.Array | None = None,
    return_weights: Literal[True],
    implementation: Literal["xla", "cudnn"] | None = None,
) -> tuple[Output, Weights]: ...
def dot_product_attention(
    query: Query,
    key: Key,
    value: Value,
    *,
    mask: Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    window: int | None = None,
    logit_cap: float | None = None,
    dropout_rate: float = 0.0,
    dropout_key: jax.Array | None = None,
    return_weights: bool = False,
    implementation: Literal["xla", "cudnn"] | None = None,
) -> Output | tuple[Output, Weights]:
    r"""Attend with softmax weights.

    .. math:: w_{ij} = \frac{e^{s\,q_i \cdot k_j + b_{ij}}}{\sum_l e^{s\,q_i \cdot k_l + b_{il}}},
        \quad y_i = \sum_j w_{ij} v_j

    Args:
      query: q.
      key: k; with fewer heads, each serves a run of ``heads / key_heads`` query heads.
      value: v, one for each key.
      mask: True where a query may attend to a key; broadcasts to the weights.
      bias: b, added to the logits; broadcasts to the weights.
      is_causal: whether query i attends to keys 0 ... i only, counted from the first of both.
      scale: s.
      window: w; query i attends to keys j with \|i − j\| < w only. With ``is_causal`` these are
        itself and the w − 1 before it, as in Mistral and Gemma 2.
      logit_cap: c; s q·k is replaced by c tanh(s q·k / c), before the bias is added.
      dropout_rate: share of the weights dropped, the others scaled up.
      dropout_key: random key, needed if ``dropout_rate`` is not zero.
      return_weights: whether to return ``(output, weights)``.
      implementation: ``"cudnn"`` hands over to the fused kernel that ``jax.nn`` calls on NVIDIA
        GPUs; otherwise what is here, compiled by XLA.

    Returns:
      An array in the dtype of ``value``; the softmax is taken in float32 or wider. A query that
      may attend to nothing gets the plain average of all values, as in ``jax.nn``. The weights
      are those before dropout, ``(*batch, heads, queries, keys)``, in the dtype of ``query``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers, or ``mask`` of booleans.
      ValueError: shapes disagree, a window or cap is not above zero, or ``"cudnn"`` cannot serve
        the call.

    Example:
      >>> query, key = jnp.zeros((1, 1, 2)), jnp.ones((4, 1, 2))
      >>> dot_product_attention(query, key, jnp.arange(4.0)[:, None, None]).tolist()
      [[[1.5]]]
    """
    where = "dot_product_attention"
    check_attention(
        where,
        query,
        key,
        value,
        mask,
        bias,
        scale,
        dropout_rate,
        dropout_key,
        window=window,
        logit_cap=logit_cap,
    )
    require(
        implementation in (None, "xla", "cudnn"),
        where,
        "implementation",
        implementation,
        "'xla', 'cudnn' or None",
    )
    if implementation == "cudnn":
        require(
            not (return_weights or dropout_rate or logit_cap),
            where,
            "implementation",
            implementation,
            "a call without `return_weights`, `dropout_rate` and `logit_cap`",
        )
        return attend_by_cudnn(
            where, query, key, value, mask, bias, is_causal=is_causal, scale=scale, window=window
        )
    if not (return_weights or dropout_rate):
        return attend_in_blocks(
            query,
            key,
            value,
            mask=mask,
            bias=bias,
            is_causal=is_causal,
            scale=scale,
            window=window,
            logit_cap=logit_cap,
        )
    logits = attention_logits(query, key, bias, scale, logit_cap)
    allowed = allowed_pairs(logits.shape, mask, is_causal, window)
    if allowed is not None:
        # Finite, so that a row of nothing else is uniform and not NaN.
        logits = jnp.where(allowed, logits, jnp.finfo(logits.dtype).min)
    weights = _softmax(logits)
    output = weighted_values(drop_weights(weights, dropout_rate, dropout_key), value)
    return (output, weights.astype(query.dtype)) if return_weights else output


@jax.custom_jvp
def _softmax(logits):
    powers = softmax_powers(logits)
    return powers / jnp.sum(powers, axis=-1, keepdims=True)


@_softmax.defjvp
def _softmax_jvp(primals, tangents):
    weights = lax.optimization_barrier(_softmax(*primals))
    change = weights * tangents[0]
    return weights, change - weights * jnp.sum(change, axis=-1, keepdims=True)
