r"""Exact softmax attention whose memory grows linearly with the length of the sequence.

Keys are read block by block, each block's sums rescaled to the largest logit seen so far, so
that the table of all weights never exists. For the derivative the weights of a block are made
again from the one number per query that was kept, the logarithm of its sum of exponentials.

Sources: "Self-attention Does Not Need O(n²) Memory" (2021), equations 1 to 3; the derivative
from "FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness" (2022),
appendix B.

===========  ==================================================
q            ``query``, ``(*batch, queries, heads, width)``
k            ``key``, ``(*batch, keys, key_heads, width)``
v            ``value``, ``(*batch, keys, key_heads, value_width)``
b            ``bias``, broadcast to ``(*batch, heads, queries, keys)``
s            ``scale``, 1/√width if not given
===========  ==================================================

The derivative is written as a map linear in the tangents, a scan over blocks which stores
nothing of them, so forward mode, reverse mode and their compositions all work.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxnn._check import require_count
from jaxnn._numeric import varying_like
from jaxnn.layers.attention._products import (
    cap_logits,
    check_attention,
    fold_keys,
    fold_queries,
    near_pairs,
    row_products,
    row_sums,
    unfold,
)


def blockwise_attention(
    query: Float[Array, "*batch queries heads width"],
    key: Float[Array, "*batch keys key_heads width"],
    value: Float[Array, "*batch keys key_heads value_width"],
    *,
    mask: Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    window: int | None = None,
    logit_cap: float | None = None,
    query_block: int = 256,
    key_block: int = 512,
) -> Float[Array, "*batch queries heads value_width"]:
    r"""Attend with softmax weights, never holding more than a block of them.

    .. math:: y_i = \frac{\sum_j e^{s\,q_i \cdot k_j + b_{ij}} v_j}
        {\sum_j e^{s\,q_i \cdot k_j + b_{ij}}}

    Equal, to rounding, to :func:`dot_product_attention` of the same arguments, in values and
    derivatives. Blocks that causality or the window leaves empty are skipped.

    Args:
      query: q.
      key: k; with fewer heads, each serves a run of ``heads / key_heads`` query heads.
      value: v, one for each key.
      mask: True where a query may attend to a key; broadcasts to the weights, and is only
        linear in length itself if its axis of queries or of keys has length one.
      bias: b, added to the logits; likewise.
      is_causal: whether query i attends to keys 0 ... i only, counted from the first of both.
      scale: s.
      window: w; query i attends to keys j with \|i − j\| < w only.
      logit_cap: c; s q·k is replaced by c tanh(s q·k / c), before the bias is added.
      query_block: queries in a block; the weights of ``query_block`` x ``key_block`` pairs, of
        every head and example, exist at a time.
      key_block: keys in a block.

    Returns:
      An array in the dtype of ``value``; sums accumulate in float32 or wider. A query that may
      attend to nothing gets the plain average of all values.

    Raises:
      TypeError: an argument is not an array of floating-point numbers, or ``mask`` of booleans.
      ValueError: shapes disagree, or a block, window or cap is not above zero.

    Example:
      >>> query, key = jnp.zeros((1, 1, 2)), jnp.ones((4, 1, 2))
      >>> value = jnp.arange(4.0)[:, None, None]
      >>> blockwise_attention(query, key, value, key_block=2).tolist()
      [[[1.5]]]
    """
    where = "blockwise_attention"
    check_attention(where, query, key, value, mask, bias, scale, window=window, logit_cap=logit_cap)
    require_count(where, query_block=query_block, key_block=key_block)
    *batch, queries, heads, _ = query.shape
    keys, key_heads = key.shape[-3:-1]
    plan = _Plan(
        (*batch, heads),
        queries,
        keys,
        min(query_block, max(queries, 1)),
        min(key_block, max(keys, 1)),
        is_causal,
        window,
        logit_cap,
    )
    q, k, v = fold_queries(query, key_heads, scale), fold_keys(key), fold_keys(value)
    operands = _Operands(
        _split(q, 2, plan.query_block),
        _split(k, 1, plan.key_block),
        _split(v, 1, plan.key_block),
        None if bias is None else _split_pairs(bias, plan),
    )
    mask = None if mask is None else _split_pairs(mask, plan)
    y, log_sum = _attend(plan, operands, mask)
    # (blocks, rows, group, queries in a block, width) to (rows, group, queries, width).
    y, seen = (_join(x, 2)[:, :, :queries] for x in (y, log_sum < jnp.inf))
    average = jnp.mean(v.astype(y.dtype), axis=1)[:, None, None, :]
    y = jnp.where(jnp.broadcast_to(seen, y.shape), y, jnp.broadcast_to(average, y.shape))
    return unfold(y, batch, heads, value.dtype)


class _Plan(NamedTuple):
    """What is known before tracing."""

    leading: tuple[int, ...]  # batch axes and heads
    queries: int
    keys: int
    query_block: int
    key_block: int
    is_causal: bool
    window: int | None
    logit_cap: float | None


class _Operands(NamedTuple):
    """What is differentiated, cut into blocks, which are the leading axes."""

    query: jax.Array  # (query blocks, rows, group, queries, width), scaled
    key: jax.Array  # (key blocks, rows, keys, width)
    value: jax.Array  # (key blocks, rows, keys, width)
    bias: jax.Array | None  # (query blocks or 1, key blocks or 1, ...), like the mask


def _split(x, axis, size):
    """Cut an axis into blocks, the last one filled with zeros; blocks become the first axis."""
    count = -(-x.shape[axis] // size)
    padding = [(0, 0)] * x.ndim
    padding[axis] = (0, count * size - x.shape[axis])
    x = jnp.pad(x, padding)
    x = x.reshape(*x.shape[:axis], count, size, *x.shape[axis + 1 :])
    return jnp.moveaxis(x, axis, 0)


def _join(x, axis):
    """Undo :func:`_split`, up to the filling."""
    x = jnp.moveaxis(x, 0, axis)
    return x.reshape(*x.shape[:axis], -1, *x.shape[axis + 2 :])


def _split_pairs(x, plan):
    """Cut what broadcasts to the weights into blocks of queries and keys; axes of 1 stay."""
    x = x.reshape((1,) * (len(plan.leading) + 2 - x.ndim) + x.shape)
    x = x[None] if x.shape[-1] == 1 else _split(x, x.ndim - 1, plan.key_block)
    return x[None] if x.shape[-2] == 1 else _split(x, x.ndim - 2, plan.query_block)


def _over(body, carry, count, *stacks):
    """Scan ``body(carry, number, *blocks)`` over blocks; a stack of one is the same for each."""
    moving = [None if x is None or x.shape[0] == 1 else x for x in stacks]

    def step(carry, xs):
        number, moved = xs
        blocks = [
            whole[0] if part is None and whole is not None else part
            for part, whole in zip(moved, stacks, strict=True)
        ]
        return body(carry, number, *blocks)

    return lax.scan(step, carry, (jnp.arange(count, dtype=jnp.int32), moving))


def _logits(plan, i, j, q, k, bias, mask):
    """Give the logits of one block, ``(rows, group * queries, keys)``; -inf where forbidden."""
    rows, group, queries, width = q.shape
    flat = (rows, group * queries, k.shape[1])
    shape = (*plan.leading, queries, k.shape[1])
    logits = cap_logits(row_products(q.reshape(*flat[:2], width), k), plan.logit_cap)
    added = [] if bias is None else [bias.astype(logits.dtype)]
    near = near_pairs(
        *shape[-2:], plan.is_causal, plan.window, i * plan.query_block, j * plan.key_block
    )
    if plan.keys % plan.key_block:
        real = lax.broadcasted_iota(jnp.int32, shape[-2:], 1) + j * plan.key_block < plan.keys
        near = real if near is None else near & real
    for allowed in (near, mask):
        if allowed is not None:
            # Added, not selected by, so that the derivative need not select again.
            barred = jnp.where(allowed, jnp.zeros(allowed.shape, logits.dtype), -jnp.inf)
            added.append(lax.optimization_barrier(barred))
    for x in added:
        logits = (logits.reshape(shape) + jnp.broadcast_to(x, shape)).reshape(flat)
    return logits


def _unless_empty(plan, i, j, visit, carry):
    """Visit a block, unless no query in it may see any of its keys."""
    first, last = i * plan.query_block, (i + 1) * plan.query_block - 1
    low, high = j * plan.key_block, (j + 1) * plan.key_block - 1
    needed = []
    if plan.is_causal:
        needed.append(low <= last)
    elif plan.window is not None:
        needed.append(low - last < plan.window)
    if plan.window is not None:
        needed.append(first - high < plan.window)
    if not needed:
        return visit(carry)
    return lax.cond(functools.reduce(jnp.logical_and, needed), visit, lambda carry: carry, carry)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _attend(plan, operands, mask):
    return _forward(plan, operands, mask)


@_attend.defjvp
def _attend_jvp(plan, primals, tangents):
    operands, mask = primals
    y, log_sum = _forward(plan, operands, mask)
    dy = _tangent(plan, operands, mask, y, log_sum, tangents[0])
    # Whether the sum is finite is all that is asked of it.
    return (y, log_sum), (dy, varying_like(jnp.zeros_like(log_sum), log_sum))


def _forward(plan, operands, mask):
    """Give the output and the logarithm of each query's sum; its infinity says: no keys."""
    blocks = operands.key.shape[0]

    def query_step(_, i, q, bias, mask):
        def key_step(carry, j, k, v, bias, mask):
            def visit(carry):
                top, total, sums = carry
                logits = _logits(plan, i, j, q, k, bias, mask)
                higher = jnp.maximum(top, jnp.max(logits, axis=-1, keepdims=True))
                powers = lax.optimization_barrier(jnp.exp(logits - higher))
                shrink = jnp.exp(top - higher)
                total = total * shrink + jnp.sum(powers, axis=-1, keepdims=True)
                return higher, total, sums * shrink + row_sums(powers, v)

            return _unless_empty(plan, i, j, visit, carry), None

        shape = (q.shape[0], q.shape[1] * q.shape[2])
        wide = row_products(q[:, 0], operands.key[0]).dtype
        # Finite, so that -inf less the highest logit is -inf where all is forbidden so far.
        start = (
            jnp.full((*shape, 1), jnp.finfo(wide).min),
            jnp.zeros((*shape, 1), wide),
            jnp.zeros((*shape, operands.value.shape[-1]), wide),
        )
        start = varying_like(start, q, operands.key, operands.value)
        (top, total, sums), _ = _over(
            key_step, start, blocks, operands.key, operands.value, bias, mask
        )
        blind = total == 0
        total = jnp.where(blind, 1, total)
        y = sums / total
        log_sum = jnp.where(blind, jnp.inf, top + jnp.log(total))
        return None, tuple(x.reshape(*q.shape[:3], x.shape[-1]) for x in (y, log_sum))

    count = operands.query.shape[0]
    return _over(query_step, None, count, operands.query, operands.bias, mask)[1]


def _tangent(plan, operands, mask, y, log_sum, tangents):
    """Give the change of the output, linear in ``tangents``, storing no weights."""
    blocks = operands.key.shape[0]

    def query_step(_, i, q, bias, mask, y, log_sum, dq, dbias):
        flat = (q.shape[0], q.shape[1] * q.shape[2])
        log_sum = log_sum.reshape(*flat, 1)

        # Made again for the transpose, not stored.
        @functools.partial(jax.checkpoint, prevent_cse=False)
        def key_step(carry, j, k, v, bias, mask, dk, dv, dbias):
            def visit(carry):
                total, sums = carry
                given = (q, k) if bias is None else (q, k, bias)
                change = (dq, dk) if bias is None else (dq, dk, dbias)

                def logits_of(q, k, bias=None):
                    return _logits(plan, i, j, q, k, bias, mask)

                logits, dlogits = jax.jvp(logits_of, given, change)
                weights = lax.optimization_barrier(jnp.exp(logits - log_sum))
                moved = weights * dlogits
                total = total + jnp.sum(moved, axis=-1, keepdims=True)
                return total, sums + row_sums(weights, dv) + row_sums(moved, v)

            return _unless_empty(plan, i, j, visit, carry), None

        start = (jnp.zeros((*flat, 1), y.dtype), jnp.zeros((*flat, y.shape[-1]), y.dtype))
        start = varying_like(start, y, q, operands.key, operands.value)
        (total, sums), _ = _over(
            key_step,
            start,
            blocks,
            operands.key,
            operands.value,
            bias,
            mask,
            tangents.key,
            tangents.value,
            dbias,
        )
        return None, (sums - y.reshape(sums.shape) * total).reshape(y.shape)

    return _over(
        query_step,
        None,
        operands.query.shape[0],
        operands.query,
        operands.bias,
        mask,
        y,
        log_sum,
        tangents.query,
        tangents.bias,
    )[1]
