"""Neurons and cells of ours as NIR nodes."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn

from jaxnn._check import require
from jaxnn.layers import spiking
from jaxnn.models.nir._writer import Writer, array_of, kernel_of, subgraph, unsupported


class Neuron(NamedTuple):
    """A neuron's constants, each a number or one a unit; ``None`` for what it has not."""

    decay: Any
    gain: Any = 1.0
    current_decay: Any = None
    threshold: Any = None
    reset: Any = None


def write_neuron(writer: Writer, name: str, neuron: Neuron) -> None:
    nodes, back = neuron_nodes(writer, name, neuron)
    if back:
        chain = [key for key in nodes if key != "reset"]
        writer.add(name, subgraph(writer, nodes, chain, back))
    else:
        for key, node in nodes.items():
            writer.add(f"{name}_{key}" if key else name, node)


def write_recurrent(writer: Writer, name: str, layer: nn.RNN, params: Mapping[str, Any]) -> None:
    for option in ("reverse", "time_major"):
        value = getattr(layer, option)
        require(not value, "to_nir", f"{name}.{option}", value, "False")
    flat = len(writer.shape) == 1
    require(flat, "to_nir", f"the input of {name}", writer.shape, "one axis")
    cell, params = layer.cell, params.get("cell", {})
    if not isinstance(cell, spiking.RecurrentCell):
        write_neuron(writer, name, constants_of(name, cell, params))
        return
    nir, kernel = writer.nir, params.get("feedback", {})
    if set(kernel) != {"kernel"}:
        raise TypeError(f"to_nir: the feedback of {name!r} is no dense layer without bias.")
    weight = kernel_of(writer, kernel["kernel"])
    weight = weight if writer.order is None else np.ascontiguousarray(weight[writer.order])
    constants = constants_of(f"{name}.cell", cell.cell, params.get("cell", {}))
    nodes, back = neuron_nodes(writer, name, constants)
    nodes = {f"lif_{key}" if key else "lif": node for key, node in nodes.items()}
    chain = [key for key in nodes if key != "lif_reset"]
    nodes["w_rec"] = nir.Linear(weight)
    edges = [(f"lif_{a}", f"lif_{b}") for a, b in back]
    edges += [(chain[-1], "w_rec"), ("w_rec", chain[0])]
    writer.add(name, subgraph(writer, nodes, chain, edges))


def constants_of(name: str, cell: Any, params: Mapping[str, Any]) -> Neuron:
    """Read a neuron's constants, learned or given."""

    def decay(field):
        logit = params.get(f"{field}_logit")
        return getattr(cell, field) if logit is None else array_of(jax.nn.sigmoid(logit))

    firing = {}
    if hasattr(cell, "reset"):
        raw = params.get("threshold_raw")
        firing["threshold"] = cell.threshold if raw is None else array_of(jax.nn.softplus(raw))
        firing["reset"] = cell.reset
    match cell:
        case spiking.LeakyCell() | spiking.Leaky():
            return Neuron(decay("decay"), **firing)
        case spiking.LeakyIntegratorCell() | spiking.LeakyIntegrator():
            return Neuron(decay("decay"))
        case spiking.SynapticCell():
            return Neuron(decay("decay"), current_decay=decay("current_decay"), **firing)
        case spiking.IntegrateCell():
            return Neuron(1.0, **firing)
        case spiking.LapicqueCell():
            rate = cell.time_step / (cell.resistance * cell.capacitance)
            return Neuron(1 - rate, gain=cell.time_step / cell.capacitance, **firing)
        case spiking.ParametricLeakyCell():
            rate = array_of(jax.nn.sigmoid(params["rate_logit"]))
            return Neuron(1 - rate.astype(np.float64), gain=rate, **firing)
    raise unsupported(name, cell)


def neuron_nodes(
    writer: Writer, name: str, neuron: Neuron
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
