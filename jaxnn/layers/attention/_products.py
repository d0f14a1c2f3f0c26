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

from jaxnn._check import (
    require,
    require_array,
    require_count,
    require_key,
    require_positive,
    require_rank,
)
from jaxnn._numeric import accumulation_dtype


def check_attention(
    where,
    query,
    key,
    value,
    mask,
    bias,
    scale,
    dropout_rate=0.0,
    dropout_key=None,
    *,
    window=None,
    logit_cap=None,
):
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
    if window is not None:
        require_count(where, window=window)
    if logit_cap is not None:
        require_positive(where, logit_cap=logit_cap)
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


def attention_logits(query, key, bias, scale, logit_cap=None):
    """Give q·k times ``scale``, capped, plus ``bias``: ``(*batch, heads, queries, keys)``, wide."""
    *batch, queries, heads, _ = query.shape
    keys = key.shape[-3]
    q, k = fold_queries(query, key.shape[-2], scale), fold_keys(key)
    rows, group, _, width = q.shape
    logits = row_products(q.reshape(rows, group * queries, width), k)
    logits = cap_logits(logits, logit_cap).reshape(*batch, heads, queries, keys)
    if bias is None:
        return logits
    return logits + jnp.broadcast_to(bias, logits.shape).astype(logits.dtype)


def fold_queries(query, key_heads, scale):
    """Scale and fold to ``(batch * key heads, heads / key heads, queries, width)``."""
    *batch, queries, heads, width = query.shape
    scale = 1 / math.sqrt(width) if scale is None else scale
    # Scaling the queries costs `width` products per query; scaling the logits `keys`.
    rows = math.prod(batch) * key_heads
    return _heads_first(query * scale).reshape(rows, heads // key_heads, queries, width)


def fold_keys(x):
    """Fold keys or values to ``(batch * key heads, keys, width)``."""
    *batch, keys, heads, width = x.shape
    return _heads_first(x).reshape(math.prod(batch) * heads, keys, width)


def unfold(y, batch, heads, dtype):
    """Undo :func:`fold_queries`: ``(*batch, queries, heads, width)``, in ``dtype``."""
    queries, width = y.shape[-2:]
    return _heads_first(y.astype(dtype).reshape(*batch, heads, queries, width))


def row_products(q, k):
    """Give all products of rows ``(n, queries, width)`` and ``(n, keys, width)``, widened."""
    wide = accumulation_dtype(q.dtype)
    return lax.dot_general(q, k, (((2,), (2,)), ((0,), (0,))), preferred_element_type=wide)


def row_sums(weights, v):
    """Sum rows ``(n, keys, width)`` by weights ``(n, queries, keys)``, widened."""
    wide = accumulation_dtype(v.dtype)
    return lax.dot_general(
        weights.astype(v.dtype), v, (((2,), (1,)), ((0,), (0,))), preferred_element_type=wide
    )


def cap_logits(logits, cap):
    """Squash logits smoothly into (-cap, cap); ``None`` leaves them alone."""
    return logits if cap is None else cap * jnp.tanh(logits / cap)


def allowed_pairs(shape, mask, is_causal, window=None):
    """Join ``mask``, causality and window into one boolean array of ``shape``, or ``None``."""
    near = near_pairs(shape[-2], shape[-1], is_causal, window)
    if near is None:
        return None if mask is None else jnp.broadcast_to(mask, shape)
    near = jnp.broadcast_to(near, shape)
    return near if mask is None else jnp.broadcast_to(mask, shape) & near


def near_pairs(queries, keys, is_causal, window, first_query=0, first_key=0):
    """Say which pairs causality and window allow, ``(queries, keys)``; ``None`` if all.

    With a window w, query i sees keys j with ``|i - j| < w``, of which causality leaves itself
    and the w - 1 before it.

    Args:
      queries: how many, from ``first_query`` on.
      keys: how many, from ``first_key`` on.
      is_causal: whether later keys are forbidden.
      window: w, or ``None``.
      first_query: position of the first query; may be traced.
      first_key: position of the first key; may be traced.
    """
    if not is_causal and window is None:
        return None
    i = lax.broadcasted_iota(jnp.int32, (queries, keys), 0) + first_query
    j = lax.broadcasted_iota(jnp.int32, (queries, keys), 1) + first_key
    if window is None:
        return j <= i
    return (i - j < window) & ((j <= i) if is_causal else (j - i < window))


def drop_weights(weights, rate, key):
    """Zero a share ``rate`` of the weights, and scale the others up to keep the mean."""
    if not rate:
        return weights
    kept = jax.random.bernoulli(key, 1 - rate, weights.shape)
    return jnp.where(kept, weights / (1 - rate), jnp.zeros_like(weights))


def weighted_values(weights, value):
    """Sum values by weights ``(*batch, heads, queries, keys)``; queries come before heads."""
    *batch, heads, queries, keys = weights.shape
    rows, group = math.prod(batch) * value.shape[-2], heads // value.shape[-2]
    y = row_sums(weights.reshape(rows, group * queries, keys), fold_keys(value))
    return unfold(y.reshape(rows, group, queries, value.shape[-1]), batch, heads, value.dtype)


def _heads_first(x):
    return jnp.swapaxes(x, -3, -2)
