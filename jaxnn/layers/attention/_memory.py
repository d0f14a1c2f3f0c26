r"""Memory of fixed size: slots that states enter in order, and what makes few slots of many.

Source: "Compressive Transformers for Long-Range Sequence Modelling" (2019), section 3. States
that leave the recent memory are compressed, c to one, and enter a second memory; what leaves
that is forgotten:

    recent, leaving = memory_push(recent, segment)
    compressed, _ = memory_push(compressed, mean_compression(leaving, rate=3))

===========  ==================================================
x            ``states`` of the slots, ``(*batch, slots, features)``, the oldest first
n            number of slots
c            ``rate``
K            ``kernel``, ``(rate, features, outputs)``
δ            ``dilation``
===========  ==================================================
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.typing import Dtype
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxnn._check import require, require_array, require_count, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.attention._dot_product import Key, Query, Value, dot_product_attention
from jaxnn.layers.feedforward import dense


class MemorySlots(NamedTuple):
    """States in the order in which they came, the oldest first.

    Attributes:
      states: ``(*batch, slots, features)``.
      valid: ``(*batch, slots)``, False where a slot is empty or holds padding.
      usage: ``(*batch, slots)``, the attention that each slot has received so far.
    """

    states: Float[Array, "*batch slots features"]
    valid: Bool[Array, "*batch slots"]
    usage: Float[Array, "*batch slots"]


def memory_init(
    batch_shape: tuple[int, ...], slots: int, features: int, dtype: Dtype = jnp.float32
) -> MemorySlots:
    """Make slots that hold nothing.

    Args:
      batch_shape: leading axes of the states to come.
      slots: how many; 0 is a memory that holds nothing ever.
      features: width of the states.
      dtype: of the states.

    Raises:
      ValueError: ``slots`` is below 0, or ``features`` not above.

    Example:
      >>> memory_init((2,), 4, 8).states.shape
      (2, 4, 8)
    """
    require(slots >= 0, "memory_init", "slots", slots, "a whole number of at least 0")
    require_count("memory_init", features=features)
    shape = (*batch_shape, slots)
    return MemorySlots(
        jnp.zeros((*shape, features), dtype), jnp.zeros(shape, bool), jnp.zeros(shape, jnp.float32)
    )


def memory_push(memory: MemorySlots, new: MemorySlots) -> tuple[MemorySlots, MemorySlots]:
    """Put new states after those that are there, so that as many of the oldest leave.

    Args:
      memory: slots after the previous push.
      new: what is to enter; with more slots than the memory has, some leave at once.

    Returns:
      The memory, of as many slots and the dtypes it had; and what leaves it, as many slots as
      came. From a memory that is not yet full, empty slots leave.

    Raises:
      TypeError: an argument is not a :class:`MemorySlots`.
      ValueError: their leading axes or features differ.

    Example:
      >>> x = jnp.arange(3.0)[:, None]
      >>> new = MemorySlots(x, jnp.ones(3, bool), jnp.zeros(3))
      >>> memory, leaving = memory_push(memory_init((), 4, 1), new)
      >>> memory, leaving = memory_push(memory, new)
      >>> memory.states[:, 0].tolist(), leaving.states[:, 0].tolist()
      ([2.0, 0.0, 1.0, 2.0], [0.0, 0.0, 1.0])
    """
    where = "memory_push"
    _check_slots(where, memory=memory, new=new)
    *batch, _, features = memory.states.shape
    require(
        new.states.shape[:-2] == tuple(batch) and new.states.shape[-1] == features,
        where,
        "new",
        new.states,
        f"states of shape {(*batch, 'slots', features)}, as `memory` has",
    )
    pairs = []
    for old, came, axis in zip(memory, new, (-2, -1, -1), strict=True):
        count, entering = old.shape[axis], came.shape[axis]
        joined = jnp.concatenate([old, came.astype(old.dtype)], axis=axis)
        left = lax.slice_in_dim(joined, 0, entering, axis=joined.ndim + axis)
        kept = lax.slice_in_dim(joined, entering, entering + count, axis=joined.ndim + axis)
        pairs.append((kept, left))
    kept, left = zip(*pairs, strict=True)
    return MemorySlots(*kept), MemorySlots(*left)


def mean_compression(slots: MemorySlots, *, rate: int) -> MemorySlots:
    r"""Give the mean of each c states in a row.

    .. math:: y_j = \frac{1}{c} \sum_{k=0}^{c-1} x_{jc + k}

    A rate of 1 changes nothing.

    Args:
      slots: x. Empty ones are left out of the mean; an output is valid if any of its c is.
      rate: c; of n slots, the last n mod c are dropped.

    Returns:
      ⌊n / c⌋ slots in the dtype of ``slots``; usage is summed.

    Raises:
      TypeError: ``slots`` is not a :class:`MemorySlots`.
      ValueError: ``rate`` is not above 0, or there are fewer slots.

    Example:
      >>> x = jnp.arange(4.0)[:, None]
      >>> slots = MemorySlots(x, jnp.ones(4, bool), jnp.zeros(4))
      >>> mean_compression(slots, rate=2).states.tolist()
      [[0.5], [2.5]]
    """
    states, valid, usage = _blocks("mean_compression", slots, rate)
    wide = accumulation_dtype(states.dtype)
    counted = valid.astype(wide)
    share = counted / jnp.maximum(jnp.sum(counted, axis=-1, keepdims=True), 1)
    mean = jnp.sum(states.astype(wide) * share[..., None], axis=-2)
    return MemorySlots(mean.astype(states.dtype), valid.any(-1), usage)


def max_compression(slots: MemorySlots, *, rate: int) -> MemorySlots:
    r"""Give the largest of each c states in a row, feature by feature.

    .. math:: y_j = \max_{k=0 \ldots c-1} x_{jc + k}

    Args:
      slots: x. Empty ones are left out; an output is valid if any of its c is.
      rate: c; of n slots, the last n mod c are dropped.

    Returns:
      ⌊n / c⌋ slots in the dtype of ``slots``; usage is summed.

    Raises:
      TypeError: ``slots`` is not a :class:`MemorySlots`.
      ValueError: ``rate`` is not above 0, or there are fewer slots.

    Example:
      >>> x = jnp.arange(4.0)[:, None]
      >>> slots = MemorySlots(x, jnp.ones(4, bool), jnp.zeros(4))
      >>> max_compression(slots, rate=2).states.tolist()
      [[1.0], [3.0]]
    """
    states, valid, usage = _blocks("max_compression", slots, rate)
    least = jnp.finfo(states.dtype).min
    some = valid.any(-1)
    largest = jnp.max(jnp.where(valid[..., None], states, least), axis=-2)
    return MemorySlots(jnp.where(some[..., None], largest, 0), some, usage)


def most_used_compression(slots: MemorySlots, *, rate: int) -> MemorySlots:
    """Keep the ⌊n / c⌋ states that received the most attention, in the order they came.

    Args:
      slots: x. Of equally used ones the older is kept; empty ones come last.
      rate: c.

    Returns:
      ⌊n / c⌋ slots in the dtype of ``slots``. No gradient says which are kept.

    Raises:
      TypeError: ``slots`` is not a :class:`MemorySlots`.
      ValueError: ``rate`` is not above 0, or there are fewer slots.

    Example:
      >>> x = jnp.arange(4.0)[:, None]
      >>> slots = MemorySlots(x, jnp.ones(4, bool), jnp.array([0.1, 0.4, 0.2, 0.3]))
      >>> most_used_compression(slots, rate=2).states.tolist()
      [[1.0], [3.0]]
    """
    count = _check_rate("most_used_compression", slots, rate)
    score = jnp.where(slots.valid, slots.usage, -jnp.inf)
    kept = jnp.sort(lax.top_k(lax.stop_gradient(score), count)[1], axis=-1)
    states = jnp.take_along_axis(slots.states, kept[..., None], axis=-2)
    valid, usage = (jnp.take_along_axis(x, kept, axis=-1) for x in (slots.valid, slots.usage))
    return MemorySlots(states, valid, usage)


def convolution_compression(
    slots: MemorySlots,
    kernel: Float[Array, "rate features outputs"],
    bias: Float[Array, " outputs"] | None = None,
    *,
    dilation: int = 1,
) -> MemorySlots:
    r"""Convolve the states along time, with kernel and stride of length c.

    .. math:: y_j = \sum_{k=0}^{c-1} x_{jc + kδ - p}\,K_k, \quad
        p = \left\lfloor (c - 1)(δ - 1) / 2 \right\rfloor

    Without dilation no state enters two outputs. With it the field of each is wider than c,
    reaches as far to both sides, and states beyond the ends are zero; the paper says no more of
    its dilated form than that it is one.

    Args:
      slots: x. Empty ones count as zero; an output is valid if any state in its field is.
      kernel: K; its length is c. Of n slots, the last n mod c are dropped.
      bias: added to all outputs.
      dilation: δ, from one state of a field to the next.

    Returns:
      ⌊n / c⌋ slots in the dtype of ``slots``; sums accumulate in float32 or wider. Usage is that
      of each c slots in a row.

    Raises:
      TypeError: an argument is not of arrays of floating-point numbers.
      ValueError: the features disagree, or there are fewer slots than c.

    Example:
      >>> x = jnp.arange(4.0)[:, None]
      >>> slots = MemorySlots(x, jnp.ones(4, bool), jnp.zeros(4))
      >>> convolution_compression(slots, jnp.array([1.0, 10.0])[:, None, None]).states.tolist()
      [[10.0], [32.0]]
    """
    where = "convolution_compression"
    _check_slots(where, slots=slots)
    require_array(where, kernel=kernel)
    *batch, _, features = slots.states.shape
    require(
        kernel.ndim == 3 and kernel.shape[1] == features,
        where,
        "kernel",
        kernel,
        f"shape ('rate', {features}, 'outputs'), as the states have {features} features",
    )
    require_count(where, dilation=dilation)
    rate, _, outputs = kernel.shape
    states, valid, usage = _blocks(where, slots, rate, dilation)
    fields = jnp.where(valid[..., None], states, 0)
    fields = fields.reshape(*batch, fields.shape[-3], rate * features)
    out = dense(fields, kernel.reshape(rate * features, outputs), bias)
    return MemorySlots(out, valid.any(-1), usage)


def attention_reconstruction_loss(
    query: Query,
    key: Key,
    value: Value,
    compressed_key: Float[Array, "*batch slots key_heads width"],
    compressed_value: Float[Array, "*batch slots key_heads value_width"],
    *,
    mask: Bool[Array, "..."] | None = None,
    compressed_mask: Bool[Array, "..."] | None = None,
    scale: float | None = None,
) -> Float[Array, "*batch"]:
    r"""Say how far attention to compressed states is from attention to the states themselves.

    .. math:: \left\lVert \operatorname{attn}(q, k, v) - \operatorname{attn}(q, k', v')
        \right\rVert_2

    over all queries, heads and features together. It is softmax attention by content alone.

    Args:
      query: q, of what is read now.
      key: k, of the states that leave the memory.
      value: v, likewise.
      compressed_key: k', of what they become.
      compressed_value: v', likewise.
      mask: False for empty slots, ``(*batch, 1, 1, keys)``.
      compressed_mask: likewise for the compressed ones.
      scale: of the logits; 1/√width if ``None``.

    Returns:
      One number for each example; 0 where all its slots are empty.

    Gradient: flows to ``compressed_key`` and ``compressed_value`` only; it is 0 where the loss
    is. Whoever projects these from compressed states stops it at the projections' parameters.

    Raises:
      TypeError: an argument is not an array of floating-point numbers, or a mask of booleans.
      ValueError: shapes disagree.

    Example:
      >>> query, key = jnp.ones((1, 1, 2)), jnp.zeros((3, 1, 2))
      >>> value = jnp.array([0.0, 1.0, 2.0])[:, None, None]
      >>> attention_reconstruction_loss(query, key, value, key[:1], value[:1]).item()
      1.0
    """
    where = "attention_reconstruction_loss"
    require_array(
        where, query=query, compressed_key=compressed_key, compressed_value=compressed_value
    )
    require(
        compressed_value.shape[-2:] == value.shape[-2:],
        where,
        "compressed_value",
        compressed_value,
        f"last axes {value.shape[-2:]}, as `value`",
    )
    query, key, value = (lax.stop_gradient(x) for x in (query, key, value))
    want = dot_product_attention(query, key, value, mask=mask, scale=scale)
    got = dot_product_attention(
        query, compressed_key, compressed_value, mask=compressed_mask, scale=scale
    )
    wide = accumulation_dtype(want.dtype)
    square = jnp.sum((want.astype(wide) - got.astype(wide)) ** 2, axis=(-3, -2, -1))
    for some in (mask, compressed_mask):
        if some is not None:
            full = (*query.shape[:-3], *some.shape[-3:])
            square = jnp.where(jnp.broadcast_to(some, full).any((-3, -2, -1)), square, 0)
    # The root's slope at 0 is infinite.
    safe = jnp.where(square > 0, square, 1)
    return jnp.where(square > 0, jnp.sqrt(safe), 0).astype(want.dtype)


def _check_slots(where: str, **arguments: object) -> None:
    for name, slots in arguments.items():
        if not isinstance(slots, MemorySlots):
            raise TypeError(f"{where}: `{name}` is {type(slots).__name__}; it needs MemorySlots.")
        arrays: dict[str, Any] = {f"{name}.states": slots.states, f"{name}.usage": slots.usage}
        require_array(where, **arrays)
        require_rank(where, f"{name}.states", slots.states, 2, "(*batch, slots, features)")
        shape = slots.states.shape[:-1]
        for field in ("valid", "usage"):
            have = getattr(slots, field)
            require(have.shape == shape, where, f"{name}.{field}", have, f"shape {shape}")
        if slots.valid.dtype != jnp.bool_:
            raise TypeError(
                f"{where}: `{name}.valid` has dtype {slots.valid.dtype}; it needs bool."
            )


def _check_rate(where: str, slots: MemorySlots, rate: int) -> int:
    """Give the number of slots that a rate leaves."""
    _check_slots(where, slots=slots)
    require_count(where, rate=rate)
    count = slots.states.shape[-2] // rate
    require(
        count > 0,
        where,
        "slots",
        slots.states,
        f"at least {rate} slots, which make one",
        "Are segments shorter than the rate?",
    )
    return count


def _blocks(
    where: str, slots: MemorySlots, rate: int, dilation: int = 1
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Cut slots into fields: states ``(..., count, rate, features)``, valid, and summed usage."""
    count = _check_rate(where, slots, rate)
    *batch, total, features = slots.states.shape
    used = count * rate
    usage = jnp.sum(slots.usage[..., :used].reshape(*batch, count, rate), axis=-1)
    if dilation == 1:
        states = slots.states[..., :used, :].reshape(*batch, count, rate, features)
        return states, slots.valid[..., :used].reshape(*batch, count, rate), usage
    before = (rate - 1) * (dilation - 1) // 2
    places = rate * np.arange(count)[:, None] + dilation * np.arange(rate) - before
    there = (places >= 0) & (places < total)
    places = np.clip(places, 0, total - 1)
    valid = slots.valid[..., places] & jnp.broadcast_to(there, (*batch, count, rate))
    return slots.states[..., places, :], valid, usage
