"""What every KAN layer of a network sees: its options, its variables and its input."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnn._check import require, require_array
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.kan._basis import uniform_knots
from jaxnn.layers.kan._layer import Basis, KANLayer

Variables = Mapping[str, Any]
Path = tuple[str, ...]


class Seen(NamedTuple):
    """One layer of a network: its options, variables and, if the network was run, inputs."""

    layer: KANLayer  # read for its options only
    parameters: dict[str, jax.Array]  # coefficients, base_kernel
    knots: jax.Array  # (knots,) or (inputs, knots)
    adaptive: bool  # whether the knots are a variable
    basis: Basis  # with those knots, if it has any


def find(
    where: str, model: nn.Module, variables: Variables, x: jax.Array, **options: Any
) -> dict[Path, Seen]:
    """Find every KAN layer below ``model``, by path, in order of use, by shapes alone."""
    layers: dict[Path, Seen] = {}

    def note(path: Path, seen: Seen, rows: jax.Array) -> None:
        layers[path] = seen

    jax.eval_shape(lambda x: _run(where, model, variables, x, options, note), x)
    require(bool(layers), where, "model", model, "at least one KANLayer")
    return layers


def observe(
    where: str, model: nn.Module, variables: Variables, x: jax.Array, **options: Any
) -> dict[Path, tuple[Seen, jax.Array]]:
    """Apply ``model``; collect every KAN layer and its input, (examples, inputs).

    A layer used several times is seen with the inputs of all its uses.
    """
    inputs: dict[Path, tuple[Seen, list[jax.Array]]] = {}

    def note(path: Path, seen: Seen, rows: jax.Array) -> None:
        inputs.setdefault(path, (seen, []))[1].append(rows)

    _run(where, model, variables, x, options, note)
    require(bool(inputs), where, "model", model, "at least one KANLayer")
    return {path: (seen, jnp.concatenate(rows)) for path, (seen, rows) in inputs.items()}


def _run(
    where: str,
    model: nn.Module,
    variables: Variables,
    x: jax.Array,
    options: Mapping[str, Any],
    note: Callable[[Path, Seen, jax.Array], None],
) -> None:
    require_array(where, x=x)

    def record(call, args, kwargs, context):
        layer = context.module
        if isinstance(layer, KANLayer) and context.method_name == "__call__":
            value = args[0] if args else kwargs["x"]
            rows = value.reshape(math.prod(value.shape[:-1]), value.shape[-1])
            note(layer.path, _see(variables, layer.path, layer), rows)
        return call(*args, **kwargs)

    with nn.intercept_methods(record):
        model.apply(variables, x, **options)


def _see(variables: Variables, path: Path, layer: KANLayer) -> Seen:
    parameters = _below(variables["params"], path)
    knots = _below(variables.get("grid", {}), path).get("knots")
    adaptive = knots is not None
    if knots is None:
        dtype = accumulation_dtype(parameters["coefficients"].dtype)
        with jax.ensure_compile_time_eval():
            low, high = (jnp.asarray(end, dtype) for end in layer.grid_range)
            knots = uniform_knots(low, high, grid=layer.grid, degree=layer.degree)
    # The layer is bound here and no longer outside, where it would not find its knots.
    return Seen(layer, dict(parameters), knots, adaptive, layer.edge_basis())


def _below(tree: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    for name in path:
        tree = tree.get(name, {})
    return tree


def flatten(tree: Mapping[str, Any]) -> dict[Path, Any]:
    """Index the leaves of nested dictionaries by path."""
    return {tuple(path): leaf for path, leaf in flatten_dict(dict(tree)).items()}


def replaced(variables: Variables, changes: Mapping[Path, jax.Array]) -> dict[str, Any]:
    """Copy ``variables`` with the leaves at ``(collection, *path)`` replaced or added."""
    return unflatten_dict({**flatten(variables), **changes})
