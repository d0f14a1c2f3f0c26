r"""Norm-aware linear attention: the norm of a query decides how sharp its weights are.

Plain linear attention divides the norm of the query away where its feature map is homogeneous.
Here the norm sets the power that the entries of the query's direction are raised to, and signs
are kept as angles: entries of opposite sign meet at a right angle at most, and add nothing.

Source: "NaLaFormer: Norm-Aware Linear Attention for Transformer Models" (2025).

===========  ==================================================
q, k, v      ``query``, ``key``, ``value``, as in linear attention
d(x)         the direction x / ‖x‖
λ            ``power``
s            ``angle``, at most π/4
===========  ==================================================

Differs: the code released with a later version of the paper keeps signs by a split into
positive and negative parts, and turns queries and keys by a rotary embedding inside the sums.
"""

import dataclasses
import math
from functools import partial

import jax.numpy as jnp
from flax.typing import Dtype
from jaxtyping import Array, Bool, Float

from jaxnn._check import require, require_positive
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.attention._dot_product import Key, Output, Query, Value
from jaxnn.layers.attention._features import check_extension, check_linear
from jaxnn.layers.attention._linear import (
    LinearAttentionState,
    attend_by_features,
    empty_sums,
    extend_by_features,
)


def norm_aware_attention(
    query: Query,
    key: Key,
    value: Value,
    *,
    mask: Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    is_causal: bool = False,
    power: float = 3.0,
    angle: float = math.pi / 4,
    chunk_size: int = 64,
) -> Output:
    r"""Attend in linear time, the more sharply the longer the query is.

    .. math:: w_{ij} \propto \phi_q(q_i) \cdot \phi_k(k_j), \quad
        \phi_q(q) = |d(q)|^{p} \odot [\cos s\,d(q);\, \sin s\,d(q)], \quad
        p = \lambda \left(\tfrac12 + \tanh \lVert q \rVert\right)

    .. math:: \phi_k(k) = |k|^{\lambda} \odot [\cos s\,d(k);\, \sin s\,d(k)]

    with powers, cosines and sines of each entry. The product of two entries' features is the
    cosine of s times their difference, so that with s ≤ π/4 no weight is negative.

    Args:
      query: q.
      key: k; with fewer heads, each serves a run of ``heads / key_heads`` query heads.
      value: v, one for each key.
      mask: True for real keys; must be the same for all queries and heads, ``(*batch, 1, 1,
        keys)``.
      bias: must be ``None``; there are no logits to add it to.
      is_causal: whether query i attends to keys 0 ... i only, counted from the first of both.
      power: λ.
      angle: s.
      chunk_size: keys that the causal form reads in one product; changes speed and not values.

    Returns:
      An array in the dtype of ``value``; features and sums are taken in float32 or wider. A
      query of zeros has no direction, and gets zeros.

    Raises:
      TypeError: an argument is not an array of floating-point numbers, or ``mask`` of booleans.
      ValueError: shapes disagree, ``mask`` tells queries apart, there is a ``bias``, or
        ``power`` or ``angle`` is out of range.

    Example:
      >>> query, key = jnp.ones((1, 1, 2)), jnp.array([[[1.0, 1.0]], [[2.0, 2.0]]])
      >>> norm_aware_attention(query, key, jnp.array([[[0.0]], [[9.0]]])).round(3).tolist()
      [[[8.0]]]
    """
    where = "norm_aware_attention"
    real = check_linear(where, query, key, value, mask, bias)
    _check_map(where, power, angle)
    maps = tuple(partial(f, power=power, angle=angle) for f in (_query_features, _key_features))
    return attend_by_features(where, maps, query, key, value, real, is_causal, chunk_size)


def _check_map(where, power, angle):
    require_positive(where, power=power, angle=angle)
    # A float32 of π/4 may lie above the double.
    needs = "at most π/4, beyond which weights could be negative"
    require(angle <= math.pi / 4 + 1e-6, where, "angle", angle, needs)


def _query_features(query, power, angle):
    q = query.astype(accumulation_dtype(query.dtype))
    norm, direction = _norm_and_direction(q)
    return _turned(_powers(direction, power * (0.5 + jnp.tanh(norm))), direction, angle)


def _key_features(key, power, angle):
    k = key.astype(accumulation_dtype(key.dtype))
    _, direction = _norm_and_direction(k)
    return _turned(_powers(k, jnp.full((*k.shape[:-1], 1), power, k.dtype)), direction, angle)


def _norm_and_direction(x):
    """Give ‖x‖, in an axis of one, and x / ‖x‖; both are 0, with no gradient, where x is."""
    square = jnp.sum(x * x, axis=-1, keepdims=True)
    empty = square == 0
    norm = jnp.sqrt(jnp.where(empty, 1, square))
    return jnp.where(empty, 0, norm), x / norm


def _powers(x, exponents):
    """Raise |x| to powers above zero; zeros stay zeros, with finite gradients."""
    empty = x == 0
    powers = jnp.exp(exponents * jnp.log(jnp.abs(jnp.where(empty, 1, x))))
    return jnp.where(empty, 0, powers)


def _turned(size, direction, angle):
    turn = angle * direction
    return jnp.concatenate([size * jnp.cos(turn), size * jnp.sin(turn)], axis=-1)


@dataclasses.dataclass(frozen=True)
class NormAwareAttention:
    """Norm-aware attention as a :class:`RecurrentAttention`; see :func:`norm_aware_attention`.

    Attributes:
      power: λ, of keys, and half to one and a half times that of queries.
      angle: s, what an entry of one turns by.
      chunk_size: keys that the causal form reads in one product.

    Example:
      >>> query = key = value = jnp.ones((3, 1, 2))
      >>> attend = NormAwareAttention()
      >>> state = attend.initial_state((), 1, 2, 2, jnp.float32)
      >>> output, state = attend.extend(state, query, key, value)
      >>> bool(jnp.allclose(output, attend(query, key, value, is_causal=True)))
      True
    """

    power: float = 3.0
    angle: float = math.pi / 4
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
        """Attend as :func:`norm_aware_attention` does."""
        return norm_aware_attention(
            query,
            key,
            value,
            mask=mask,
            bias=bias,
            is_causal=is_causal,
            power=self.power,
            angle=self.angle,
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
        return empty_sums(batch_shape, key_heads, 2 * width, value_width, accumulation_dtype(dtype))

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
        where = "NormAwareAttention.extend"
        check_extension(where, query, key, value, mask)
        _check_map(where, self.power, self.angle)
        a = _query_features(query, self.power, self.angle)
        b = _key_features(key, self.power, self.angle)
        return extend_by_features(where, state, a, b, value, mask, self.chunk_size)
