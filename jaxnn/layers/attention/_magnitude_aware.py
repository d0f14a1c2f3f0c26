r"""Magnitude-aware linear attention: longer queries have sharper weights, in linear time.

Linear attention divides the size of φ(q) away. Here each weight is stretched and shifted
instead, by amounts that depend on that size, so that rows still sum to one. Written out, what
is read is that of linear attention, plus the sum of the values about their mean.

Source: "Rectifying Magnitude Neglect in Linear Attention" (2025).

===========  ==================================================
q, k, v      ``query``, ``key``, ``value``, as in linear attention
φ            ``feature_map``
N            the number of keys that a query may read
s            ``scale``, 1/(N √width) if not given
S            sum of the scores s φ(q)·φ(k) over the keys
===========  ==================================================

The paper's equations have s = 1; the code released with it has the default. With s = 1 what is
read grows with the number of keys.
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax.typing import Dtype
from jaxtyping import Array, Bool, Float

from jaxnn._check import require_count, require_positive
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.attention._dot_product import Key, Output, Query, Value
from jaxnn.layers.attention._features import (
    check_extension,
    check_linear,
    check_state,
    divided,
    flatten_rows,
    group_queries,
    sums_of_all,
    sums_so_far,
    ungroup,
    values_and_ones,
)
from jaxnn.layers.attention._linear import FeatureMap, elu_plus_one, empty_sums, features


def magnitude_aware_attention(
    query: Query,
    key: Key,
    value: Value,
    *,
    mask: Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    feature_map: FeatureMap = elu_plus_one,
    chunk_size: int = 64,
) -> Output:
    r"""Attend in linear time with weights whose spread grows with the size of the query.

    .. math:: w_{ij} = \beta_i\, s\,\phi(q_i) \cdot \phi(k_j) - \gamma_i, \quad
        \beta_i = 1 + \frac{1}{S_i}, \quad \gamma_i = \frac{S_i}{N}

    Rows sum to one; weights of keys far below the average are negative.

    Args:
      query: q.
      key: k; with fewer heads, each serves a run of ``heads / key_heads`` query heads.
      value: v, one for each key.
      mask: True for real keys; must be the same for all queries and heads, ``(*batch, 1, 1,
        keys)``. N counts real keys only.
      bias: must be ``None``; there are no logits to add it to.
      is_causal: whether query i attends to keys 0 ... i only, counted from the first of both;
        S and N are then those of these keys.
      scale: s.
      feature_map: φ, on the last axis, in float32 or wider.
      chunk_size: keys that the causal form reads in one product; changes speed and not values.

    Returns:
      An array in the dtype of ``value``; all sums are taken in float32 or wider. A query that
      may attend to nothing, or whose scores are all zero, gets zeros.

    Raises:
      TypeError: an argument is not an array of floating-point numbers, or ``mask`` of booleans.
      ValueError: shapes disagree, ``mask`` tells queries apart, or there is a ``bias``.

    Example:
      >>> query, key = jnp.zeros((1, 1, 2)), jnp.ones((4, 1, 2))
      >>> magnitude_aware_attention(query, key, jnp.arange(4.0)[:, None, None]).tolist()
      [[[1.5]]]
    """
    where = "magnitude_aware_attention"
    real = check_linear(where, query, key, value, mask, bias)
    _check_options(where, scale, chunk_size)
    a, b = features(where, feature_map, query), features(where, feature_map, key)
    v = flatten_rows(values_and_ones(value, real, b.dtype))
    rows_a, rows_b = group_queries(a, key.shape[-2]), flatten_rows(b)
    if is_causal:
        start = jnp.zeros((v.shape[0], b.shape[-1], v.shape[-1]), v.dtype)
        sums, _ = sums_so_far(rows_a, rows_b, v, start, chunk_size)
        totals = _totals_so_far(v, query.shape[-3])
    else:
        sums = sums_of_all(rows_a, rows_b, v)
        totals = jnp.sum(v, axis=1, keepdims=True)
    return ungroup(_read(sums, totals, scale, query.shape[-1]), query).astype(value.dtype)


def _check_options(where, scale, chunk_size):
    require_count(where, chunk_size=chunk_size)
    if scale is not None:
        require_positive(where, scale=scale)


def _totals_so_far(v, queries):
    """Sum values and ones over keys 0 ... i for each query i."""
    v = jnp.pad(v[:, :queries], [(0, 0), (0, max(0, queries - v.shape[1])), (0, 0)])
    return jnp.cumsum(v, axis=1)


def _read(sums, totals, scale, width):
    """Join Σ φ(q)·φ(k) [v, 1], ``(rows, group, queries, ...)``, with Σ [v, 1] without group."""
    totals = jnp.broadcast_to(totals[:, None], sums.shape)
    count = jnp.maximum(totals[..., -1:], 1)
    mean = totals[..., :-1] / count
    s = 1 / (math.sqrt(width) * count) if scale is None else scale
    # Σ w v = β s Σ φφ v - γ Σ v, with the 1/S in β taken out: it cancels s.
    about_mean = sums[..., :-1] - sums[..., -1:] * mean
    return divided(sums[..., :-1], sums[..., -1:]) + s * about_mean


class MagnitudeAwareAttentionState(NamedTuple):
    """What magnitude-aware attention keeps of the keys and values it has read.

    Attributes:
      sums: Σ φ(k) vᵀ, with Σ φ(k) in one more column, ``(*batch, key_heads, features,
        value_width + 1)``.
      totals: Σ v and N, ``(*batch, key_heads, value_width + 1)``.
    """

    sums: jax.Array
    totals: jax.Array


@dataclasses.dataclass(frozen=True)
class MagnitudeAwareAttention:
    """Magnitude-aware attention as a :class:`RecurrentAttention`.

    See :func:`magnitude_aware_attention`.

    Attributes:
      scale: s; 1/(N √width) if ``None``.
      feature_map: φ, on the last axis.
      chunk_size: keys that the causal form reads in one product.

    Example:
      >>> query = key = value = jnp.ones((3, 1, 2))
      >>> attend = MagnitudeAwareAttention()
      >>> state = attend.initial_state((), 1, 2, 2, jnp.float32)
      >>> output, state = attend.extend(state, query, key, value)
      >>> bool(jnp.allclose(output, attend(query, key, value, is_causal=True)))
      True
    """

    scale: float | None = None
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
        """Attend as :func:`magnitude_aware_attention` does."""
        return magnitude_aware_attention(
            query,
            key,
            value,
            mask=mask,
            bias=bias,
            is_causal=is_causal,
            scale=self.scale,
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
    ) -> MagnitudeAwareAttentionState:
        """Make the state before anything was read; see :class:`RecurrentAttention`."""
        wide = accumulation_dtype(dtype)
        made = jax.eval_shape(self.feature_map, jax.ShapeDtypeStruct((width,), wide))
        (sums,) = empty_sums(batch_shape, key_heads, made.shape[-1], value_width, wide)
        return MagnitudeAwareAttentionState(
            sums, jnp.zeros((*sums.shape[:-2], value_width + 1), wide)
        )

    def extend(
        self,
        state: MagnitudeAwareAttentionState,
        query: Query,
        key: Key,
        value: Value,
        *,
        mask: Bool[Array, "*batch time"] | None = None,
    ) -> tuple[Output, MagnitudeAwareAttentionState]:
        """Read further time steps; see :class:`RecurrentAttention`."""
        where = "MagnitudeAwareAttention.extend"
        check_extension(where, query, key, value, mask)
        _check_options(where, self.scale, self.chunk_size)
        a, b = (features(where, self.feature_map, x) for x in (query, key))
        *batch, time, key_heads, made = b.shape
        columns = value.shape[-1] + 1
        shapes = {
            "sums": (*batch, key_heads, made, columns),
            "totals": (*batch, key_heads, columns),
        }
        check_state(where, state, shapes)
        v = flatten_rows(values_and_ones(value, mask, b.dtype))
        rows = v.shape[0]
        start = state.sums.reshape(rows, made, columns).astype(v.dtype)
        before = state.totals.reshape(rows, 1, columns).astype(v.dtype)
        rows_a, rows_b = group_queries(a, key_heads), flatten_rows(b)
        sums, end = sums_so_far(rows_a, rows_b, v, start, self.chunk_size)
        y = _read(sums, before + _totals_so_far(v, time), self.scale, query.shape[-1])
        after = (before + jnp.sum(v, axis=1, keepdims=True)).reshape(state.totals.shape)
        next_state = MagnitudeAwareAttentionState(end.reshape(state.sums.shape), after)
        return ungroup(y, query).astype(value.dtype), next_state
