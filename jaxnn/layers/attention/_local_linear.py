r"""Local linear attention: a weighted straight line through the values, read at the query.

Softmax attention answers a query by a local average of the values, a constant fitted with the
softmax weights. Here a linear map of the keys is fitted with the same weights, ridge-penalised,
and its value at the query is read. A constant is biased where keys lie to one side of the query
or values slope; a line is not.

Source: "Local Linear Attention: An Optimal Interpolation of Linear and Softmax Attention For
Test-Time Regression" (2025). The fit is solved in the form centred at the weighted mean of the
keys, which equals the paper's and divides by nothing that may vanish.

===========  ==================================================
q            ``query``, ``(*batch, queries, heads, width)``
k            ``key``, ``(*batch, keys, key_heads, width)``
v            ``value``, ``(*batch, keys, key_heads, value_width)``
b            ``bias``, broadcast to ``(*batch, heads, queries, keys)``
s            ``scale``, 1/√width if not given
λ            ``ridge``
===========  ==================================================
"""

import math
from typing import Literal, overload

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxnn._check import require_count, require_positive
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.attention._dot_product import Key, Output, Query, Value, Weights
from jaxnn.layers.attention._features import flatten_rows, group_queries
from jaxnn.layers.attention._products import (
    allowed_pairs,
    attention_logits,
    check_attention,
    weighted_values,
)


@overload
def local_linear_attention(
    query: Query,
    key: Key,
    value: Value,
    *,
    mask: Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    ridge: float = 0.1,
    iterations: int | None = None,
    return_weights: Literal[False] = False,
) -> Output: ...
@overload
def local_linear_attention(
    query: Query,
    key: Key,
    value: Value,
    *,
    mask: Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    ridge: float = 0.1,
    iterations: int | None = None,
    return_weights: Literal[True],
) -> tuple[Output, Weights]: ...
def local_linear_attention(
    query: Query,
    key: Key,
    value: Value,
    *,
    mask: Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    ridge: float = 0.1,
    iterations: int | None = None,
    return_weights: bool = False,
) -> Output | tuple[Output, Weights]:
    r"""Attend by fitting a line to the values around each query.

    .. math:: y_i = \arg\min_b \min_W \sum_j w_{ij} \lVert v_j - b - W (k_j - q_i) \rVert^2
        + \lambda \lVert W \rVert^2

    with w the softmax weights. In closed form, with the weighted mean and covariance of keys,

    .. math:: y_i = \sum_j w_{ij} \left(1 + (k_j - \bar k_i)^\top (C_i + \lambda I)^{-1}
        (q_i - \bar k_i)\right) v_j

    As λ grows it becomes softmax attention; as s falls to 0, ridge regression over all keys.

    Args:
      query: q.
      key: k; with fewer heads, each serves a run of ``heads / key_heads`` query heads.
      value: v, one for each key.
      mask: True where a query may attend to a key; broadcasts to the weights.
      bias: b, added to the logits; broadcasts to the weights.
      is_causal: whether query i attends to keys 0 ... i only, counted from the first of both.
      scale: s.
      ridge: λ, in the unit of the keys' squares; the paper's, divided by its sum of weights.
        Where there are fewer keys than dimensions, nothing else holds W.
      iterations: steps of the conjugate gradients that apply the inverse, without making C;
        twice the width if ``None``. Exact arithmetic would need as many as the width.
      return_weights: whether to return ``(output, weights)``.

    Returns:
      An array in the dtype of ``value``, computed in float32 or wider. A query that may attend
      to nothing weighs all keys evenly, as in softmax attention. The weights are what each
      value is multiplied by, ``(*batch, heads, queries, keys)``, in the dtype of ``query``:
      rows sum to one, and entries may be negative.

    Gradient: by another solve of the same kind, not through the steps.

    Raises:
      TypeError: an argument is not an array of floating-point numbers, or ``mask`` of booleans.
      ValueError: shapes disagree, or ``ridge`` is not above zero.

    Example:
      >>> key = jnp.array([[[0.0]], [[1.0]]])
      >>> y = local_linear_attention(jnp.array([[[3.0]]]), key, 2 * key, ridge=1e-6, scale=0.1)
      >>> print(y.round(2))
      [[[6.]]]
    """
    where = "local_linear_attention"
    check_attention(where, query, key, value, mask, bias, scale, 0.0, None)
    require_positive(where, ridge=ridge)
    width, key_heads = query.shape[-1], key.shape[-2]
    iterations = 2 * max(width, 1) if iterations is None else iterations
    require_count(where, iterations=iterations)
    logits = attention_logits(query, key, bias, scale)
    allowed = allowed_pairs(logits.shape, mask, is_causal)
    if allowed is not None:
        logits = jnp.where(allowed, logits, jnp.finfo(logits.dtype).min)
    softmax = jax.nn.softmax(logits, axis=-1)
    wide = accumulation_dtype(query.dtype)
    rows = math.prod(query.shape[:-3]) * key_heads
    q, k = group_queries(query.astype(wide), key_heads), flatten_rows(key.astype(wide))
    q = q.reshape(rows, -1 if q.size else 0, width)
    w = softmax.reshape(rows, q.shape[1], key.shape[-3])
    # A line does not change when all points move; near the origin covariances lose less.
    centre = lax.stop_gradient(jnp.mean(k, axis=1, keepdims=True))
    q, k = q - centre, k - centre
    mean = _product(w, k, 2, 1)
    slope = _solve(w, k, mean, q - mean, ridge, iterations)
    # (k - mean)·slope, for all pairs.
    tilt = _product(slope, k, 2, 2) - jnp.sum(slope * mean, axis=-1, keepdims=True)
    weights = (w * (1 + tilt)).reshape(softmax.shape)
    output = weighted_values(weights, value)
    return (output, weights.astype(query.dtype)) if return_weights else output


def _solve(w, k, mean, right, ridge, iterations):
    """Solve (C + λI) x = right for each query; C is the covariance of the keys under w."""

    def apply(x):
        x = x.reshape(mean.shape)
        along = w * _product(x, k, 2, 2)
        y = _product(along, k, 2, 1) - mean * jnp.sum(mean * x, axis=-1, keepdims=True)
        return y + ridge * x

    def solve(apply, right):
        return _conjugate_gradients(apply, right, iterations)

    return lax.custom_linear_solve(apply, right, solve, symmetric=True)


def _conjugate_gradients(apply, right, iterations):
    """Take a fixed number of steps for each query; those that are done stand still."""

    def dot(a, b):
        return jnp.sum(a * b, axis=-1, keepdims=True)

    least = dot(right, right) * jnp.finfo(right.dtype).eps ** 2

    def step(_, carry):
        x, residual, direction, size = carry
        image = apply(direction)
        curvature = dot(direction, image)
        going = (size > least) & (curvature > 0)
        length = jnp.where(going, size / jnp.where(going, curvature, 1), 0)
        x, residual = x + length * direction, residual - length * image
        new = dot(residual, residual)
        turn = jnp.where(going, new / jnp.where(going, size, 1), 0)
        return x, residual, residual + turn * direction, jnp.where(going, new, size)

    start = jnp.zeros_like(right), right, right, dot(right, right)
    return lax.fori_loop(0, iterations, step, start)[0]


def _product(left, right, left_axis, right_axis):
    """Multiply row by row, in full precision: an accelerator's shorter one upsets the solve."""
    axes = (((left_axis,), (right_axis,)), ((0,), (0,)))
    return lax.dot_general(left, right, axes, precision=lax.Precision.HIGHEST)
