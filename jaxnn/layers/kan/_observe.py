"""What every KAN layer of a network sees: its options, its variables and its input."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnn._check import require, require_array
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.kan._basis import uniform_knots
from jaxnn.layers.kan._layer import KANLayer

Variables = Mapping[str, Any]
Path = tuple[str, ...]


class Seen(NamedTuple):
    """One layer of a network, applied to data."""

    layer: KANLayer  # read for its options only
    x: jax.Array  # (examples, inputs)
    parameters: dict[str, jax.Array]  # coefficients, base_kernel
    knots: jax.Array  # (knots,) or (inputs, knots)
    adaptive: bool  # whether the knots are a variable


def observe(
    where: str, model: nn.Module, variables: Variables, x: jax.Array, **options: Any
) -> dict[Path, Seen]:
    """Apply ``model`` and collect every KAN layer below it, by path, in order of use.

    A layer used several times is seen with the inputs of all its uses.
    """
    require_array(where, x=x)
    inputs: dict[Path, tuple[KANLayer, list[jax.Array]]] = {}

    def record(call, args, kwargs, context):
        layer = context.module
        if isinstance(layer, KANLayer) and context.method_name == "__call__":
            value = args[0] if args else kwargs["x"]
            rows = value.reshape(-1, value.shape[-1])
            inputs.setdefault(layer.path, (layer, []))[1].append(rows)
        return call(*args, **kwargs)

    with nn.intercept_methods(record):
        model.apply(variables, x, **options)
    require(bool(inputs), where, "model", model, "at least one KANLayer")
    return {path: _see(variables, path, *found) for path, found in inputs.items()}


def _see(variables: Variables, path: Path, layer: KANLayer, rows: list[jax.Array]) -> Seen:
    parameters = _below(variables["params"], path)
    knots = _below(variables.get("grid", {}), path).get("knots")
    adaptive = knots is not None
    if knots is None:
        dtype = accumulation_dtype(parameters["coefficients"].dtype)
        low, high = (jnp.asarray(end, dtype) for end in layer.grid_range)
        knots = uniform_knots(low, high, grid=layer.grid, degree=layer.degree)
    return Seen(layer, jnp.concatenate(rows), dict(parameters), knots, adaptive)


def _below(tree: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    for name in path:
        tree = tree.get(name, {})
    return tree


def replaced(variables: Variables, changes: Mapping[Path, jax.Array]) -> dict[str, Any]:
    """Copy ``variables`` with the leaves at ``(collection, *path)`` replaced or added."""
    return unflatten_dict({**flatten_dict(dict(variables)), **changes})
