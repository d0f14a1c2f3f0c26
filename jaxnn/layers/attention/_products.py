r"""What all attention functions share: their checks, the logits, and the sum of the values.

Both products run on ``(batch * key heads, time, width)``, one batch axis for the backend to
loop over; the query heads that share a key head are stacked along time, so that shared keys
are never repeated.

===========  ==================================================
q            ``query``, ``(*batch, queries, heads, width)``
k            ``key``, ``(*batch, keys, key_heads, width)``
v            ``value``, ``(*batch, keys, key_heads, value_width)``
===========  ==================================================
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

from jaxnn._check import require, require_array, require_key, require_positive, require_rank
from jaxnn._numeric import accumulation_dtype


def check_attention(where, query, key, value, mask, bias, scale, dropout_rate, dropout_key):
    """Raise unless the arguments of an attention function fit together."""
    require_array(where, query=query, key=key, value=value)
    require_rank(where, "query", query, 3, "(*batch, queries, heads, width)")
    batch, (queries, heads, width) = query.shape[:-3], query.shape[-3:]
    require(
        key.ndim == query.ndim and key.shape[:-3] == batch and key.shape[-1] == width,
        where,
        "key",
        key,
        f"shape {(*batch, 'keys', 'heads', width)}, as `query` is {query.shape}",
    )
    keys, key_heads = key.shape[-3:-1]
    require(
        value.shape[:-1] == key.shape[:-1],
        where,
        "value",
        value,
        f"shape {(*key.shape[:-1], 'width')}, one value for each key",
        "Was one shifted for next-token targets?",
    )
    require(
        heads % key_heads == 0,
        where,
        "key",
        key,
        f"a number of heads that divides the {heads} of `query`",
    )
    full = (*batch, heads, queries, keys)
    if mask is not None:
        require_array(where, floating=False, mask=mask)
        if mask.dtype != jnp.bool_:
            raise TypeError(
                f"{where}: `mask` has dtype {mask.dtype}; it needs booleans, True where "
                "attention is allowed. Pass numbers to add to the logits as `bias`."
            )
        _require_broadcast(where, "mask", mask, full)
    if bias is not None:
        require_array(where, bias=bias)
        _require_broadcast(where, "bias", bias, full)
    if scale is not None:
        require_positive(where, scale=scale)
    require(
        0 <= dropout_rate < 1, where, "dropout_rate", dropout_rate, "a share of at least 0, below 1"
    )
    if dropout_rate:
        require_key(where, dropout_key)


def _require_broadcast(where, argument, value, full):
    shape = (1,) * (len(full) - value.ndim) + value.shape
    fits = len(shape) == len(full) and all(
        have in (1, want) for have, want in zip(shape, full, strict=True)
    )
    require(
        fits,
        where,
        argument,
        value,
        f"a shape that broadcasts to {full}, (*batch, heads, queries, keys)",
    )


def attention_logits(query, key, bias, scale):
    """Give q·k times ``scale`` plus ``bias``, ``(*batch, heads, queries, keys)``, widened."""
    *batch, queries, heads, width = query.shape
    keys, key_heads = key.shape[-3:-1]
    scale = 1 / math.sqrt(width) if scale is None else scale
    # Scaling the queries costs `width` products per query; scaling the logits `keys`.
    rows = math.prod(batch) * key_heads
    q = _heads_first(query * scale).reshape(rows, heads // key_heads * queries, width)
    k = _heads_first(key).reshape(rows, keys, width)
    wide = accumulation_dtype(query.dtype)
    logits = lax.dot_general(q, k, (((2,), (2,)), ((0,), (0,))), preferred_element_type=wide)
    logits = logits.reshape(*batch, heads, queries, keys)
    return logits if bias is None else logits + jnp.broadcast_to(bias, logits.shape).astype(wide)


def allowed_pairs(shape, mask, is_causal):
    """Join ``mask`` and causality into one boolean array of ``shape``; ``None`` if neither."""
    if is_causal:
        rows, columns = (lax.broadcasted_iota(jnp.int32, shape[-2:], axis) for axis in (0, 1))
        causal = jnp.broadcast_to(columns <= rows, shape)
        return causal if mask is None else jnp.broadcast_to(mask, shape) & causal
    return None if mask is None else jnp.broadcast_to(mask, shape)


def drop_weights(weights, rate, key):
    """Zero a share ``rate`` of the weights, and scale the others up to keep the mean."""
    if not rate:
        return weights
    kept = jax.random.bernoulli(key, 1 - rate, weights.shape)
    return jnp.where(kept, weights / (1 - rate), jnp.zeros_like(weights))


def weighted_values(weights, value):
    """Sum values by weights ``(*batch, heads, queries, keys)``; queries come before heads."""
    *batch, heads, queries, keys = weights.shape
    key_heads, width = value.shape[-2:]
    rows = math.prod(batch) * key_heads
    w = weights.astype(value.dtype).reshape(rows, heads // key_heads * queries, keys)
    v = _heads_first(value).reshape(rows, keys, width)
    wide = accumulation_dtype(value.dtype)
    y = lax.dot_general(w, v, (((2,), (1,)), ((0,), (0,))), preferred_element_type=wide)
    y = y.astype(value.dtype).reshape(*batch, heads, queries, width)
    return jnp.swapaxes(y, -3, -2)


def _heads_first(x):
    return jnp.swapaxes(x, -3, -2)
