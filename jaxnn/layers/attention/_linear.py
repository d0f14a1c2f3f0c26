r"""Linear attention: weights are products of features, so keys are summed before queries read.

Source: "Transformers are RNNs: Fast Autoregressive Transformers with Linear Attention" (2020),
equations 5 to 7 for any order and 8 to 12 for the causal form, which is also a recurrence: the
two sums over keys are its state.

===========  ==================================================
q            ``query``, ``(*batch, queries, heads, width)``
k            ``key``, ``(*batch, keys, key_heads, width)``
v            ``value``, ``(*batch, keys, key_heads, value_width)``
φ            ``feature_map``, from width to any number of features
===========  ==================================================
"""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax.typing import Dtype
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxnn._check import require_array, require_count
from jaxnn._numeric import accumulation_dtype, varying_like
from jaxnn.layers.attention._dot_product import Key, Output, Query, Value
from jaxnn.layers.attention._features import (
    check_extension,
    check_linear,
    check_state,
    chunked,
    divided,
    flatten_rows,
    group_queries,
    joined,
    sums_of_all,
    sums_of_chunk,
    sums_so_far,
    ungroup,
    values_and_ones,
)

FeatureMap = Callable[[jax.Array], jax.Array]


def elu_plus_one(x: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""Map each entry to a positive number, the feature map of the 2020 paper.

    .. math:: \phi(x) = \mathrm{elu}(x) + 1 = \max(x, 0) + e^{\min(x, 0)}

    The second form keeps small features, where elu(x) + 1 would round to 0 below -17.

    Args:
      x: any array.

    Returns:
      An array of the same shape and dtype.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.

    Example:
      >>> print(elu_plus_one(jnp.array([-1.0, 0.0, 2.0])).round(2))
      [0.37 1.   3.  ]
    """
    require_array("elu_plus_one", x=x)
    return jnp.maximum(x, 0) + jnp.exp(jnp.minimum(x, 0))


def linear_attention(
    query: Query,
    key: Key,
    value: Value,
    *,
    mask: Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    is_causal: bool = False,
    feature_map: FeatureMap = elu_plus_one,
    chunk_size: int = 64,
) -> Output:
    r"""Attend with weights that are products of features, in time linear in the keys.

    .. math:: y_i = \frac{\phi(q_i)^\top \sum_j \phi(k_j) v_j^\top}{\phi(q_i)^\top \sum_j \phi(k_j)}

    Args:
      query: q.
      key: k; with fewer heads, each serves a run of ``heads / key_heads`` query heads.
      value: v, one for each key.
      mask: True for real keys; must be the same for all queries and heads, ``(*batch, 1, 1,
        keys)``.
      bias: must be ``None``; there are no logits to add it to.
      is_causal: whether query i attends to keys 0 ... i only, counted from the first of both.
      feature_map: φ, on the last axis, in float32 or wider.
      chunk_size: keys that the causal form reads in one product; changes speed and not values.

    Returns:
      An array in the dtype of ``value``; all sums are taken in float32 or wider. A query whose
      weights sum to zero gets zeros.

    Raises:
      TypeError: an argument is not an array of floating-point numbers, or ``mask`` of booleans.
      ValueError: shapes disagree, ``mask`` tells queries apart, or there is a ``bias``.

    Example:
      >>> query, key = jnp.zeros((1, 1, 2)), jnp.ones((4, 1, 2))
      >>> linear_attention(query, key, jnp.arange(4.0)[:, None, None]).tolist()
      [[[1.5]]]
    """
    where = "linear_attention"
    real = check_linear(where, query, key, value, mask, bias)
    map_rows = partial(features, where, feature_map)
    maps = map_rows, map_rows
    return attend_by_features(where, maps, query, key, value, real, is_causal, chunk_size)


def features(where, feature_map, x):
    """Apply a feature map in float32 or wider; it must keep all axes but the last."""
    y = feature_map(x.astype(accumulation_dtype(x.dtype)))
    if y.shape[:-1] != x.shape[:-1]:
        raise ValueError(
            f"{where}: `feature_map` made shape {y.shape} of {x.shape}; it needs to keep all axes "
            "but the last."
        )
    return y


def attend_by_features(where, maps, query, key, value, real, is_causal, chunk_size):
    """Attend with weights a·b, divided by their sum; ``maps`` make a of queries and b of keys."""
    require_count(where, chunk_size=chunk_size)
    if is_causal:
        return _attend_by_chunks(maps, query, key, value, real, chunk_size)
    a, b = maps[0](query), maps[1](key)
    v = flatten_rows(values_and_ones(value, real, b.dtype))
    return _weighted(sums_of_all(group_queries(a, key.shape[-2]), flatten_rows(b), v), value, a)


def _weighted(sums, value, like):
    return ungroup(divided(sums[..., :-1], sums[..., -1:]), like).astype(value.dtype)


def _attend_by_chunks(maps, query, key, value, real, chunk_size):
    """Read causally: features live for one chunk, and are made anew to differentiate it.

    Of what is computed, the gradient needs the running sums alone kept, one a chunk.
    """
    *batch, queries, _, _ = query.shape
    keys, key_heads, _ = key.shape[-3:]
    if real is None and keys < queries:
        real = jnp.ones((*batch, keys), bool)

    def read(sums, chunk):
        query, key, value, real = chunk
        a, b = maps[0](query), maps[1](key)
        v = flatten_rows(values_and_ones(value, real, b.dtype))
        y, sums = sums_of_chunk(group_queries(a, key_heads), flatten_rows(b), v, sums)
        return sums, _weighted(y, value, a)

    axis = len(batch)
    arrays = (query, key, value, real)
    parts = jax.tree.map(lambda x: chunked(x, axis, queries, chunk_size), arrays)
    b = jax.eval_shape(maps[1], key)
    start = jnp.zeros((math.prod(batch) * key_heads, b.shape[-1], value.shape[-1] + 1), b.dtype)
    start = varying_like(start, query, key, value)
    _, y = lax.scan(jax.checkpoint(read, prevent_cse=False), start, parts)
    return joined(y, axis, queries)


class LinearAttentionState(NamedTuple):
    """What linear attention keeps of the keys and values it has read.

    Attributes:
      sums: Σ φ(k) vᵀ, with Σ φ(k) in one more column, ``(*batch, key_heads, features,
        value_width + 1)``.
    """

    sums: jax.Array


@dataclasses.dataclass(frozen=True)
class LinearAttention:
    """Linear attention as a :class:`RecurrentAttention`; see :func:`linear_attention`.

    Attributes:
      feature_map: φ, on the last axis.
      chunk_size: keys that the causal form reads in one product.

    Example:
      >>> query = key = value = jnp.ones((3, 1, 2))
      >>> attend = LinearAttention()
      >>> state = attend.initial_state((), 1, 2, 2, jnp.float32)
      >>> output, state = attend.extend(state, query, key, value)
      >>> bool(jnp.allclose(output, attend(query, key, value, is_causal=True)))
      True
    """

    feature_map: FeatureMap = elu_plus_one
    chunk_size: int = 64

    def __call__(
        self,
        query: Query,
        key: Key,
        value: Value,
        *,
        mask: Bool[Array, "..."] | None = None,
        bias: Float[Array, "..."] | None = None,
        is_causal: bool = False,
    ) -> Output:
        """Attend as :func:`linear_attention` does."""
        return linear_attention(
            query,
            key,
            value,
            mask=mask,
            bias=bias,
            is_causal=is_causal,
            feature_map=self.feature_map,
            chunk_size=self.chunk_size,
        )

    def initial_state(
        self,
        batch_shape: tuple[int, ...],
        key_heads: int,
        width: int,
        value_width: int,
        dtype: Dtype,
    ) -> LinearAttentionState:
        """Make the state before anything was read; see :class:`RecurrentAttention`."""
        wide = accumulation_dtype(dtype)
        made = jax.eval_shape(self.feature_map, jax.ShapeDtypeStruct((width,), wide))
        return empty_sums(batch_shape, key_heads, made.shape[-1], value_width, wide)

    def extend(
        self,
        state: LinearAttentionState,
        query: Query,
        key: Key,
        value: Value,
        *,
        mask: Bool[Array, "*batch time"] | None = None,
    ) -> tuple[Output, LinearAttentionState]:
        """Read further time steps; see :class:`RecurrentAttention`."""
        where = "LinearAttention.extend"
        check_extension(where, query, key, value, mask)
        a, b = (features(where, self.feature_map, x) for x in (query, key))
        return extend_by_features(where, state, a, b, value, mask, self.chunk_size)


def empty_sums(batch_shape, key_heads, features, value_width, wide):
    """Make the state of a linear attention with this many features."""
    return LinearAttentionState(
        jnp.zeros((*batch_shape, key_heads, features, value_width + 1), wide)
    )


def extend_by_features(where, state, a, b, value, mask, chunk_size):
    """Read further keys and values with weights a·b; give output and state."""
    require_count(where, chunk_size=chunk_size)
    *batch, _, key_heads, features = b.shape
    check_state(where, state, {"sums": (*batch, key_heads, features, value.shape[-1] + 1)})
    v = flatten_rows(values_and_ones(value, mask, b.dtype))
    start = state.sums.reshape(v.shape[0], *state.sums.shape[-2:]).astype(v.dtype)
    sums, end = sums_so_far(group_queries(a, key_heads), flatten_rows(b), v, start, chunk_size)
    y = divided(sums[..., :-1], sums[..., -1:])
    return ungroup(y, a).astype(value.dtype), LinearAttentionState(end.reshape(state.sums.shape))
