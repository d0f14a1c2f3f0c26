r"""Attention over a sequence that is split among devices, each of which does a part of the heads.

Before attention every device has all heads of a part of the time; one all-to-all each of queries,
keys and values gives it all of the time for a part of the heads, and one of the outputs goes back.
Between them any attention runs as on one device.

.. math:: (T / P, h, d) \to (T, h / P, d) \to \mathrm{attention} \to (T / P, h, d)

===  ==================================
T    time, the length of the sequence
P    devices along the mesh axis
h    heads
d    width of a head
===  ==================================

A device's parts of the four have 4 T h d / P numbers, of which it keeps 1 / P and sends the rest:
bounded while T and P grow together.

Source: "DeepSpeed Ulysses: System Optimizations for Enabling Training of Extreme Long Sequence
Transformer Models" (2023), section 3.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from jaxnn._check import describe, require, require_array, require_rank
from jaxnn.train.parallel._axes import batch_entry, require_axis

Attention: TypeAlias = Callable[..., jax.Array]


def ulysses_attention(
    attention: Attention,
    mesh: Mesh,
    *,
    axis: str = "sequence",
    batch_axes: Sequence[str] | None = None,
) -> Attention:
    """Make an attention for sequences that are split over a mesh axis.

    What comes of it has the attention's own signature and takes the whole arrays, as ever in JAX:
    split over time they stay split, and nothing is gathered. Position encodings and whatever else
    acts on each time by itself needs no care.

    Args:
      attention: one that treats every head by itself, called as
        ``attention(query, key, value, **options)`` with arrays ``(*batch, time, heads, width)``.
      mesh: the devices.
      axis: the mesh axis over which time is split. It divides the number of heads and the time
        of queries and of keys, and with grouped key heads their number too.
      batch_axes: mesh axes that the first axis of the batch is split over; those of ``"data"``
        and ``"fsdp"`` that the mesh has if ``None``. A batch that they do not divide stays whole.

    Returns:
      The attention. Options go through: ``mask`` and ``bias`` broadcast to
      ``(*batch, heads, queries, keys)`` and are split over heads if they have them, so that a mask
      of the keys' padding is whole on each device, ``(*batch, 1, 1, keys)``. Any other array among
      the options is the same on every device; a ``dropout_key`` is folded with the
      device's place, so that no two drop alike.

    Raises:
      ValueError: the mesh lacks an axis; when called, sizes are not divisible.

    Example:
      >>> mesh = make_mesh("sequence=-1")
      >>> attend = ulysses_attention(attention.dot_product_attention, mesh)
      >>> module = attention.MultiHeadAttention(8, attention=attend)
    """
    where = "ulysses_attention"
    require_axis(where, mesh, axis)
    return _on_mesh(where, attention, mesh, axis, batch_entry(where, mesh, batch_axes))


def head_parallel_attention(
    attention: Attention,
    mesh: Mesh,
    *,
    axis: str = "model",
    batch_axes: Sequence[str] | None = None,
) -> Attention:
    """Make an attention for heads that are split over a mesh axis, as tensor parallelism has them.

    Each device attends with its own heads and sends nothing. Without it the compiler may gather
    queries, keys and values, as a kernel that folds batch and heads into one axis has it do.

    Args:
      attention: one that treats every head by itself, called as
        ``attention(query, key, value, **options)`` with arrays ``(*batch, time, heads, width)``.
      mesh: the devices.
      axis: the mesh axis over which heads are split. It divides their number, and with grouped
        key heads theirs too.
      batch_axes: as in :func:`ulysses_attention`.

    Returns:
      The attention; options go through as in :func:`ulysses_attention`.

    Raises:
      ValueError: the mesh lacks an axis; when called, sizes are not divisible.

    Example:
      >>> mesh = make_mesh("data=4,model=2")
      >>> attend = head_parallel_attention(attention.dot_product_attention, mesh)
      >>> model = models.VisionTransformer(outputs=10, attention=attend)
    """
    where = "head_parallel_attention"
    require_axis(where, mesh, axis)
    return _on_mesh(where, attention, mesh, axis, batch_entry(where, mesh, batch_axes))


def _on_mesh(
    where: str, attention: Attention, mesh: Mesh, axis: str, first: tuple[str, ...] | None
) -> Attention:
    """Run attention on each device, on its part of the time, exchanged for heads, or of heads."""
    over_time = where == "ulysses_attention"

    def attend(query: jax.Array, key: jax.Array, value: jax.Array, **options: Any) -> jax.Array:
        _check(where, query, key, value, mesh.shape[axis], axis, over_time=over_time)
        # A batch too small to split is whole: one example, say, with which a module is initialised.
        ways = math.prod(mesh.shape[name] for name in first or ())
        some = first if query.shape[0] % ways == 0 else None
        lead = [some, *[None] * (query.ndim - 4)] if query.ndim > 3 else []
        spec = PartitionSpec(*lead, axis) if over_time else PartitionSpec(*lead, None, axis)
        shared: dict[str, Any] = {
            name: x for name, x in options.items() if isinstance(x, jax.Array | np.ndarray)
        }
        fixed = {name: x for name, x in options.items() if name not in shared}
        specs = {name: PartitionSpec() for name in shared}
        for name in {"mask", "bias"} & set(shared):
            x = shared[name]
            needs = "a shape that broadcasts to (*batch, heads, queries, keys)"
            require(x.ndim <= query.ndim, where, name, x, needs)
            x = shared[name] = x.reshape((1,) * (query.ndim - x.ndim) + x.shape)
            places = [*lead, axis]  # of the batch, and of heads
            specs[name] = PartitionSpec(
                *(place if size > 1 else None for place, size in zip(places, x.shape, strict=False))
            )
        inner = functools.partial(_exchange if over_time else _attend, where, attention, axis)
        # What an attention makes inside of a loop need not be told to vary from device to device.
        return jax.shard_map(
            functools.partial(inner, first or (), fixed),
            mesh=mesh,
            in_specs=(spec, spec, spec, specs),
            out_specs=spec,
            check_vma=False,
        )(query, key, value, shared)

    return attend


def _exchange(
    where: str,
    attention: Attention,
    axis: str,
    batch_axes: tuple[str, ...],
    fixed: dict[str, Any],
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    shared: dict[str, jax.Array],
) -> jax.Array:
    """Run on one device: all heads of some time, then some heads of all time, and back."""
    time, heads = query.ndim - 3, query.ndim - 2
    to_heads = functools.partial(
        lax.all_to_all, axis_name=axis, split_axis=heads, concat_axis=time, tiled=True
    )
    arrays = to_heads(query), to_heads(key), to_heads(value)
    output = _attend(where, attention, axis, batch_axes, fixed, *arrays, shared)
    return lax.all_to_all(output, axis, split_axis=time, concat_axis=heads, tiled=True)


def _attend(
    where: str,
    attention: Attention,
    axis: str,
    batch_axes: tuple[str, ...],
    fixed: dict[str, Any],
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    shared: dict[str, jax.Array],
) -> jax.Array:
    """Run on one device: some heads of all time."""
    if "dropout_key" in shared:
        own = jax.random.fold_in(shared["dropout_key"], lax.axis_index((axis, *batch_axes)))
        shared = shared | {"dropout_key": own}
    output = attention(query, key, value, **fixed, **shared)
    want = (*query.shape[:-1], value.shape[-1])
    if not (isinstance(output, jax.Array) and output.shape == want):
        raise ValueError(
            f"{where}: `attention` gave {describe(output)}; it needs one array of shape "
            f"{want} for a device's heads, so without `return_weights`."
        )
    return output


def _check(
    where: str,
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    ways: int,
    axis: str,
    *,
    over_time: bool,
) -> None:
    require_array(where, query=query, key=key, value=value)
    require_rank(where, "query", query, 3, "(*batch, time, heads, width)")
    for name, x in (("query", query), ("key", key), ("value", value)):
        require(x.ndim == query.ndim, where, name, x, f"{query.ndim} axes, as `query` has")
        time, heads = x.shape[-3:-1]
        few = "Repeat key heads, or use fewer devices." if name != "query" else "Use fewer devices."
        require(
            heads % ways == 0,
            where,
            name,
            x,
            f"a number of heads that the {ways} devices of {axis!r} divide, not {heads}",
            few,
        )
        require(
            time % ways == 0 or not over_time,
            where,
            name,
            x,
            f"a time that the {ways} devices of {axis!r} divide, not {time}",
            "Pad it, and mask the padding.",
        )
