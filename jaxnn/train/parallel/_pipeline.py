r"""A stack of equal blocks, split in stages that work on different parts of a batch at a time.

Each device keeps a run of neighbouring blocks, a stage. A batch is cut in M micro-batches, which
enter one after the other: at tick t stage k works on micro-batch t - k and hands its result to the
next stage. Gradients are those of the whole batch, as if the blocks had run in a row.

.. math:: \text{ticks} = M + K - 1, \qquad \text{idle share} = \frac{K - 1}{M + K - 1}

===  =======================================
K    stages, devices along the mesh axis
M    micro-batches
L    blocks, L / K in each stage
N    examples in a batch, N / M at a time
===  =======================================

For the derivative a device keeps what came into its stage at each tick, of N (1 + (K - 1) / M)
examples, and makes the rest again, of L / K blocks for one micro-batch.

Source: "GPipe: Efficient Training of Giant Neural Networks using Pipeline Parallelism" (2019),
sections 2.1 to 2.3.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import PyTree

from jaxnn._check import require, require_array, require_count
from jaxnn.train.parallel._axes import batch_entry, require_axis, require_split

WHERE = "pipeline"


def pipeline(
    block: Callable[[Any, Any], Any],
    mesh: Mesh,
    *,
    micro_batches: int,
    axis: str = "stage",
    batch_axes: Sequence[str] | None = None,
    recompute: bool = True,
) -> Callable[[PyTree, PyTree], PyTree]:
    """Make the function that runs a stack of equal blocks as a pipeline.

    Args:
      block: called as ``block(params, x)`` with one block's parameters and a micro-batch; gives
        an array like ``x``, or a tree of them like the one it was given. It treats examples each
        by itself; statistics of a batch would be those of a micro-batch.
      mesh: the devices.
      micro_batches: number of parts a batch is cut in; the batch axes' devices, in so many parts
        each, divide the batch.
      axis: the mesh axis whose devices are the stages. It divides the number of blocks.
      batch_axes: mesh axes that the batch is split over besides; those of ``"data"`` and
        ``"fsdp"`` that the mesh has if ``None``.
      recompute: whether a stage's inner values are made again for the derivative instead of kept.

    Returns:
      ``run(params, x) -> y``, with the stacked parameters of all blocks, each array
      ``(blocks, ...)``, and the batch. Parameters that lie split over ``axis``, as by the rule
      ``("^params/blocks/", PartitionSpec("stage"))``, stay where they are, and so do their
      gradients.

    Raises:
      ValueError: the mesh lacks an axis; when called, sizes are not divisible or ``block`` changes
        the shape of its input.

    Example:
      >>> mesh = make_mesh("stage=-1")
      >>> run = pipeline(lambda w, x: x + jnp.tanh(x @ w), mesh, micro_batches=4)
      >>> run(jnp.zeros((8, 3, 3)), jnp.ones((12, 3))).shape
      (12, 3)
    """
    require_axis(WHERE, mesh, axis)
    require_count(WHERE, micro_batches=micro_batches)
    first = batch_entry(WHERE, mesh, batch_axes)
    stages = mesh.shape[axis]

    def stage(params: PyTree, x: PyTree) -> PyTree:
        return lax.scan(lambda x, one: (block(one, x), None), x, params)[0]

    work = jax.checkpoint(stage, prevent_cse=False) if recompute else stage

    def device(params: PyTree, x: PyTree) -> PyTree:
        number = lax.axis_index(axis)
        # A device's own examples in M parts, and the last ticks, when nothing more comes in.
        parts = jax.tree.map(lambda a: a.reshape(micro_batches, -1, *a.shape[1:]), x)
        idle = stages - 1
        queue = jax.tree.map(lambda a: jnp.pad(a, [(0, idle)] + [(0, 0)] * (a.ndim - 1)), parts)

        def tick(given: PyTree, entering: tuple[jax.Array, PyTree]) -> tuple[PyTree, PyTree]:
            time, new = entering
            x = jax.tree.map(lambda a, b: jnp.where(number == 0, a, b), new, given)
            busy = (time >= number) & (time < number + micro_batches)
            # An idle stage does nothing: work on zeros could yield what is not a number.
            y = lax.cond(busy, lambda x: work(params, x), lambda x: x, x)
            following = [(k, k + 1) for k in range(idle)]
            return jax.tree.map(lambda a: lax.ppermute(a, axis, following), y), y

        start = jax.tree.map(lambda a: jnp.zeros_like(a[0]), parts)
        _, found = lax.scan(tick, start, (jnp.arange(micro_batches + idle), queue))
        last = number == idle

        def give(a: jax.Array) -> jax.Array:
            y = a[idle:].reshape(1, -1, *a.shape[2:])
            return jnp.where(last, y, jnp.zeros_like(y))

        return jax.tree.map(give, found)

    over_stages, over_batch = PartitionSpec(axis), PartitionSpec(first)
    spread = jax.shard_map(
        device,
        mesh=mesh,
        in_specs=(over_stages, over_batch),
        out_specs=PartitionSpec(axis, first),
        check_vma=False,
    )

    def run(params: PyTree, x: PyTree) -> PyTree:
        _check(block, params, x, mesh, axis, first, micro_batches)
        # Summed over stages out here: a sum within would send the output's derivative as well,
        # which every stage has.
        return jax.tree.map(lambda a: jnp.sum(a, axis=0, dtype=a.dtype), spread(params, x))

    return run


def _check(
    block: Callable[[Any, Any], Any],
    params: PyTree,
    x: PyTree,
    mesh: Mesh,
    axis: str,
    first: tuple[str, ...] | None,
    micro_batches: int,
) -> None:
    leaves = jax.tree.leaves(params)
    require(bool(leaves), WHERE, "params", params, "an array (blocks, ...) at least")
    for leaf in leaves:
        require_array(WHERE, floating=False, params=leaf)
        blocks = leaf.shape[0] if leaf.ndim else 0
        needs = f"a first axis of blocks that the {mesh.shape[axis]} stages of {axis!r} divide"
        require(bool(blocks) and blocks % mesh.shape[axis] == 0, WHERE, "params", leaf, needs)
        same = leaves[0].shape[0]
        require(blocks == same, WHERE, "params", leaf, f"{same} blocks, as another array has")
    for leaf in jax.tree.leaves(x):
        require_array(WHERE, floating=False, x=leaf)
        require_split(WHERE, "x", leaf, mesh, first, micro_batches)
    one = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), params)
    given = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), x)
    found = jax.eval_shape(block, one, given)
    alike = jax.tree.structure(found) == jax.tree.structure(given) and all(
        (a.shape, a.dtype) == (b.shape, b.dtype)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(given), strict=True)
    )
    if not alike:
        raise ValueError(
            f"pipeline: `block` gave {found} for {given}; it needs to give what the next block "
            "takes, of the same shape and dtype. Run what comes first and last outside."
        )
