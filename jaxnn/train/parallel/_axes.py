"""Axes of a mesh that a form of parallelism works over: their names and what they divide."""

import math
from collections.abc import Sequence

import jax
from jax.sharding import Mesh

from jaxnn._check import require
from jaxnn.train.parallel._layout import BATCH_AXES


def require_axis(where: str, mesh: Mesh, axis: str) -> None:
    """Raise ``ValueError`` unless the mesh has the axis."""
    needs = f"an axis of the mesh, {', '.join(f'{k}={v}' for k, v in mesh.shape.items())}"
    require(axis in mesh.shape, where, "axis", axis, needs)


def batch_entry(where: str, mesh: Mesh, axes: Sequence[str] | None) -> tuple[str, ...] | None:
    """Give the entry of a spec that splits a batch, by default over the mesh's data axes."""
    found = BATCH_AXES if axes is None else tuple(axes)
    if axes is None:
        found = tuple(axis for axis in found if axis in mesh.shape)
    needs = f"axes of the mesh, {tuple(mesh.shape)}"
    require(all(axis in mesh.shape for axis in found), where, "batch_axes", found, needs)
    return found or None


def require_split(
    where: str,
    argument: str,
    x: jax.Array,
    mesh: Mesh,
    axes: tuple[str, ...] | None,
    parts: int = 1,
) -> None:
    """Raise ``ValueError`` unless the batch axes, in ``parts`` each, divide the first axis."""
    ways = math.prod(mesh.shape[axis] for axis in axes or ())
    each = f" in {parts} micro-batches" if parts > 1 else ""
    needs = f"a first axis that the {ways} devices of {axes or ()}{each} divide"
    fits = x.ndim > 0 and x.shape[0] % (ways * parts) == 0
    require(fits, where, argument, x, needs)
