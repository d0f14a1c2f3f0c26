r"""What all linear-cost attention shares: sums over keys of feature products, never n by n.

With features a of a query and b of a key, what a query reads is linear in a,

.. math:: y_i = a_i^\top \sum_j b_j v_j^\top

so the sum over keys is taken first, once for all queries; causally it is a running sum, taken
chunk by chunk: a chunk reads the sum over earlier chunks, and its own keys by a triangular
product. Time and memory are linear in the number of keys, in both directions of
differentiation. A column of ones beside the values gives the sum of the weights as well.

===========  ==================================================
a            features of queries, ``(rows, group, queries, features)``
b            features of keys, ``(rows, keys, features)``
v            values, ``(rows, keys, width)``
===========  ==================================================

Rows are batch entries and key heads together; the group is the query heads sharing a key head.
"""

import math

import jax.numpy as jnp
from jax import lax

from jaxnn._check import require, require_array
from jaxnn.layers.attention._products import check_attention

# Squared, still a float32: sums below it are taken for a query that reads nothing.
_LEAST = 1e-18


def check_linear(where, query, key, value, mask, bias):
    """Raise unless the arguments fit together; give ``(*batch, keys)``, True for real keys."""
    check_attention(where, query, key, value, mask, None, None, 0.0, None)
    require(
        bias is None,
        where,
        "bias",
        bias,
        "None, as no logits are made that it could be added to",
        "Positions can go into queries and keys, e.g. by a rotary embedding.",
    )
    if mask is None:
        return None
    batch, keys = query.shape[:-3], key.shape[-3]
    shape = (1,) * (query.ndim - mask.ndim) + mask.shape
    require(
        shape[-3] == 1 and shape[-2] == 1,
        where,
        "mask",
        mask,
        f"shape {(*batch, 1, 1, keys)}, the keys that are real, as all queries read one sum",
        "Use `is_causal` to hide later keys.",
    )
    return jnp.broadcast_to(mask.reshape(*shape[:-3], shape[-1]), (*batch, keys))


def check_extension(where, query, key, value, mask):
    """Raise unless these are time steps that follow others; ``mask`` is ``(*batch, time)``."""
    check_attention(where, query, key, value, None, None, None, 0.0, None)
    require(
        key.shape[-3] == query.shape[-3],
        where,
        "key",
        key,
        f"one key for each of the {query.shape[-3]} queries",
    )
    if mask is not None:
        require_array(where, floating=False, mask=mask)
        want = (*query.shape[:-3], query.shape[-3])
        require(
            mask.shape == want and mask.dtype == jnp.bool_,
            where,
            "mask",
            mask,
            f"booleans of shape {want}, (*batch, time), True for real tokens",
        )


def check_state(where, state, shapes):
    """Raise unless the arrays of a state have these shapes."""
    for name, want in shapes.items():
        have = getattr(state, name)
        require(
            have.shape == want,
            where,
            f"state.{name}",
            have,
            f"shape {want}",
            "It was probably made for another batch or other heads.",
        )


def group_queries(queries, key_heads):
    """Turn ``(*batch, time, heads, width)`` into ``(rows, group, time, width)``."""
    *batch, time, heads, width = queries.shape
    rows = math.prod(batch) * key_heads
    return jnp.swapaxes(queries, -3, -2).reshape(rows, heads // key_heads, time, width)


def flatten_rows(array):
    """Turn ``(*batch, time, key_heads, width)`` into ``(rows, time, width)``."""
    *batch, time, key_heads, width = array.shape
    return jnp.swapaxes(array, -3, -2).reshape(math.prod(batch) * key_heads, time, width)


def ungroup(read, query):
    """Turn ``(rows, group, time, width)`` into the layout of ``query``."""
    *batch, time, heads, _ = query.shape
    return jnp.swapaxes(read.reshape(*batch, heads, time, read.shape[-1]), -3, -2)


def values_and_ones(value, real, dtype):
    """Cast values, put a column of ones beside them, and zero both where nothing is real."""
    wide = value.astype(dtype)
    wide = jnp.concatenate([wide, jnp.ones((*wide.shape[:-1], 1), wide.dtype)], axis=-1)
    if real is None:
        return wide
    real = jnp.broadcast_to(real[..., None, None], wide.shape)
    return jnp.where(real, wide, jnp.zeros_like(wide))


def sums_of_all(a, b, v):
    """Let every query read every key."""
    rows, group, queries, features = a.shape
    sums = _product(b, v, 1, 1)
    read = _product(a.reshape(rows, group * queries, features), sums, 2, 1)
    return read.reshape(rows, group, queries, v.shape[-1])


def sums_so_far(a, b, v, start, chunk_size):
    """Let query i read keys 0 ... i, and what ``start`` summed before; give the sum after too.

    Keys beyond the last query are not read; queries beyond the last key read all of them.
    """
    queries = a.shape[-2]

    def read(sums, chunk):
        a, b, v = chunk
        y, sums = sums_of_chunk(a, b, v, sums)
        return sums, y

    parts = (chunked(x, x.ndim - 2, queries, chunk_size) for x in (a, b, v))
    sums, y = lax.scan(read, start, tuple(parts))
    return joined(y, 2, queries), sums


def chunked(x, axis, length, chunk_size):
    """Cut the first ``length`` entries of an axis, filled up with zeros; the chunks go first."""
    size = max(1, min(chunk_size, length))
    chunks = -(-length // size)
    x = lax.slice_in_dim(x, 0, min(length, x.shape[axis]), axis=axis)
    fill = [(0, 0)] * x.ndim
    fill[axis] = (0, chunks * size - x.shape[axis])
    x = jnp.pad(x, fill)
    x = x.reshape(*x.shape[:axis], chunks, size, *x.shape[axis + 1 :])
    return jnp.moveaxis(x, axis, 0)


def joined(x, axis, length):
    """Undo :func:`chunked`."""
    x = jnp.moveaxis(x, 0, axis)
    chunks, size = x.shape[axis : axis + 2]
    x = x.reshape(*x.shape[:axis], chunks * size, *x.shape[axis + 2 :])
    return lax.slice_in_dim(x, 0, length, axis=axis)


def sums_of_chunk(a, b, v, start):
    """Let query i read keys 0 ... i, as many as queries, in one product."""
    rows, group, size, features = a.shape
    seen = jnp.tril(jnp.ones((size, size), bool))[None, None]
    a = a.reshape(rows, group * size, features)
    weights = _product(a, b, 2, 2).reshape(rows, group, size, size)
    weights = jnp.where(jnp.broadcast_to(seen, weights.shape), weights, 0)
    weights = weights.reshape(rows, group * size, size)
    y = _product(weights, v, 2, 1) + _product(a, start, 2, 1)
    return y.reshape(rows, group, size, v.shape[-1]), start + _product(b, v, 1, 1)


def divided(sums, totals):
    """Divide by the sum of the weights; a query that reads nothing gets zeros."""
    empty = jnp.abs(totals) < _LEAST
    inverse = jnp.where(empty, 0, 1 / jnp.where(empty, 1, totals))
    return sums * inverse


def _product(left, right, left_axis, right_axis):
    """Multiply row by row, contracting one axis of each."""
    axes = (((left_axis,), (right_axis,)), ((0,), (0,)))
    return lax.dot_general(left, right, axes, preferred_element_type=left.dtype)
