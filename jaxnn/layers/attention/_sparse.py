r"""Sparse factorised attention: every query reads about √n keys, and two steps reach them all.

The keys of a query are split in a local part and a distant part. Either alone has about √n
keys for a stride near √n, and a path of one step of each joins any two positions. No array has
n² entries: a part is the dense attention of short rows, cut so that related positions meet in
one of them (blocks and their neighbours, every l-th position, the ends of all blocks).

Source: "Generating Long Sequences with Sparse Transformers" (2019), sections 4.3 and 5.1. The
paper's patterns are causal; without causality they are the same relations looking both ways.

===========  ==================================================
q            ``query``, ``(*batch, queries, heads, width)``
k            ``key``, ``(*batch, queries, key_heads, width)``
v            ``value``, ``(*batch, queries, key_heads, value_width)``
l            ``stride``, near √n; 128 in the paper
c            ``summary``, positions at each block's end; 8 to 32
n            the number of positions
===========  ==================================================
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxnn._check import require, require_count
from jaxnn.layers.attention._dot_product import (
    Key,
    Output,
    Query,
    Value,
    dot_product_attention,
)
from jaxnn.layers.attention._products import (
    attention_logits,
    check_attention,
    drop_weights,
    weighted_values,
)

Pattern = Literal["strided", "fixed"]
PARTS = ("union", "local", "distant", "heads")


def sparse_attention(
    query: Query,
    key: Key,
    value: Value,
    *,
    stride: int,
    pattern: Pattern = "strided",
    part: Literal["union", "local", "distant", "heads"] = "union",
    summary: int = 1,
    mask: Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_rate: float = 0.0,
    dropout_key: jax.Array | None = None,
) -> Output:
    r"""Attend with softmax weights to the keys of a fixed sparse pattern.

    The pairs are those of :func:`sparse_pattern`. The logits made are n (2 l + n / l) for
    ``"strided"`` (3 l if not causal) and n (l + c n / l) for ``"fixed"``, never n². The length
    need not be a multiple of the stride.

    The three ways of the paper to combine the parts: one ``part`` in each block of a network,
    in turns; both in one softmax, ``"union"``; or one in each half of the ``"heads"``. Under
    ``jax.checkpoint`` the weights are made again on the way back, and not kept.

    Args:
      query: q.
      key: k; with fewer heads, each serves a run of ``heads / key_heads`` query heads.
      value: v, one for each key.
      stride: l.
      pattern: ``"strided"`` for data with a period, such as images; ``"fixed"`` for text.
      part: which keys: of the ``"local"`` part, of the ``"distant"`` part, or of their
        ``"union"``; with ``"heads"`` the first half of the heads is local, the second distant.
      summary: c, of the fixed pattern.
      mask: True where a key may be attended to, the same for all queries: it broadcasts to
        ``(*batch, heads, 1, keys)``.
      bias: added to the logits, the same for all queries: it broadcasts likewise.
      is_causal: whether query i attends to keys 0 ... i only, as in the paper.
      scale: 1/√width if not given.
      dropout_rate: share of the weights dropped, the others scaled up.
      dropout_key: random key, needed if ``dropout_rate`` is not zero.

    Returns:
      An array in the dtype of ``value``; the softmax is taken in float32 or wider. A query that
      may attend to nothing, such as a first one of the fixed pattern's distant part, gets zeros.

    Raises:
      TypeError: an argument is not an array of floating-point numbers, or ``mask`` of booleans.
      ValueError: shapes disagree, keys are not as many as queries, or mask or bias tell queries
        apart.

    Example:
      >>> value = jnp.arange(9.0)[:, None, None]
      >>> options = {"stride": 3, "part": "distant", "is_causal": True}
      >>> sparse_attention(jnp.zeros((9, 1, 2)), jnp.ones((9, 1, 2)), value, **options)[8].item()
      5.0
    """
    where = "sparse_attention"
    check_attention(where, query, key, value, mask, bias, scale, dropout_rate, dropout_key)
    _check_pattern(where, stride, pattern, summary)
    n, heads = query.shape[-3:-1]
    require(
        key.shape[-3] == n,
        where,
        "key",
        key,
        f"{n} positions, as many as `query`: the pattern relates positions of one sequence",
        "To read on from a cache, give the model `SparseAttention`.",
    )
    mask, bias = (
        _of_keys(where, name, array, n, query.ndim)
        for name, array in (("mask", mask), ("bias", bias))
    )
    require(part in PARTS, where, "part", part, f"one of {PARTS}")
    rule = functools.partial(
        _related, stride=stride, pattern=pattern, summary=summary, is_causal=is_causal
    )

    def attend(part, arrays, dropout_key):
        # In one softmax each pair counts once: the distant part leaves out the local one.
        pairs = {"union": ("local", "rest")}.get(part, (part,))
        keys = (None, None) if dropout_key is None else jax.random.split(dropout_key)
        sums = []
        for name, drop_key in zip(pairs, keys, strict=False):
            layout = _layout(name, stride, pattern, summary, is_causal)
            related = functools.partial(rule, part=name)
            drop = functools.partial(drop_weights, rate=dropout_rate, key=drop_key)
            sums.append(_sums(layout, related, arrays, scale, drop))
        return _merge(sums).astype(value.dtype)

    if part != "heads":
        return attend(part, (query, key, value, mask, bias), dropout_key)
    key_heads = key.shape[-2]
    fits = heads % 2 == 0 and (key_heads == 1 or key_heads % 2 == 0)
    require(fits, where, "part", part, f"heads in two halves, not {heads} of {key_heads} keys")
    halves = zip(*(_halves(x) for x in (query, key, value, mask, bias)), strict=True)
    keys = (None, None) if dropout_key is None else jax.random.split(dropout_key)
    outputs = [
        attend(name, half, drop_key)
        for name, half, drop_key in zip(("local", "distant"), halves, keys, strict=True)
    ]
    return jnp.concatenate(outputs, axis=-2)


@dataclasses.dataclass(frozen=True)
class SparseAttention:
    """Sparse attention for models that read on from kept keys; see :func:`sparse_attention`.

    Generation makes the logits of a token to all kept keys, and leaves out those that the pattern
    does: it costs what dense attention costs there.

    Attributes:
      stride: l.
      pattern: ``"strided"`` or ``"fixed"``.
      part: ``"union"``, ``"local"``, ``"distant"`` or ``"heads"``.
      summary: c, of the fixed pattern.

    Example:
      >>> query = key = value = jnp.ones((3, 1, 2))
      >>> attend = SparseAttention(stride=2)
      >>> mask = jnp.arange(3)[None] <= 2
      >>> last = attend.attend_at(jnp.array([2]), query[2:], key, value, mask=mask)
      >>> bool(jnp.allclose(last, attend(query, key, value, is_causal=True)[2:]))
      True
    """

    stride: int
    pattern: Pattern = "strided"
    part: Literal["union", "local", "distant", "heads"] = "union"
    summary: int = 1

    def __call__(
        self,
        query: Query,
        key: Key,
        value: Value,
        *,
        mask: Bool[Array, "..."] | None = None,
        bias: Float[Array, "..."] | None = None,
        is_causal: bool = False,
        scale: float | None = None,
        dropout_rate: float = 0.0,
        dropout_key: jax.Array | None = None,
    ) -> Output:
        """Attend as :func:`sparse_attention` does."""
        return sparse_attention(
            query,
            key,
            value,
            stride=self.stride,
            pattern=self.pattern,
            part=self.part,
            summary=self.summary,
            mask=mask,
            bias=bias,
            is_causal=is_causal,
            scale=scale,
            dropout_rate=dropout_rate,
            dropout_key=dropout_key,
        )

    def attend_at(
        self,
        places: Int[Array, " queries"],
        query: Query,
        key: Key,
        value: Value,
        *,
        mask: Bool[Array, "..."] | None = None,
        bias: Float[Array, "..."] | None = None,
        is_causal: bool = False,
        scale: float | None = None,
    ) -> Output:
        """Attend from some places; see :class:`PlacedAttention`."""
        where = "SparseAttention.attend_at"
        _check_pattern(where, self.stride, self.pattern, self.summary)
        require(self.part in PARTS, where, "part", self.part, f"one of {PARTS}")
        heads = query.shape[-2]
        need = f"shape ({query.shape[-3]},), one place a query"
        require(places.shape == query.shape[-3:-2], where, "places", places, need)
        halves = ("local", "distant") if self.part == "heads" else (self.part,)
        fits = heads % len(halves) == 0
        require(fits, where, "part", self.part, f"heads in two halves, not {heads}")
        keys = jnp.arange(key.shape[-3])[None, :]
        related = jnp.stack(
            [
                _related(
                    places[:, None],
                    keys,
                    stride=self.stride,
                    pattern=self.pattern,
                    part=half,
                    summary=self.summary,
                    is_causal=True,
                )
                for half in halves
            ]
        )
        if self.part == "heads":
            related = jnp.repeat(related, heads // 2, axis=0)
        related = related.reshape((1,) * (query.ndim - 3) + related.shape)
        if mask is not None:
            related = related & mask.reshape((1,) * (query.ndim - mask.ndim) + mask.shape)
        y = dot_product_attention(query, key, value, mask=related, bias=bias, scale=scale)
        reads = jnp.swapaxes(jnp.any(related, axis=-1), -1, -2)[..., None]
        return jnp.where(reads, y, jnp.zeros_like(y))


def sparse_pattern(
    n: int,
    *,
    stride: int,
    pattern: Pattern = "strided",
    part: Literal["union", "local", "distant"] = "union",
    summary: int = 1,
    is_causal: bool = False,
) -> Bool[Array, "queries keys"]:
    r"""Make the dense mask of the pairs that :func:`sparse_attention` relates.

    .. math::
        \text{strided:} \quad & |i - j| \le l, & (i - j) \bmod l = 0 \\
        \text{fixed:} \quad & \lfloor i / l \rfloor = \lfloor j / l \rfloor, & j \bmod l \ge l - c

    the local condition first, the distant one second, each with j ≤ i if causal. The causal
    union has about n (l + n / 2l) pairs: 1.5 n^1.5 for l = √n.

    Args:
      n: number of positions.
      stride: l.
      pattern: ``"strided"`` or ``"fixed"``.
      part: one of the two conditions, or either of them.
      summary: c, of the fixed pattern.
      is_causal: whether j ≤ i is needed too.

    Returns:
      True where query i attends to key j.

    Raises:
      ValueError: a size is not a whole number above zero, or ``pattern`` or ``part`` unknown.

    Example:
      >>> sparse_pattern(5, stride=2, part="distant", is_causal=True)[4].tolist()
      [True, False, True, False, True]
    """
    where = "sparse_pattern"
    require_count(where, n=n)
    _check_pattern(where, stride, pattern, summary)
    require(part in PARTS[:3], where, "part", part, f"one of {PARTS[:3]}")
    i = jnp.arange(n)
    return _related(
        i[:, None],
        i[None, :],
        stride=stride,
        pattern=pattern,
        part=part,
        summary=summary,
        is_causal=is_causal,
    )


def _check_pattern(where, stride, pattern, summary):
    require_count(where, stride=stride, summary=summary)
    require(pattern in ("strided", "fixed"), where, "pattern", pattern, "'strided' or 'fixed'")
    require(
        summary <= stride, where, "summary", summary, f"at most the {stride} positions of a block"
    )


def _related(i, j, *, stride, pattern, part, summary, is_causal):
    """Say which pairs are related; positions below zero are gaps, related to nothing."""
    if pattern == "strided":
        local, distant = jnp.abs(i - j) <= stride, (i - j) % stride == 0
    else:
        local, distant = i // stride == j // stride, j % stride >= stride - summary
    parts = {"local": local, "distant": distant, "union": local | distant, "rest": distant & ~local}
    related = parts[part] & (j >= 0)
    return related & (j <= i) if is_causal else related


def _of_keys(where, argument, value, n, rank):
    """Lay a mask or bias out like keys, ``(*batch, keys, heads, 1)``, or refuse it."""
    if value is None:
        return None
    value = value.reshape((1,) * (rank - value.ndim) + value.shape)
    require(
        value.shape[-2] == 1,
        where,
        argument,
        value,
        "shape (*batch, heads, 1, keys), the same for all queries",
        "Causality is `is_causal=True`. For other pairs use dot_product_attention with a mask "
        "from sparse_pattern.",
    )
    value = jnp.broadcast_to(value, (*value.shape[:-1], n))
    return jnp.moveaxis(value, -1, -3)


def _halves(x):
    """Split the heads in two; what all heads share goes to both."""
    if x is None or x.shape[-2] == 1:
        return x, x
    return jnp.split(x, 2, axis=-2)


class _Layout(NamedTuple):
    """How one part cuts ``(*batch, n, heads, width)`` into rows that attend on their own.

    Attributes:
      queries: gives ``(*batch, rows, queries, heads, width)``.
      keys: gives ``(*batch, rows, keys, heads, width)``, with zeros where there is none.
      back: undoes ``queries``, given n.
    """

    queries: Callable[[jax.Array], jax.Array]
    keys: Callable[[jax.Array], jax.Array]
    back: Callable[[jax.Array, int], jax.Array]


def _layout(part, stride, pattern, summary, is_causal):
    blocks = functools.partial(_blocks, stride=stride)
    if part == "local":
        windows = functools.partial(_windows, stride=stride, is_causal=is_causal)
        return _Layout(blocks, windows if pattern == "strided" else blocks, _unblock)
    if pattern == "strided":

        def columns(x):
            return jnp.swapaxes(blocks(x), -4, -3)

        return _Layout(columns, columns, lambda x, n: _unblock(jnp.swapaxes(x, -4, -3), n))

    def ends(x):
        x = blocks(x)[..., stride - summary :, :, :]
        return x.reshape(*x.shape[:-4], 1, x.shape[-4] * summary, *x.shape[-2:])

    return _Layout(lambda x: jnp.expand_dims(x, -4), ends, lambda x, n: jnp.squeeze(x, -4))


def _blocks(x, stride):
    """Cut ``(*batch, n, heads, width)`` into blocks, with zeros after the end."""
    *batch, n, heads, width = x.shape
    count = -(-n // stride)
    x = jnp.pad(x, [(0, 0)] * len(batch) + [(0, count * stride - n), (0, 0), (0, 0)])
    return x.reshape(*batch, count, stride, heads, width)


def _unblock(x, n):
    *batch, count, stride, heads, width = x.shape
    return x.reshape(*batch, count * stride, heads, width)[..., :n, :, :]


def _windows(x, stride, is_causal):
    """Give each block and the one before it, and unless causal the one after it."""
    own = _blocks(x, stride)
    gap = jnp.zeros_like(own[..., :1, :, :, :])
    near = [jnp.concatenate([gap, own[..., :-1, :, :, :]], axis=-4), own]
    if not is_causal:
        near.append(jnp.concatenate([own[..., 1:, :, :, :], gap], axis=-4))
    return jnp.concatenate(near, axis=-3)


def _sums(layout, related, arrays, scale, drop):
    """Give the largest logit of each query, and the sums of its weights and weighted values."""
    query, key, value, mask, bias = arrays
    n = query.shape[-3]
    # Counted from 1, so that the zeros of the gaps are told apart.
    steps = jnp.arange(1, n + 1)[:, None, None]
    i, j = (split(steps)[..., 0, 0] - 1 for split in (layout.queries, layout.keys))
    allowed = related(i[:, :, None], j[:, None, :])[:, None]
    logits = attention_logits(layout.queries(query), layout.keys(key), None, scale)
    if bias is not None:
        logits = logits + _like_logits(layout, bias).astype(logits.dtype)
    allowed = jnp.broadcast_to(
        allowed.reshape((1,) * (logits.ndim - 4) + allowed.shape), logits.shape
    )
    if mask is not None:
        allowed = allowed & _like_logits(layout, mask)
    # Finite, so that a query with no key has no NaN.
    logits = jnp.where(allowed, logits, jnp.finfo(logits.dtype).min)
    # The result does not depend on what is subtracted, and so has no derivative by it.
    top = jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    powers = jnp.where(allowed, jnp.exp(logits - top), 0)
    total = jnp.sum(powers, axis=-1, keepdims=True)
    output = weighted_values(drop(powers), layout.keys(value))
    top, total = (layout.back(jnp.swapaxes(x, -3, -2), n) for x in (top, total))
    return top, total, layout.back(output, n).astype(total.dtype)


def _like_logits(layout, x):
    return jnp.moveaxis(layout.keys(x), -3, -1)


def _merge(sums):
    """Join the parts' sums to one softmax over the keys of all."""
    top = functools.reduce(jnp.maximum, [one[0] for one in sums])
    factors = [jnp.exp(one[0] - top) for one in sums]
    total = sum(factor * one[1] for factor, one in zip(factors, sums, strict=True))
    output = sum(factor * one[2] for factor, one in zip(factors, sums, strict=True))
    return jnp.where(total > 0, output / jnp.where(total > 0, total, 1), 0)
