"""Ordered tables from path patterns to partition specs; the first pattern that matches wins.

Sources: "Megatron-LM: Training Multi-Billion Parameter Language Models Using Model Parallelism"
(2019) for the ready tables; "ZeRO: Memory Optimizations Toward Training Trillion Parameter
Models" (2019) for the fully-sharded form.
"""

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any, TypeAlias

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from jaxnn._check import require, require_count
from jaxnn.train._state import TrainState


@dataclasses.dataclass(frozen=True)
class IfDivisible:
    """A spec of which only the axes count that divide; see :func:`if_divisible`."""

    spec: PartitionSpec


@dataclasses.dataclass(frozen=True)
class FullySharded:
    """A spec to which one more axis is added; see :func:`fully_sharded`."""

    spec: PartitionSpec | IfDivisible
    axis: str
    min_size: int


Spec: TypeAlias = PartitionSpec | IfDivisible | FullySharded
Rules: TypeAlias = Sequence[tuple[str, Spec]]


def if_divisible(*spec: str | tuple[str, ...] | None) -> IfDivisible:
    """Make a spec that leaves a dimension whole where its mesh axes do not divide it.

    Args:
      *spec: for each dimension a mesh axis, several, or ``None``, as for ``PartitionSpec``.

    Returns:
      A value for a table of rules, for parameters such as the last layer of a classifier, whose
      size is the task's.

    Example:
      >>> rules = (("head/kernel$", if_divisible(None, "model")),)
    """
    return IfDivisible(PartitionSpec(*spec))


def fully_sharded(
    rules: Rules = (), *, axis: str = "data", min_size: int = 4096
) -> tuple[tuple[str, Spec], ...]:
    """Make the table that shards every large parameter over an axis of the batch.

    Each device keeps a part of every parameter and of its optimiser state; the compiler gathers
    a parameter where it is used and scatters the sum of its gradient.

    Args:
      rules: a table to combine with, e.g. of tensor parallelism: ``axis`` is added to each of
        its specs. What it does not match is sharded over ``axis`` alone.
      axis: the mesh axis. It goes beside the axes that ``rules`` put on a dimension if together
        they divide it, else to the largest dimension that it divides, else nowhere.
      min_size: number of elements below which a parameter is left as ``rules`` has it.

    Returns:
      An ordered table for :func:`partition` and :class:`Layout`.

    Raises:
      ValueError: ``min_size`` is not positive.

    Example:
      >>> layout = Layout(make_mesh("data=-1"), fully_sharded())
    """
    require_count("fully_sharded", min_size=min_size)
    table: list[tuple[str, Spec]] = []
    for pattern, spec in (*rules, ("", PartitionSpec())):
        base = _without(spec)
        table.append((pattern, FullySharded(base, axis, min_size)))
    return tuple(table)


def without_fully_sharded(rules: Rules) -> Rules:
    """Undo :func:`fully_sharded`: how parameters lie where they are used."""
    return tuple((pattern, _without(spec)) for pattern, spec in rules)


def _without(spec: Spec) -> PartitionSpec | IfDivisible:
    return spec.spec if isinstance(spec, FullySharded) else spec


def partition(tree: PyTree, rules: Rules, mesh: Mesh) -> PyTree:
    """Find the sharding of every array of a tree by an ordered table.

    In a :class:`~jaxnn.train.TrainState`, the optimiser's state and the parameters' average
    follow the parameters: an array there whose path ends in a parameter's, and which has its
    shape, gets its sharding. What else is in the optimiser's state is replicated, as the step
    and the keys are.

    Args:
      tree: arrays, or anything with a shape.
      rules: pairs of a pattern and a spec. A pattern is a regular expression searched for in the
        path, such as ``params/blocks_0/attention/query/kernel``; the first that is found decides.
        What none matches is replicated.
      mesh: the devices.

    Returns:
      A tree of ``NamedSharding``.

    Raises:
      ValueError: a spec names an axis the mesh does not have, has more entries than a parameter
        has dimensions, or an axis that does not divide its dimension.

    Example:
      >>> mesh = make_mesh("model=1")
      >>> rules = (("kernel$", PartitionSpec(None, "model")),)
      >>> partition({"kernel": jnp.ones((3, 4)), "bias": jnp.ones(4)}, rules, mesh)["kernel"].spec
      PartitionSpec(None, 'model')
    """
    table = [(re.compile(pattern), spec) for pattern, spec in rules]
    if isinstance(tree, TrainState):
        return _partition_state(tree, table, mesh)
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: _find(_name(path), leaf, table, mesh), tree
    )


def _partition_state(
    state: TrainState, table: list[tuple[re.Pattern[str], Spec]], mesh: Mesh
) -> TrainState:
    known: dict[str, tuple[tuple[int, ...], NamedSharding]] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(state.params):
        sharding = _find(f"params/{_name(path)}", leaf, table, mesh)
        known[_name(path)] = (tuple(leaf.shape), sharding)

    def find(path: Any, leaf: Any) -> NamedSharding:
        room, *parts = _name(path).split("/")
        if room == "collections" and not jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return _find("/".join(parts), leaf, table, mesh)
        for start in range(len(parts) if room in ("params", "opt_state", "ema") else 0):
            shape, sharding = known.get("/".join(parts[start:]), (None, None))
            if sharding is not None:
                # A factored second moment has its parameter's path but not its shape.
                return sharding if shape == tuple(leaf.shape) else NamedSharding(mesh, WHOLE)
        return NamedSharding(mesh, WHOLE)

    return jax.tree_util.tree_map_with_path(find, state)


WHOLE = PartitionSpec()


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _find(
    path: str, leaf: Any, table: list[tuple[re.Pattern[str], Spec]], mesh: Mesh
) -> NamedSharding:
    for pattern, spec in table:
        if pattern.search(path):
            entries = _resolve(path, tuple(leaf.shape), spec, mesh)
            while entries and entries[-1] is None:
                entries.pop()  # one spelling for each sharding: another would compile anew
            return NamedSharding(mesh, PartitionSpec(*entries))
    return NamedSharding(mesh, WHOLE)


def _resolve(path: str, shape: tuple[int, ...], spec: Spec, mesh: Mesh) -> list[Any]:
    """Give one entry a dimension."""
    if isinstance(spec, FullySharded):
        return _spread(path, shape, spec, mesh)
    strict = isinstance(spec, PartitionSpec)
    entries = list(spec if isinstance(spec, PartitionSpec) else spec.spec)
    named = [axis for entry in entries for axis in _axes(entry)]
    _check_axes(path, named, mesh)
    parameter = f"{path} of shape {shape}"
    if len(entries) > len(shape):
        raise ValueError(
            f"partition: the rule for {parameter} has {len(entries)} entries, {tuple(entries)}; "
            f"it needs at most {len(shape)}."
        )
    entries += [None] * (len(shape) - len(entries))
    for i, entry in enumerate(entries):
        ways = math.prod(mesh.shape[axis] for axis in _axes(entry))
        if shape[i] % ways and strict:
            raise ValueError(
                f"partition: {parameter} cannot be sharded over {entry!r}, whose {ways} devices "
                f"do not divide its dimension {i} of size {shape[i]}. Choose another mesh or size, "
                "or `if_divisible` in the rule."
            )
        if shape[i] % ways:
            entries[i] = None
    return entries


def _spread(path: str, shape: tuple[int, ...], spec: FullySharded, mesh: Mesh) -> list[Any]:
    entries = _resolve(path, shape, spec.spec, mesh)
    _check_axes(path, [spec.axis], mesh)
    used = [axis for entry in entries for axis in _axes(entry)]
    if math.prod(shape) < spec.min_size or spec.axis in used:
        return entries

    def ways(i: int) -> int:
        return math.prod(mesh.shape[axis] for axis in (*_axes(entries[i]), spec.axis))

    # Beside another axis first: a dimension that a table leaves whole is often the stream's that
    # runs through the network, and splitting that would split the activations with it.
    order = sorted(range(len(shape)), key=lambda i: (entries[i] is None, -shape[i]))
    for i in order:
        if shape[i] % ways(i) == 0:
            entries[i] = spec.axis if entries[i] is None else (*_axes(entries[i]), spec.axis)
            break
    return entries


def _axes(entry: Any) -> tuple[str, ...]:
    if entry is None:
        return ()
    return (entry,) if isinstance(entry, str) else tuple(entry)


def _check_axes(path: str, named: Sequence[str], mesh: Mesh) -> None:
    unknown = [axis for axis in named if axis not in mesh.shape]
    have = f"axes of the mesh, {', '.join(f'{k}={v}' for k, v in mesh.shape.items())}"
    hint = "An axis may have size 1."
    require(not unknown, "partition", f"rules, for {path}", unknown, have, hint)
