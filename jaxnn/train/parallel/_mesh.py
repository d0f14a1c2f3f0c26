"""Devices in a grid with named axes."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from jax.sharding import AxisType, Mesh

from jaxnn._check import require


def make_mesh(axes: str | Mapping[str, int], *, devices: Sequence[Any] | None = None) -> Mesh:
    """Arrange devices in a grid whose axes have names.

    The axes are of type ``Auto``: shardings are said of inputs and outputs, and the compiler
    places what is between. (JAX's own default differs between its versions.)

    Args:
      axes: sizes by name, ``"data=4,model=2"`` or ``{"data": 4, "model": 2}``; neighbours on the
        last axis are nearest. One size may be -1: all devices that the others leave.
      devices: the devices to use; those of all processes if ``None``. The first are taken when
        there are more than the grid has places.

    Returns:
      The mesh.

    Raises:
      ValueError: ``axes`` cannot be read, or asks for more devices than there are.

    Example:
      >>> dict(make_mesh("data=-1,model=1").shape) == {"data": jax.device_count(), "model": 1}
      True
    """
    found = list(jax.devices() if devices is None else devices)
    there = f"{len(found)} {found[0].platform} device{'s' * (len(found) > 1)}" if found else "none"
    needs = f"sizes by name, e.g. 'data=4,model=2', one at most -1; there are {there}"
    sizes = _parse(axes) if isinstance(axes, str) else dict(axes)
    ok = sizes is not None and all(
        isinstance(size, int) and not isinstance(size, bool) and (size > 0 or size == -1)
        for size in sizes.values()
    )
    require(bool(ok and sizes), "make_mesh", "axes", axes, needs)
    assert sizes is not None
    open_axes = [name for name, size in sizes.items() if size == -1]
    require(len(open_axes) < 2, "make_mesh", "axes", axes, needs)
    fixed = math.prod(size for size in sizes.values() if size > 0)
    if open_axes:
        divides = f"sizes whose product {fixed} divides the devices; there are {there}"
        require(bool(found) and len(found) % fixed == 0, "make_mesh", "axes", axes, divides)
        sizes[open_axes[0]] = len(found) // fixed
    count = math.prod(sizes.values())
    enough = f"{count} devices, and there are {there}"
    hint = "Simulate some with JAX_NUM_CPU_DEVICES=8, set before Python starts."
    require(count <= len(found), "make_mesh", "axes", axes, enough, hint)
    return jax.make_mesh(
        tuple(sizes.values()),
        tuple(sizes),
        axis_types=(AxisType.Auto,) * len(sizes),
        devices=found[:count],
    )


def _parse(text: str) -> dict[str, int] | None:
    """Read ``name=size`` pairs; ``None`` where that is not what it is."""
    sizes: dict[str, int] = {}
    for part in text.split(","):
        name, _, size = (word.strip() for word in part.partition("="))
        try:
            number = int(size)
        except ValueError:
            return None
        if not name.isidentifier() or name in sizes:
            return None
        sizes[name] = number
    return sizes
