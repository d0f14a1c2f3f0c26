r"""Softmax attention in blocks of queries, each with the keys that it may see and no others.

Under causality or a window, half or more of all products are never made, which the plain form
makes and throws away. The softmax and the sum of the values have one derivative rule, linear
in the tangents, so that forward mode, reverse mode and their compositions all work:

.. math:: y = \frac{\sum_j p_j v_j}{\sum_j p_j}, \quad p_j = e^{x_j - \max x}, \quad
    dy = \frac{\sum_j p_j\,dv_j + \sum_j p_j\,dx_j (v_j - y)}{\sum_j p_j}
"""

import jax
import jax.numpy as jnp
from jax import lax

from jaxnn.layers.attention._products import (
    cap_logits,
    fold_keys,
    fold_queries,
    near_pairs,
    row_products,
    row_sums,
    unfold,
)


def attend_in_blocks(query, key, value, *, mask, bias, is_causal, scale, window, logit_cap):
    """Give what :func:`dot_product_attention` gives; the arguments have been checked."""
    *batch, queries, heads, width = query.shape
    keys, key_heads = key.shape[-3:-1]
    group = heads // key_heads
    q, k, v = fold_queries(query, key_heads, scale), fold_keys(key), fold_keys(value)
    rows = k.shape[0]
    outputs = []
    for start, stop, first, last in _blocks(queries, keys, is_causal, window):
        shape = (*batch, heads, stop - start, last - first)
        count = group * (stop - start)
        logits = row_products(q[:, :, start:stop].reshape(rows, count, width), k[:, first:last])
        logits = cap_logits(logits, logit_cap)
        if bias is not None:
            part = jnp.broadcast_to(_part(bias, start, stop, first, last), shape)
            logits = logits + part.astype(logits.dtype).reshape(logits.shape)
        part = None if mask is None else _part(mask, start, stop, first, last)
        allowed = _join(part, near_pairs(*shape[-2:], is_causal, window, start, first))
        # With as many keys as queries, causality and windows leave each query its own key.
        blind = None
        if allowed is not None:
            if mask is not None or queries != keys:
                # Rows of nothing but -inf would be NaN; they get the average in the end.
                blind = ~jnp.any(allowed, axis=-1, keepdims=True)
                allowed = allowed | jnp.broadcast_to(blind, allowed.shape)
            barred = jnp.where(allowed, jnp.zeros(allowed.shape, logits.dtype), -jnp.inf)
            # Added, not selected by, so that the derivative need not select again; and added to
            # the product as it is, whose kernel then does it and takes the exponential.
            logits = logits + _as_rows(lax.optimization_barrier(barred), shape, logits.shape)
        y = _mix(logits, v[:, first:last])
        y = y.reshape(rows, group, stop - start, v.shape[-1])
        if blind is not None:
            blind = jnp.broadcast_to(blind, (*shape[:-1], 1)).reshape(*y.shape[:-1], 1)
            average = jnp.mean(v.astype(y.dtype), axis=1)[:, None, None, :]
            y = jnp.where(jnp.broadcast_to(blind, y.shape), jnp.broadcast_to(average, y.shape), y)
        outputs.append(y)
    return unfold(jnp.concatenate(outputs, axis=2), batch, heads, value.dtype)


def _blocks(queries, keys, is_causal, window):
    """List ``(start, stop, first, last)``: blocks of queries, and the keys that they may see."""
    # A window of all keys is none.
    reach = max(queries, keys) if window is None else window
    narrow = is_causal or window is not None
    # Measured on CPU only; elsewhere one large product may well be faster than several.
    if not narrow or queries != keys or queries <= 64 or jax.default_backend() != "cpu":
        return [(0, queries, 0, keys)]
    # At most 16 blocks, to bound the time of compilation.
    size = max(32 if queries <= 128 else 64 if queries <= 256 else 128, -(-queries // 16))
    blocks = []
    for start in range(0, queries, size):
        stop = min(start + size, queries)
        first = max(0, start - reach + 1)
        last = stop if is_causal else min(keys, stop + reach - 1)
        blocks.append((start, stop, first, last))
    return blocks


def _part(x, start, stop, first, last):
    """Cut a block out of an array that broadcasts to the weights."""
    x = x.reshape((1,) * (2 - x.ndim) + x.shape)
    x = x if x.shape[-2] == 1 else x[..., start:stop, :]
    return x if x.shape[-1] == 1 else x[..., first:last]


def _join(mask, near):
    """And a mask that broadcasts with pairs ``(queries, keys)``; either may be ``None``."""
    if mask is None or near is None:
        return near if mask is None else mask
    shape = jnp.broadcast_shapes(mask.shape, near.shape)
    return jnp.broadcast_to(mask, shape) & jnp.broadcast_to(near, shape)


def _as_rows(x, shape, rows):
    """Broadcast to ``shape``, folded to ``rows``; only what must be copied is."""
    if x.ndim > 2:
        return jnp.broadcast_to(x, shape).reshape(rows)
    group = rows[1] // shape[-2]
    x = jnp.broadcast_to(x, (group, *shape[-2:])).reshape(rows[1:])
    return jnp.broadcast_to(x, rows)


def softmax_powers(logits):
    """Give e to the power of each logit less the largest of its row."""
    # The barrier keeps XLA from recomputing the exponentials in each fusion that reads them.
    return lax.optimization_barrier(jnp.exp(logits - jnp.max(logits, axis=-1, keepdims=True)))


@jax.custom_jvp
def _mix(logits, value):
    """Sum the rows of ``value`` by the softmax of ``logits``, both with one leading axis."""
    powers = softmax_powers(logits)
    return row_sums(powers, value) / jnp.sum(powers, axis=-1, keepdims=True)


@_mix.defjvp
def _mix_jvp(primals, tangents):
    (logits, value), (dlogits, dvalue) = primals, tangents
    powers = softmax_powers(logits)
    inverse = 1 / jnp.sum(powers, axis=-1, keepdims=True)
    y = row_sums(powers, value) * inverse
    # Without y, the transpose would have to sum over all keys once more. In this order of terms
    # the product comes first in the transpose too, whose kernel then does the rest.
    change = powers * dlogits
    shift = y * jnp.sum(change, axis=-1, keepdims=True)
    return y, (row_sums(change, value) - shift + row_sums(powers, dvalue)) * inverse
