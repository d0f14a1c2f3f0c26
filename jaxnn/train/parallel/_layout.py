"""Where everything lies: one mesh, one table of rules, and the axes of the batch."""

import dataclasses
import math
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

from jaxnn._check import require
from jaxnn.train._state import TrainState
from jaxnn.train.parallel._rules import WHOLE, Rules, partition, without_fully_sharded

BATCH_AXES = ("data", "fsdp")
STACKED = re.compile("(^|/)blocks/")


@dataclasses.dataclass(frozen=True)
class Layout:
    """One mesh and one table of rules: where a state's arrays and its batches lie.

    A state that has a layout keeps it: :func:`~jaxnn.train.make_step` and
    :func:`~jaxnn.train.fit` work on it unchanged, each step hands back every array where it
    was, and batches are split over the data axes. Which form of parallelism that is, the table
    says: none for data, :func:`fully_sharded` for fully-sharded, ``TRANSFORMER_RULES`` for
    tensor parallelism, and ``fully_sharded(TRANSFORMER_RULES)`` for all three.

    Args:
      mesh: the devices, from :func:`make_mesh`.
      rules: the ordered table; see :func:`partition`.
      batch_axes: the mesh axes that batches are split over; those of ``"data"`` and ``"fsdp"``
        that the mesh has if ``None``.

    Raises:
      ValueError: the mesh has no such batch axes.

    Example:
      >>> layout = Layout(make_mesh("data=-1"), fully_sharded())
      >>> state = create_state(model, tx, x[:1], key=key, layout=layout)
      >>> state, history = fit(state, step, (x, y), steps=100, batch_size=64)
    """

    mesh: Mesh
    rules: Rules = ()
    batch_axes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        mesh = self.mesh
        axes = self.batch_axes
        if axes is None:
            axes = tuple(axis for axis in BATCH_AXES if axis in mesh.shape)
        needs = f"axes of the mesh, {tuple(mesh.shape)}"
        require(all(axis in mesh.shape for axis in axes), "Layout", "batch_axes", axes, needs)
        # A layout is part of a state's structure and so of a program's identity: hashable.
        rules = tuple((pattern, spec) for pattern, spec in self.rules)
        object.__setattr__(self, "rules", rules)
        object.__setattr__(self, "batch_axes", tuple(axes))

    def shardings(self, tree: PyTree) -> PyTree:
        """Find the sharding of every array of a state or of parameters."""
        return partition(tree, self.rules, self.mesh)

    def constrain(self, tree: PyTree) -> PyTree:
        """Hold a state or parameters, inside a compiled function, to their shardings."""
        return jax.lax.with_sharding_constraint(tree, self.shardings(tree))

    def gather(self, params: PyTree) -> PyTree:
        """Gather parameters, inside a compiled function, from the axis that spreads them.

        Left to itself the compiler may move the activations instead. It is left alone where
        blocks run in one scan: gathering a stack here would gather all of its blocks at once.
        """
        wanted = partition(params, without_fully_sharded(self.rules), self.mesh)

        def gathered(path: Any, leaf: jax.Array, sharding: NamedSharding) -> jax.Array:
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            if STACKED.search(name):
                return leaf
            return jax.lax.with_sharding_constraint(leaf, sharding)

        return jax.tree_util.tree_map_with_path(gathered, params, wanted)

    def constrain_batch(self, batch: PyTree) -> PyTree:
        """Split a batch, inside a compiled function, over the data axes."""
        return jax.lax.with_sharding_constraint(batch, self._batch_shardings(batch))

    def shard(self, batch: PyTree) -> PyTree:
        """Put a batch on the devices, split over the data axes; see :func:`shard_batch`."""
        ways = self.batch_ways // math.gcd(self.batch_ways, jax.process_count())
        shardings = self._batch_shardings(batch, ways)

        def place(leaf: Any, sharding: NamedSharding) -> jax.Array:
            if self._holds(leaf):
                return leaf
            if jax.process_count() == 1:
                return jax.device_put(leaf, sharding)
            self._require_shares(sharding)
            return jax.make_array_from_process_local_data(sharding, np.asarray(leaf))

        return jax.tree.map(place, batch, shardings)

    def _require_shares(self, sharding: NamedSharding) -> None:
        """Refuse a mesh on which processes would have to give each other's examples too."""
        if not self.batch_axes:
            return
        rows = sharding.addressable_devices_indices_map((self.batch_ways,)).values()
        mine = len({row[0].indices(self.batch_ways)[:2] for row in rows if row})
        if mine * jax.process_count() != self.batch_ways:
            raise ValueError(
                f"shard_batch: the mesh {dict(self.mesh.shape)} gives this process {mine} of the "
                f"{self.batch_ways} parts of a batch; with {jax.process_count()} processes it "
                "needs as many each. Name the axes of the batch first in the mesh."
            )

    def replicate(self, tree: PyTree) -> PyTree:
        """Copy arrays to every device, leaving those alone that lie on the mesh already."""
        return jax.tree.map(
            lambda leaf: leaf if self._holds(leaf) else jax.device_put(leaf, self.replicated), tree
        )

    @property
    def replicated(self) -> NamedSharding:
        """The sharding of what lies whole on every device."""
        return NamedSharding(self.mesh, WHOLE)

    @property
    def batch_ways(self) -> int:
        """Number of parts that a batch is split into."""
        return math.prod(self.mesh.shape[axis] for axis in self.batch_axes or ())

    def _holds(self, leaf: Any) -> bool:
        devices = set(self.mesh.devices.flat)
        return isinstance(leaf, jax.Array) and leaf.sharding.device_set == devices

    def _batch_shardings(self, batch: PyTree, ways: int | None = None) -> PyTree:
        ways = self.batch_ways if ways is None else ways
        axes = f"a first axis that the {ways} devices of {self.batch_axes or ()} divide"

        def find(leaf: Any) -> NamedSharding:
            if not self.batch_axes:
                return NamedSharding(self.mesh, WHOLE)
            shape = tuple(leaf.shape)
            require(bool(shape) and shape[0] % ways == 0, "shard_batch", "batch", shape, axes)
            axis = self.batch_axes[0] if len(self.batch_axes) == 1 else self.batch_axes
            return NamedSharding(self.mesh, PartitionSpec(axis))

        return jax.tree.map(find, batch)


def shard_state(state: TrainState, layout: Layout) -> TrainState:
    """Copy a state to where a layout has it; a new one is better made there by `create_state`.

    Args:
      state: the state, on one device or in another layout; it stays usable.
      layout: the mesh and the rules.

    Returns:
      The state in the layout, which steps and checkpoints keep.

    Raises:
      ValueError: a rule does not fit; see :func:`partition`.

    Example:
      >>> state = shard_state(state, Layout(make_mesh("data=-1")))
    """
    # JAX lets a replicated array share its source's memory, even with `may_alias=False` (0.10,
    # 0.12); a step would then give both away. So it is a copy that moves.
    placed = jax.tree.map(
        lambda leaf, sharding: jax.device_put(jnp.copy(leaf), sharding),
        state,
        layout.shardings(state),
    )
    return placed.replace(layout=layout)


def shard_batch(batch: PyTree, layout: Layout) -> PyTree:
    """Put a batch on the devices, split over the data axes.

    Steps split a batch themselves; doing it here sends each device its own part only.

    Args:
      batch: arrays with examples along the first axis. With several processes, each gives the
        examples of its own devices, and the batch is all of theirs.
      layout: the mesh and its data axes.

    Returns:
      The batch; what lies on the mesh already is not copied.

    Raises:
      ValueError: the devices do not divide the number of examples, or not every process has its
        own share of them.

    Example:
      >>> state, metrics = step(state, shard_batch((x, y), state.layout))
    """
    return layout.shard(batch)
