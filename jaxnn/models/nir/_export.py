"""Modules of ours as NIR graphs."""

import functools
import itertools
import math
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnn._check import require, require_array, require_positive
from jaxnn.layers import spiking
from jaxnn.layers.feedforward import Dense
from jaxnn.models._spiking import SpikingMLP
from jaxnn.models.nir._network import NIRNetwork, graph_of
from jaxnn.models.nir._package import package, write

SUPPORTED = (
    "nn.Sequential of nn.Dense, feedforward.Dense, nn.Conv over one or two axes, "
    "spiking.DelayedDense, spiking.Leaky, spiking.LeakyIntegrator, nn.RNN over a LeakyCell, "
    "IntegrateCell, LapicqueCell, ParametricLeakyCell, SynapticCell or LeakyIntegratorCell or a "
    "spiking.RecurrentCell of one, functools.partial of nn.avg_pool, and functions that flatten; "
    "or one of these alone, a SpikingMLP or a network of from_nir"
)


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
            writer = _Writer(nir, dt, shape)
            _spiking_mlp(writer, model, params)
        else:
            require(example.ndim >= 3, where, "example", example, "axes (batch, time, ...)")
            writer = _Writer(nir, dt, example.shape[2:])
            _layer(writer, "", model, params)
        graph = writer.finish()
    if path is not None:
        write(where, path, graph)
    return graph


class _Writer:
    """A chain of nodes, with the shape that ours has at its end.

    Attributes:
      shape: of one example at one step, channels last.
      order: where flattened units of NIR's are among ours; ``None`` for the same order.
    """

    def __init__(self, nir: Any, dt: float, shape: tuple[int, ...]):
        self.nir, self.dt, self.shape = nir, dt, tuple(shape)
        self.order: np.ndarray | None = None
        self.nodes = {"input": nir.Input(np.array(self.nir_shape))}
        self.edges: list[tuple[str, str]] = []
        self.last = "input"

    @property
    def nir_shape(self) -> tuple[int, ...]:
        return (self.shape[-1], *self.shape[:-1])

    def add(self, name: str, node: Any) -> None:
        self.nodes[name] = node
        self.edges.append((self.last, name))
        self.last = name

    def per_unit(self, value: Any) -> np.ndarray:
        """Lay out a number, or one for each of ours' last axis, over NIR's units."""
        value = np.broadcast_to(np.asarray(value, np.float64), self.shape)
        if len(self.shape) > 1:
            return np.ascontiguousarray(np.moveaxis(value, -1, 0))
        return value[self.order] if self.order is not None else value.copy()

    def finish(self) -> Any:
        self.add("output", self.nir.Output(np.array(self.nir_shape)))
        # Its check of shapes takes kernels for square.
        return self.nir.NIRGraph(self.nodes, self.edges, type_check=False)


class _Neuron(NamedTuple):
    """A neuron's constants, each a number or one a unit; ``None`` for what it has not."""

    decay: Any
    gain: Any = 1.0
    current_decay: Any = None
    threshold: Any = None
    reset: Any = None


def _layer(writer: _Writer, name: str, layer: Any, params: Mapping[str, Any]) -> None:
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
        _neuron(writer, own, _constants(own, layer, params))
    elif isinstance(layer, nn.RNN):
        _recurrent(writer, own, layer, params)
    elif isinstance(layer, functools.partial) and layer.func is nn.avg_pool:
        _pool(writer, own, layer)
    elif not isinstance(layer, nn.Module) and callable(layer):
        _function(writer, own, layer)
    else:
        raise _unsupported(own, layer)


def _unsupported(name: str, layer: Any) -> TypeError:
    kind = type(layer).__name__
    return TypeError(f"to_nir: layer {name!r} is of type {kind}; it needs {SUPPORTED}.")


def _spiking_mlp(writer: _Writer, model: SpikingMLP, params: Mapping[str, Any]) -> None:
    for i, _ in enumerate(model.features):
        _affine(writer, f"dense_{i}", params.get(f"dense_{i}", {}))
        if i < len(model.features) - 1:
            neuron = model.neuron(time_axis=0)
            if not isinstance(neuron, spiking.Leaky):
                raise _unsupported(f"neuron_{i}", neuron)
            constants = _constants(f"neuron_{i}", neuron, params.get(f"neuron_{i}", {}))
            _neuron(writer, f"neuron_{i}", constants)
    _neuron(writer, "readout", _Neuron(model.readout_decay))


def _dense(writer: _Writer, name: str, layer: nn.Module, params: Mapping[str, Any]) -> None:
    flat = len(writer.shape) == 1
    require(flat, "to_nir", f"the input of {name}", writer.shape, "one axis; flatten before")
    _affine(writer, name, params)


def _affine(writer: _Writer, name: str, params: Mapping[str, Any]) -> None:
    if set(params) not in ({"kernel"}, {"kernel", "bias"}):
        raise TypeError(
            f"to_nir: layer {name!r} has the parameters {sorted(params)}; a dense layer has "
            "`kernel` and perhaps `bias`. Were `variables` those of this model?"
        )
    weight = _kernel(writer, params["kernel"])
    if "bias" in params:
        writer.add(name, writer.nir.Affine(weight, _array(params["bias"])))
    else:
        writer.add(name, writer.nir.Linear(weight))
    writer.shape, writer.order = weight.shape[:1], None


def _kernel(writer: _Writer, kernel: Any) -> np.ndarray:
    weight = _array(kernel).T
    return np.ascontiguousarray(weight if writer.order is None else weight[:, writer.order])


def _convolution(writer: _Writer, name: str, layer: nn.Conv, params: Mapping[str, Any]) -> None:
    kernel = _array(params["kernel"])
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
    bias = _array(params["bias"]) if "bias" in params else np.zeros(kernel.shape[-1], np.float32)
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


def _pool(writer: _Writer, name: str, pool: functools.partial) -> None:
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


def _function(writer: _Writer, name: str, function: Callable[..., Any]) -> None:
    """Take a function for a flatten if it gives the entries of an array in their order."""
    count = math.prod(writer.shape)
    asked = np.arange(count, dtype=np.float32) - count / 2 + 0.25  # of both signs, none whole
    try:
        got = np.asarray(function(jnp.asarray(asked.reshape(1, 1, *writer.shape))))
        flat = got.shape == (1, 1, count) and (got.ravel() == asked).all()
    except Exception:  # whatever a function does that is no flatten
        flat = False
    if not flat:
        raise _unsupported(name, function)
    if len(writer.shape) == 1:
        return
    order = np.moveaxis(np.arange(count).reshape(writer.shape), -1, 0).ravel()
    node = writer.nir.Flatten(np.array(writer.nir_shape), start_dim=0, end_dim=-1)
    writer.add(name, node)
    writer.shape, writer.order = (count,), order


def _delayed(
    writer: _Writer, name: str, layer: spiking.DelayedDense, params: Mapping[str, Any]
) -> None:
    rank = len(writer.shape)
    ok = rank == 1 and layer.time_axis % 3 == 1
    require(ok, "to_nir", f"{name}.time_axis", layer.time_axis, "axis 1 of (batch, time, inputs)")
    nir, kernel = writer.nir, params["kernel"]
    # As delay_kernel rounds: halves to even.
    delay = np.rint(np.clip(_array(params["delay"]), 0, layer.max_delay))
    inputs, outputs = kernel.shape
    nodes: dict[str, Any] = {
        "input": nir.Input(np.array([inputs])),
        "output": nir.Output(np.array([outputs])),
    }
    edges = []
    for i, steps in enumerate(sorted(set(delay.ravel().tolist()))):
        weight = _kernel(writer, np.where(delay == steps, _array(kernel), 0))
        late, synapses = f"delay_{int(steps)}", f"synapses_{int(steps)}"
        nodes[late] = nir.Delay(np.full(inputs, steps * writer.dt))
        nodes[synapses] = (
            nir.Affine(weight, _array(params["bias"]))
            if i == 0 and "bias" in params
            else nir.Linear(weight)
        )
        edges += [("input", late), (late, synapses), (synapses, "output")]
    writer.add(name, nir.NIRGraph(nodes, edges, type_check=False))
    writer.shape, writer.order = (outputs,), None


def _recurrent(writer: _Writer, name: str, layer: nn.RNN, params: Mapping[str, Any]) -> None:
    for option in ("reverse", "time_major"):
        value = getattr(layer, option)
        require(not value, "to_nir", f"{name}.{option}", value, "False")
    flat = len(writer.shape) == 1
    require(flat, "to_nir", f"the input of {name}", writer.shape, "one axis")
    cell, params = layer.cell, params.get("cell", {})
    if not isinstance(cell, spiking.RecurrentCell):
        _neuron(writer, name, _constants(name, cell, params))
        return
    nir, kernel = writer.nir, params.get("feedback", {})
    if set(kernel) != {"kernel"}:
        raise TypeError(f"to_nir: the feedback of {name!r} is no dense layer without bias.")
    weight = _kernel(writer, kernel["kernel"])
    weight = weight if writer.order is None else np.ascontiguousarray(weight[writer.order])
    constants = _constants(f"{name}.cell", cell.cell, params.get("cell", {}))
    nodes, back = _neuron_nodes(writer, name, constants)
    nodes = {f"lif_{key}" if key else "lif": node for key, node in nodes.items()}
    chain = [key for key in nodes if key != "lif_reset"]
    nodes["w_rec"] = nir.Linear(weight)
    edges = [(f"lif_{a}", f"lif_{b}") for a, b in back]
    edges += [(chain[-1], "w_rec"), ("w_rec", chain[0])]
    writer.add(name, _subgraph(writer, nodes, chain, edges))


def _constants(name: str, cell: Any, params: Mapping[str, Any]) -> _Neuron:
    """Read a neuron's constants, learned or given."""

    def decay(field):
        logit = params.get(f"{field}_logit")
        return getattr(cell, field) if logit is None else _array(jax.nn.sigmoid(logit))

    firing = {}
    if hasattr(cell, "reset"):
        raw = params.get("threshold_raw")
        firing["threshold"] = cell.threshold if raw is None else _array(jax.nn.softplus(raw))
        firing["reset"] = cell.reset
    match cell:
        case spiking.LeakyCell() | spiking.Leaky():
            return _Neuron(decay("decay"), **firing)
        case spiking.LeakyIntegratorCell() | spiking.LeakyIntegrator():
            return _Neuron(decay("decay"))
        case spiking.SynapticCell():
            return _Neuron(decay("decay"), current_decay=decay("current_decay"), **firing)
        case spiking.IntegrateCell():
            return _Neuron(1.0, **firing)
        case spiking.LapicqueCell():
            rate = cell.time_step / (cell.resistance * cell.capacitance)
            return _Neuron(1 - rate, gain=cell.time_step / cell.capacitance, **firing)
        case spiking.ParametricLeakyCell():
            rate = _array(jax.nn.sigmoid(params["rate_logit"]))
            return _Neuron(1 - rate.astype(np.float64), gain=rate, **firing)
    raise _unsupported(name, cell)


def _neuron(writer: _Writer, name: str, neuron: _Neuron) -> None:
    nodes, back = _neuron_nodes(writer, name, neuron)
    if back:
        chain = [key for key in nodes if key != "reset"]
        writer.add(name, _subgraph(writer, nodes, chain, back))
    else:
        for key, node in nodes.items():
            writer.add(f"{name}_{key}" if key else name, node)


def _subgraph(
    writer: _Writer, nodes: dict[str, Any], chain: list[str], more: list[tuple[str, str]]
) -> Any:
    """Make a graph of a chain of nodes from its input to its output, and more edges."""
    nir, shape = writer.nir, np.array(writer.nir_shape)
    chain = ["input", *chain, "output"]
    nodes = {"input": nir.Input(shape), **nodes, "output": nir.Output(shape)}
    edges = [*itertools.pairwise(chain), *more]
    return nir.NIRGraph(nodes, edges, type_check=False)


def _neuron_nodes(
    writer: _Writer, name: str, neuron: _Neuron
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Make the chain of nodes of a neuron, and after it the reset with its edges, if any."""
    nir, dt, unit = writer.nir, writer.dt, writer.per_unit
    decay, gain = unit(neuron.decay), unit(neuron.gain)
    integrates = bool((decay == 1).all())
    ok = integrates or bool((decay < 1).all())
    require(ok, "to_nir", f"{name}.decay", decay, "factors below 1, or 1 for all units")
    if integrates:
        membrane = {"r": gain / dt}
    else:
        tau = dt / (1 - decay)
        membrane = {"tau": tau, "r": gain * tau / dt, "v_leak": np.zeros_like(tau)}
    synapse = {}
    if neuron.current_decay is not None:
        kept = unit(neuron.current_decay)
        ok = not integrates and bool((kept < 1).all())
        require(ok, "to_nir", f"{name}.decay", neuron.decay, "both its decays below 1")
        tau_syn = dt / (1 - kept)
        synapse = {"tau_syn": tau_syn, "w_in": tau_syn / dt}
    cuba = {"tau_mem" if k == "tau" else k: v for k, v in membrane.items()}
    plain = nir.I(**membrane) if integrates else nir.LI(**membrane)
    if neuron.threshold is None:
        return {"": plain}, []
    theta = unit(neuron.threshold)
    if neuron.reset is spiking.reset_to_zero:
        firing = {"v_threshold": theta, "v_reset": np.zeros_like(theta)}
        if synapse:
            return {"": nir.CubaLIF(**cuba, **synapse, **firing)}, []
        return {"": (nir.IF if integrates else nir.LIF)(**membrane, **firing)}, []
    threshold = nir.Threshold(theta)
    if neuron.reset is spiking.no_reset:
        plain = nir.CubaLI(**cuba, **synapse) if synapse else plain
        return {"membrane": plain, "threshold": threshold}, []
    if neuron.reset is not spiking.reset_by_subtraction:
        raise ValueError(
            f"to_nir: `{name}.reset` is {neuron.reset!r}; it needs reset_to_zero, "
            "reset_by_subtraction or no_reset."
        )
    nodes = {}
    if synapse:
        tau_syn, w_in = synapse["tau_syn"], synapse["w_in"]
        nodes["synapse"] = nir.LI(tau=tau_syn, r=w_in, v_leak=np.zeros_like(w_in))
    # λ(u - θs) + i = λu + (i - λθs), the bracket being what the membrane's gain multiplies.
    nodes |= {"membrane": plain, "threshold": threshold, "reset": nir.Scale(-decay * theta / gain)}
    return nodes, [("threshold", "reset"), ("reset", "membrane")]


def _tuple(value: Any, count: int) -> tuple[int, ...]:
    if value is None:
        return (1,) * count
    return (int(value),) * count if isinstance(value, int) else tuple(int(n) for n in value)


def _array(value: Any) -> np.ndarray:
    return np.asarray(value).astype(np.float32)
