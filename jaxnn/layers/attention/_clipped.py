r"""Clipped softmax: softmax stretched past 0 and 1 and cut, so that a weight can be exactly zero.

Source: "Quantizable Transformers: Removing Outliers by Helping Attention Heads Do Nothing"
(2023), equation 4. A softmax weight is zero only for an infinite logit: heads that want to add
nothing push their logits apart for as long as they train, and outliers grow in the activations
that make those logits. Here a flat row is already zero, and what is cut gets no gradient.

===========  ==================================================
q            ``query``, ``(*batch, queries, heads, width)``
k            ``key``, ``(*batch, keys, key_heads, width)``
v            ``value``, ``(*batch, keys, key_heads, value_width)``
b            ``bias``, broadcast to ``(*batch, heads, queries, keys)``
s            ``scale``, 1/√width if not given
ζ            ``zeta``, where a softmax weight of 1 goes before the cut, at least 1
γ            ``gamma``, where one of 0 goes, at most 0; -α/n if not given
α            ``alpha``
n            the number of keys
===========  ==================================================
"""

import math
from numbers import Real
from typing import Literal, overload

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxnn._check import require
from jaxnn.layers.attention._dot_product import Key, Output, Query, Value, Weights, _softmax
from jaxnn.layers.attention._products import (
    allowed_pairs,
    attention_logits,
    check_attention,
    drop_weights,
    weighted_values,
)


@overload
def clipped_softmax_attention(
    query: Query,
    key: Key,
    value: Value,
    *,
    mask: Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    zeta: float = 1.0,
    gamma: float | None = None,
    alpha: float = 4.0,
    dropout_rate: float = 0.0,
    dropout_key: jax.Array | None = None,
    return_weights: Literal[False] = False,
) -> Output: ...
@overload
def clipped_softmax_attention(
    query: Query,
    key: Key,
    value: Value,
    *,
    mask: Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    zeta: float = 1.0,
    gamma: float | None = None,
    alpha: float = 4.0,
    dropout_rate: float = 0.0,
    dropout_key: jax.Array | None = None,
    return_weights: Literal[True],
) -> tuple[Output, Weights]: ...
def clipped_softmax_attention(
    query: Query,
    key: Key,
    value: Value,
    *,
    mask: Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    zeta: float = 1.0,
    gamma: float | None = None,
    alpha: float = 4.0,
    dropout_rate: float = 0.0,
    dropout_key: jax.Array | None = None,
    return_weights: bool = False,
) -> Output | tuple[Output, Weights]:
    r"""Attend with softmax weights stretched to [γ, ζ] and cut to [0, 1].

    .. math:: p_{ij} = \mathrm{softmax}_j(s\,q_i \cdot k_j + b_{ij}), \quad
        w_{ij} = \mathrm{clip}((ζ - γ)\,p_{ij} + γ, 0, 1), \quad y_i = \sum_j w_{ij} v_j

    A weight is exactly 0 where p is at most -γ/(ζ - γ), and exactly 1 where it is at least
    (1 - γ)/(ζ - γ). With ζ = 1 and γ = 0 it is :func:`dot_product_attention`.

    Args:
      query: q.
      key: k; with fewer heads, each serves a run of ``heads / key_heads`` query heads.
      value: v, one for each key.
      mask: True where a query may attend to a key; broadcasts to the weights.
      bias: b, added to the logits; broadcasts to the weights.
      is_causal: whether query i attends to keys 0 ... i only, counted from the first of both.
      scale: s.
      zeta: ζ; the paper finds that 1 serves as well as more.
      gamma: γ. The default counts every key of the array, masked or not; where the number of
        keys differs between calls, as in decoding, pass the training length's.
      alpha: α, read if ``gamma`` is ``None``; the paper finds 2 to 4 good for any length.
      dropout_rate: share of the weights dropped, the others scaled up.
      dropout_key: random key, needed if ``dropout_rate`` is not zero.
      return_weights: whether to return ``(output, weights)``.

    Returns:
      An array in the dtype of ``value``; the softmax is taken in float32 or wider. A query that
      may attend to nothing gets the plain average of all values, stretched and cut as well:
      zeros if α is above 1 and keys are many. The weights are those before dropout, ``(*batch,
      heads, queries, keys)``, in the dtype of ``query``; rows sum to anything from 0 to ζ.

    Raises:
      TypeError: an argument is not an array of floating-point numbers, or ``mask`` of booleans.
      ValueError: shapes disagree; ζ is below 1, γ above 0 or α below 0.

    Gradient: none flows through a weight that is cut.

    Example:
      >>> query, key = jnp.array([[[9.0]]]), jnp.array([1.0, 0.0, 0.0])[:, None, None]
      >>> _, w = clipped_softmax_attention(query, key, key, gamma=-0.1, return_weights=True)
      >>> w.round(3).tolist()
      [[[1.0, 0.0, 0.0]]]
    """
    where = "clipped_softmax_attention"
    check_attention(where, query, key, value, mask, bias, scale, dropout_rate, dropout_key)
    logits = attention_logits(query, key, bias, scale)
    if gamma is None:
        _require_number(where, "alpha", alpha, 0, math.inf, "a finite number of at least 0")
        gamma = -alpha / max(logits.shape[-1], 1)
    _require_number(where, "gamma", gamma, -math.inf, 0, "a finite number of at most 0")
    _require_number(where, "zeta", zeta, 1, math.inf, "a finite number of at least 1")
    allowed = allowed_pairs(logits.shape, mask, is_causal)
    if allowed is not None:
        # Finite, so that a row of nothing else is uniform and not NaN.
        logits = jnp.where(allowed, logits, jnp.finfo(logits.dtype).min)
    stretched = (zeta - gamma) * _softmax(logits) + gamma
    # Not jnp.clip, which passes half of the gradient where its argument is exactly at an end.
    low, high = (jnp.asarray(end, stretched.dtype) for end in (0, 1))
    weights = lax.clamp(low, stretched, high)
    output = weighted_values(drop_weights(weights, dropout_rate, dropout_key), value)
    return (output, weights.astype(query.dtype)) if return_weights else output


def _require_number(where, argument, value, least, most, needs):
    ok = isinstance(value, Real) and math.isfinite(value) and least <= value <= most
    require(ok, where, argument, value, needs)
