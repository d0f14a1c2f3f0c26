r"""Attention sinks: keys that draw attention whatever the query.

Sources: "When Attention Sink Emerges in Language Models: An Empirical View" (2025), equation 8,
for the mean weight of one key; "Gated Attention for Large Language Models: Non-linearity,
Sparsity, and Attention-Sink-Free" (2025), which reports it for the first token.

=====  =================================================
w      ``weights``, ``(*heads, queries, keys)``
p      ``position``
Q      the queries that may see key p and at least one other key
=====  =================================================
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxnn._check import require, require_array, require_rank
from jaxnn._numeric import accumulation_dtype


def attention_sink(
    weights: Float[Array, "*heads queries keys"],
    position: int = 0,
    *,
    mask: Bool[Array, "..."] | None = None,
    is_causal: bool = True,
) -> Float[Array, "*heads"]:
    r"""Measure the mean weight that queries give to one key.

    .. math:: \frac{1}{|Q|} \sum_{i \in Q} w_{i p}

    Only queries that have a choice count. Under a causal mask these are p, p + 1, ..., and from
    1 on for p = 0: the first query attends to itself alone, sink or not, and would add 1 / n to
    every head.

    Args:
      weights: attention weights, e.g. those that
        :class:`~jaxnn.layers.attention.MultiHeadAttention` sows. Softmax rows sum to one, so
        the result is a share of all attention; rows that do not are taken as they are.
      position: p; negative ones count from the end.
      mask: True where a query may attend to a key, e.g. to leave padding out; broadcasts to
        ``weights``.
      is_causal: whether query i could see keys 0 ... i only, counted from the first of both.

    Returns:
      One number for each head, float32 or wider: about the mean of 1 / (i + 1) for causal heads
      without preference, 1 for one that looks nowhere else; 0 if no query counts.

    Raises:
      TypeError: ``weights`` is not an array of floating-point numbers, or ``mask`` of booleans.
      ValueError: fewer than two axes, no such position, or no query that has a choice.

    Example:
      >>> weights = jnp.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.75, 0.0, 0.25]])
      >>> attention_sink(weights).item()
      0.625
    """
    where = "attention_sink"
    require_array(where, weights=weights)
    require_rank(where, "weights", weights, 2, "(*heads, queries, keys)")
    queries, keys = weights.shape[-2:]
    known = isinstance(position, int) and -keys <= position < keys
    require(known, where, "position", position, f"one of the {keys} keys")
    position %= keys
    first = max(position, 1) if is_causal else 0
    require(
        keys > 1 and first < queries,
        where,
        "weights",
        weights,
        f"a query that may see key {position} and another",
    )
    wide = weights.astype(accumulation_dtype(weights.dtype))
    if mask is None:
        return jnp.mean(wide[..., first:, position], axis=-1)
    allowed = _broadcast_mask(where, mask, weights.shape)
    if is_causal:
        rows, columns = (jax.lax.broadcasted_iota(jnp.int32, (queries, keys), a) for a in (0, 1))
        allowed &= jnp.broadcast_to(columns <= rows, weights.shape)
    counted = allowed[..., position] & (jnp.sum(allowed, axis=-1) > 1)
    total = jnp.sum(jnp.where(counted, wide[..., position], 0), axis=-1)
    return total / jnp.maximum(jnp.sum(counted, axis=-1), 1).astype(wide.dtype)


def _broadcast_mask(where: str, mask: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    require_array(where, floating=False, mask=mask)
    if mask.dtype != jnp.bool_:
        raise TypeError(
            f"{where}: `mask` has dtype {mask.dtype}; it needs booleans, True where attention "
            "is allowed."
        )
    padded = (1,) * (len(shape) - mask.ndim) + mask.shape
    fits = len(padded) == len(shape) and all(
        have in (1, want) for have, want in zip(padded, shape, strict=True)
    )
    require(fits, where, "mask", mask, f"a shape that broadcasts to {shape}")
    return jnp.broadcast_to(mask.reshape(padded), shape)
