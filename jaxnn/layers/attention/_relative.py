r"""Relative attention: logits of what a key is, and of how far it lies behind the query.

Source: "Transformer-XL: Attentive Language Models beyond a Fixed-Length Context" (2019), section
3.3. Queries are the last of the keys, so that keys may reach back into a memory: query i stands
at key m = n - q + i, of n keys and q queries. Distances are embedded and projected by the caller.

===========  ========================================================================
q            ``query``, ``(*batch, queries, heads, width)``
k            ``key``, ``(*batch, keys, key_heads, width)``
v            ``value``, ``(*batch, keys, key_heads, value_width)``
r            ``distance_key``, ``(distances, heads, width)``: of n - 1 first, then of less
u            ``content_bias``, ``(heads, width)``
t            ``position_bias``, ``(heads, width)``
b            ``bias``, broadcast to ``(*batch, heads, queries, keys)``
s            ``scale``, 1/√width if not given
===========  ========================================================================
"""

import math
from typing import Any, Literal, overload

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxnn._check import require, require_array, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.attention._dot_product import (
    Key,
    Output,
    Query,
    Value,
    Weights,
    dot_product_attention,
)
from jaxnn.layers.attention._products import check_attention, near_pairs

HeadBias = Float[Array, "heads width"]
DistanceKey = Float[Array, "distances heads width"]


def relative_shift(
    logits: Float[Array, "*batch queries distances"],
) -> Float[Array, "*batch queries distances"]:
    r"""Turn logits by distance into logits by key: row i moves q - 1 - i places to the left.

    .. math:: y_{ij} = x_{i,\,j + q - 1 - i}, \quad \text{0 where there is no such entry}

    Column c of x belongs to distance n - 1 - c, from the farthest key on; column j of y to key j.

    Args:
      logits: x, of q queries.

    Returns:
      An array of the same shape and dtype; no entry is computed, only moved.

    Raises:
      TypeError: ``logits`` is not an array of floating-point numbers.
      ValueError: it has fewer than two axes.

    Example:
      >>> relative_shift(jnp.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])).tolist()
      [[2.0, 3.0, 0.0], [4.0, 5.0, 6.0]]
    """
    require_array("relative_shift", logits=logits)
    require_rank("relative_shift", "logits", logits, 2, "(*batch, queries, distances)")
    *batch, queries, distances = logits.shape
    if queries == 0:
        return logits
    # In one line of all rows, each padded by q, a row that is one shorter starts one entry later
    # in the one before: what is read at a stride shorter by one is the diagonals.
    padded = jnp.pad(logits, [(0, 0)] * (logits.ndim - 1) + [(0, queries)])
    stride = distances + queries - 1
    line = padded.reshape(*batch, queries * (stride + 1))
    rows = line[..., queries - 1 : queries - 1 + queries * stride]
    return rows.reshape(*batch, queries, stride)[..., :distances]


@overload
def relative_attention(
    query: Query,
    key: Key,
    value: Value,
    distance_key: DistanceKey,
    content_bias: HeadBias,
    position_bias: HeadBias,
    *,
    mask: Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_rate: float = 0.0,
    dropout_key: jax.Array | None = None,
    return_weights: Literal[False] = False,
) -> Output: ...
@overload
def relative_attention(
    query: Query,
    key: Key,
    value: Value,
    distance_key: DistanceKey,
    content_bias: HeadBias,
    position_bias: HeadBias,
    *,
    mask: Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_rate: float = 0.0,
    dropout_key: jax.Array | None = None,
    return_weights: Literal[True],
) -> tuple[Output, Weights]: ...
def relative_attention(
    query: Query,
    key: Key,
    value: Value,
    distance_key: DistanceKey,
    content_bias: HeadBias,
    position_bias: HeadBias,
    *,
    mask: Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_rate: float = 0.0,
    dropout_key: jax.Array | None = None,
    return_weights: bool = False,
) -> Output | tuple[Output, Weights]:
    r"""Attend by content and by distance, from the last of the keys to all.

    .. math:: w_{ij} = \operatorname{softmax}_j\left(s\,(q_i + u) \cdot k_j
        + s\,(q_i + t) \cdot r_{(m - j)} + b_{ij}\right), \quad y_i = \sum_j w_{ij} v_j

    with r of the distance m - j from key j to the query's place m = n - q + i.

    Args:
      query: q.
      key: k, at least as many as queries; with fewer heads, each serves a run of
        ``heads / key_heads`` query heads.
      value: v, one for each key.
      distance_key: r; row c is of distance n - 1 - c. Causal attention needs n rows, the last
        of distance 0; otherwise q - 1 more follow, of the negative distances of later keys.
      content_bias: u, what is asked of any key whatever the query.
      position_bias: t, what is asked of any distance.
      mask: True where a query may attend to a key; broadcasts to the weights.
      bias: b, added to the logits; broadcasts to the weights.
      is_causal: whether a query attends only to the keys up to its place m.
      scale: s.
      dropout_rate: share of the weights dropped, the others scaled up.
      dropout_key: random key, needed if ``dropout_rate`` is not zero.
      return_weights: whether to return ``(output, weights)``.

    Returns:
      An array in the dtype of ``value``, and the weights, as
      :func:`dot_product_attention` gives them.

    Raises:
      TypeError: an argument is not an array of floating-point numbers, or ``mask`` of booleans.
      ValueError: shapes disagree, or there are fewer keys than queries.

    Example:
      >>> query, key, value = jnp.zeros((1, 1, 2)), jnp.ones((3, 1, 2)), jnp.eye(3)[:, None]
      >>> distance_key = jnp.array([0.0, 0.0, 99.0])[:, None, None] * jnp.ones((3, 1, 2))
      >>> bias = jnp.ones((1, 2))
      >>> relative_attention(query, key, value, distance_key, bias, bias).tolist()
      [[[0.0, 0.0, 1.0]]]
    """
    where = "relative_attention"
    check_attention(where, query, key, value, mask, bias, scale, dropout_rate, dropout_key)
    *batch, queries, heads, width = query.shape
    keys = key.shape[-3]
    needs = f"at least the {queries} positions of `query`, which are its last"
    require(keys >= queries, where, "key", key, needs)
    require_array(
        where, distance_key=distance_key, content_bias=content_bias, position_bias=position_bias
    )
    rows = keys if is_causal else keys + queries - 1
    shape = (rows, heads, width)
    require(
        distance_key.shape == shape,
        where,
        "distance_key",
        distance_key,
        f"shape {shape}, a row for each distance {keys - 1} ... {keys - rows}",
    )
    for name, value_ in (("content_bias", content_bias), ("position_bias", position_bias)):
        require(value_.shape == (heads, width), where, name, value_, f"shape {(heads, width)}")

    wide = accumulation_dtype(query.dtype)
    scale = 1 / math.sqrt(width) if scale is None else scale
    asked = (query + jnp.broadcast_to(position_bias, query.shape).astype(query.dtype)) * scale
    by_distance = jnp.einsum("...qhw,rhw->...hqr", asked, distance_key, preferred_element_type=wide)
    by_key = relative_shift(by_distance)[..., :keys]
    if bias is not None:
        by_key = by_key + jnp.broadcast_to(bias, by_key.shape).astype(wide)
    if is_causal:
        near: Any = near_pairs(queries, keys, True, None, first_query=keys - queries)
        full = (*batch, heads, queries, keys)
        near = jnp.broadcast_to(near, full)
        mask = near if mask is None else near & jnp.broadcast_to(mask, full)
    options: dict[str, Any] = {"return_weights": True} if return_weights else {}
    if dropout_rate:
        options |= {"dropout_rate": dropout_rate, "dropout_key": dropout_key}
    content = query + jnp.broadcast_to(content_bias, query.shape).astype(query.dtype)
    return dot_product_attention(
        content, key, value, mask=mask, bias=by_key, scale=scale, **options
    )
