"""Modules of ours as NIR graphs."""

import functools
import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnn._check import require, require_array, require_positive
from jaxnn.layers import spiking
from jaxnn.layers.feedforward import Dense
from jaxnn.models._spiking import SpikingMLP
from jaxnn.models.nir._network import NIRNetwork, graph_of
from jaxnn.models.nir._neurons import Neuron, constants_of, write_neuron, write_recurrent
from jaxnn.models.nir._package import package, write
from jaxnn.models.nir._writer import Writer, array_of, kernel_of, unsupported


def to_nir(
    model: nn.Module,
    variables: Mapping[str, Any],
    example: jax.Array | np.ndarray,
    *,
    dt: float = 1e-4,
    path: str | os.PathLike[str] | None = None,
) -> Any:
    r"""Make a NIR graph of a spiking network; :func:`from_nir` makes the same network of it.

    A decay λ becomes ``tau`` = dt / (1 - λ) and ``r`` = tau / dt, which leaves the drive as it
    is; without decay, IF or I with ``r`` = 1 / dt. NIR's neurons reset to a value, so

    - ``reset_to_zero`` gives LIF, CubaLIF and IF, which other simulators run;
    - ``no_reset`` gives LI, CubaLI or I, then Threshold;
    - ``reset_by_subtraction`` gives the same with a Scale by -λθ back to the membrane: equal but
      for rounding, and to be run only by what runs cycles of these.

    Images are channels first in NIR: kernels, neurons and the rows of a dense layer after a
    flatten are put in that order, and so must inputs be. ``DelayedDense`` becomes, for each
    delay that occurs, a Delay and a Linear of the synapses that have it, added up.

    Args:
      model: a network; of a ``SpikingMLP`` the graph holds what it does at each step, from the
        flattened example to the readout's potentials, whose mean over time are the logits.
      variables: of the model, as from ``init``.
      example: inputs, ``(batch, time, ...)``; of a ``SpikingMLP``, ``(batch, ...)``. Only the
        shape counts.
      dt: time step, in the graph's unit of time. snnTorch's reader needs the default, spyx's
        has 1 unless given. A network of :func:`from_nir` keeps its own.
      path: where to write the graph, as a file, too; whole or not at all.

    Returns:
      The graph, an ``nir.NIRGraph``. Nodes are named as the parameters are.

    Raises:
      ImportError: nir is not installed (``pip install 'jaxnn[nir]'``).
      TypeError: a layer is of a type that has no form in NIR; the message has the list.
      ValueError: a layer has an option that has no form in NIR.
    """
    where = "to_nir"
    nir = package(where)
    require_positive(where, dt=dt)
    require_array(where, floating=False, example=example)
    if isinstance(model, NIRNetwork):
        graph = graph_of(model, variables)
    else:
        params = variables.get("params", {})
        if isinstance(model, SpikingMLP):
            shape = (math.prod(example.shape[1:]),)
            writer = Writer(nir, dt, shape)
            _spiking_mlp(writer, model, params)
        else:
            require(example.ndim >= 3, where, "example", example, "axes (batch, time, ...)")
            writer = Writer(nir, dt, example.shape[2:])
            _layer(writer, "", model, params)
        graph = writer.finish()
    if path is not None:
        write(where, path, graph)
    return graph


def _layer(writer: Writer, name: str, layer: Any, params: Mapping[str, Any]) -> None:
    own = name or type(layer).__name__.lower()
    if isinstance(layer, nn.Sequential):
        for i, inner in enumerate(layer.layers):
            key = f"layers_{i}"
            _layer(writer, f"{name}_{key}" if name else key, inner, params.get(key, {}))
    elif isinstance(layer, nn.Dense | Dense):
        _dense(writer, own, layer, params)
    elif isinstance(layer, nn.Conv):
        _convolution(writer, own, layer, params)
    elif isinstance(layer, spiking.DelayedDense):
        _delayed(writer, own, layer, params)
    elif isinstance(layer, spiking.Leaky | spiking.LeakyIntegrator):
        rank = len(writer.shape) + 2
        require(
            layer.time_axis % rank == 1,
            "to_nir",
            f"{own}.time_axis",
            layer.time_axis,
            f"axis 1 of the {rank} in (batch, time, ...)",
        )
        write_neuron(writer, own, constants_of(own, layer, params))
    elif isinstance(layer, nn.RNN):
        write_recurrent(writer, own, layer, params)
    elif isinstance(layer, functools.partial) and layer.func is nn.avg_pool:
        _pool(writer, own, layer)
    elif not isinstance(layer, nn.Module) and callable(layer):
        _function(writer, own, layer)
    else:
        raise unsupported(own, layer)


def _spiking_mlp(writer: Writer, model: SpikingMLP, params: Mapping[str, Any]) -> None:
    for i, _ in enumerate(model.features):
        _affine(writer, f"dense_{i}", params.get(f"dense_{i}", {}))
        if i < len(model.features) - 1:
            neuron = model.neuron(time_axis=0)
            if not isinstance(neuron, spiking.Leaky):
                raise unsupported(f"neuron_{i}", neuron)
            constants = constants_of(f"neuron_{i}", neuron, params.get(f"neuron_{i}", {}))
            write_neuron(writer, f"neuron_{i}", constants)
    write_neuron(writer, "readout", Neuron(model.readout_decay))


def _dense(writer: Writer, name: str, layer: nn.Module, params: Mapping[str, Any]) -> None:
    flat = len(writer.shape) == 1
    require(flat, "to_nir", f"the input of {name}", writer.shape, "one axis; flatten before")
    _affine(writer, name, params)


def _affine(writer: Writer, name: str, params: Mapping[str, Any]) -> None:
    if set(params) not in ({"kernel"}, {"kernel", "bias"}):
        raise TypeError(
            f"to_nir: layer {name!r} has the parameters {sorted(params)}; a dense layer has "
            "`kernel` and perhaps `bias`. Were `variables` those of this model?"
        )
    weight = kernel_of(writer, params["kernel"])
    if "bias" in params:
        writer.add(name, writer.nir.Affine(weight, array_of(params["bias"])))
    else:
        writer.add(name, writer.nir.Linear(weight))
    writer.shape, writer.order = weight.shape[:1], None


def _convolution(writer: Writer, name: str, layer: nn.Conv, params: Mapping[str, Any]) -> None:
    kernel = array_of(params["kernel"])
    spatial = kernel.ndim - 2
    require(spatial in (1, 2), "to_nir", f"{name}.kernel_size", kernel.shape[:-2], "1 or 2 axes")
    rank = len(writer.shape)
    require(rank == spatial + 1, "to_nir", f"the input of {name}", writer.shape, "that many axes")
    for option in ("input_dilation", "mask"):
        got = getattr(layer, option)
        ok = got in (None, 1) or (not hasattr(got, "dtype") and set(np.ravel(got)) == {1})
        require(ok, "to_nir", f"{name}.{option}", got, "its default, the only one NIR has")
    stride, dilation = (_tuple(n, spatial) for n in (layer.strides, layer.kernel_dilation))
    size = writer.shape[:-1]
    reach = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel.shape, strict=False))
    pads = _padding(name, layer.padding, size, reach, stride)
    out = tuple(
        (n + 2 * p - k) // s + 1 for n, p, k, s in zip(size, pads, reach, stride, strict=True)
    )
    axes = (spatial + 1, spatial, *range(spatial))
    single = spatial == 1
    bias = array_of(params["bias"]) if "bias" in params else np.zeros(kernel.shape[-1], np.float32)
    node = (writer.nir.Conv1d if single else writer.nir.Conv2d)(
        input_shape=size[0] if single else size,
        weight=np.ascontiguousarray(kernel.transpose(axes)),
        stride=stride[0] if single else stride,
        padding=pads[0] if single else pads,
        dilation=dilation[0] if single else dilation,
        groups=layer.feature_group_count,
        bias=bias,
    )
    writer.shape = (*out, kernel.shape[-1])
    node.output_type = {"output": np.array(writer.nir_shape)}
    writer.add(name, node)


def _padding(name: str, padding: Any, size: Any, reach: Any, stride: Any) -> tuple[int, ...]:
    if isinstance(padding, str):
        ok = padding.upper() in ("SAME", "VALID")
        require(ok, "to_nir", f"{name}.padding", padding, '"SAME", "VALID" or numbers')
        pairs = jax.lax.padtype_to_pads(size, reach, stride, padding.upper())
    elif isinstance(padding, int):
        pairs = [(padding, padding)] * len(size)
    else:
        pairs = [(p, p) if isinstance(p, int) else tuple(p) for p in padding]
        pairs = pairs * len(size) if len(pairs) == 1 else pairs
    ok = all(low == high for low, high in pairs)
    require(ok, "to_nir", f"{name}.padding", padding, f"as much on both sides; it is {pairs}")
    return tuple(int(low) for low, _ in pairs)


def _pool(writer: Writer, name: str, pool: functools.partial) -> None:
    options = dict(pool.keywords)
    if pool.args[1:] or (pool.args and "window_shape" in options):
        raise TypeError(f"to_nir: {name!r} needs its options of nn.avg_pool by keyword.")
    window = tuple(options.pop("window_shape"))
    ok = len(window) == 2 and len(writer.shape) == 3
    require(ok, "to_nir", f"{name}.window_shape", window, "two axes, on images")
    stride = _tuple(options.pop("strides", None), 2)
    size = writer.shape[:2]
    pads = _padding(name, options.pop("padding", "VALID"), size, window, stride)
    whole = options.pop("count_include_pad", True) or not any(pads)
    require(whole, "to_nir", f"{name}.count_include_pad", False, "True")
    out = tuple(
        (n + 2 * p - k) // s + 1 for n, p, k, s in zip(size, pads, window, stride, strict=True)
    )
    node = writer.nir.AvgPool2d(*map(np.array, (window, stride, pads)))
    node.input_type = {"input": np.array(writer.nir_shape)}
    writer.shape = (*out, writer.shape[-1])
    node.output_type = {"output": np.array(writer.nir_shape)}
    writer.add(name, node)


def _function(writer: Writer, name: str, function: Callable[..., Any]) -> None:
    """Take a function for a flatten if it gives the entries of an array in their order."""
    count = math.prod(writer.shape)
    asked = np.arange(count, dtype=np.float32) - count / 2 + 0.25  # of both signs, none whole
    try:
        got = np.asarray(function(jnp.asarray(asked.reshape(1, 1, *writer.shape))))
        flat = got.shape == (1, 1, count) and (got.ravel() == asked).all()
    except Exception:  # whatever a function does that is no flatten
        flat = False
    if not flat:
        raise unsupported(name, function)
    if len(writer.shape) == 1:
        return
    order = np.moveaxis(np.arange(count).reshape(writer.shape), -1, 0).ravel()
    node = writer.nir.Flatten(np.array(writer.nir_shape), start_dim=0, end_dim=-1)
    writer.add(name, node)
    writer.shape, writer.order = (count,), order


def _delayed(
    writer: Writer, name: str, layer: spiking.DelayedDense, params: Mapping[str, Any]
) -> None:
    rank = len(writer.shape)
    ok = rank == 1 and layer.time_axis % 3 == 1
    require(ok, "to_nir", f"{name}.time_axis", layer.time_axis, "axis 1 of (batch, time, inputs)")
    nir, kernel = writer.nir, params["kernel"]
    # As delay_kernel rounds: halves to even.
    delay = np.rint(np.clip(array_of(params["delay"]), 0, layer.max_delay))
    inputs, outputs = kernel.shape
    nodes: dict[str, Any] = {
        "input": nir.Input(np.array([inputs])),
        "output": nir.Output(np.array([outputs])),
    }
    edges = []
    for i, steps in enumerate(sorted(set(delay.ravel().tolist()))):
        weight = kernel_of(writer, np.where(delay == steps, array_of(kernel), 0))
        late, synapses = f"delay_{int(steps)}", f"synapses_{int(steps)}"
        nodes[late] = nir.Delay(np.full(inputs, steps * writer.dt))
        nodes[synapses] = (
            nir.Affine(weight, array_of(params["bias"]))
            if i == 0 and "bias" in params
            else nir.Linear(weight)
        )
        edges += [("input", late), (late, synapses), (synapses, "output")]
    writer.add(name, nir.NIRGraph(nodes, edges, type_check=False))
    writer.shape, writer.order = (outputs,), None


def _tuple(value: Any, count: int) -> tuple[int, ...]:
    if value is None:
        return (1,) * count
    return (int(value),) * count if isinstance(value, int) else tuple(int(n) for n in value)
