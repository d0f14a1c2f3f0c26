"""A NIR graph as a linen module over whole sequences."""

import copy
import dataclasses
import functools
import math
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_positive
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.spiking import fast_sigmoid
from jaxnn.layers.spiking._reset import Reset
from jaxnn.layers.spiking._surrogate import SpikeFunction
from jaxnn.models.nir._graph import Part, open_subgraphs, parts, reached
from jaxnn.models.nir._nodes import Node, Options, discretise, weights_of
from jaxnn.models.nir._package import package, read


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """What a network runs; compared by identity, so that modules stay hashable.

    Attributes:
      graph: as it was read, with its weights and its time constants.
      dt: time step.
      nodes: by full name, in discrete time.
      weights: the trained arrays of those nodes that have any.
      sources: by node, the nodes whose outputs it adds up.
      order: the parts, as they run.
      input: name of the input node.
      output: name of the output node.
      shape: of one example at one step.
    """

    graph: Any
    dt: float
    nodes: Mapping[str, Node]
    weights: Mapping[str, Mapping[str, np.ndarray]]
    sources: Mapping[str, tuple[str, ...]]
    order: tuple[Part, ...]
    input: str
    output: str
    shape: tuple[int, ...]


class NIRNetwork(nn.Module):
    """A graph that runs: :func:`from_nir` makes it, :func:`to_nir` gives the graph back.

    Its parameters are the weights of the graph, ``params[node][field]`` in the graph's layout,
    to which ``init`` sets them; constants of neurons are not trained. A node without memory sees
    all steps at once; the nodes of a cycle share one scan.

    Attributes:
      plan: of the graph.
    """

    plan: Plan

    @nn.compact
    def __call__(self, inputs: Float[Array, "..."]) -> Float[Array, "..."]:
        """Map ``(*batch, time, *shape)`` to the graph's output at each step.

        ``shape`` is that of the graph's input, channels first.
        """
        plan = self.plan
        require_array("NIRNetwork", inputs=inputs)
        lead = inputs.ndim - len(plan.shape) - 1
        needs = f"shape (*batch, time, {', '.join(map(str, plan.shape))}), the graph's input"
        ok = lead >= 0 and inputs.shape[lead + 1 :] == plan.shape
        require(ok, "NIRNetwork", "inputs", inputs, needs, "Channels come first in NIR.")
        weights = {
            name: self.param(name, lambda _, value=value: jax.tree.map(jnp.asarray, value))
            for name, value in plan.weights.items()
        }
        weights = jax.tree.map(lambda w: w.astype(inputs.dtype), weights)
        batch, steps = inputs.shape[:lead], inputs.shape[lead]
        rows = inputs.reshape(math.prod(batch), steps, *plan.shape)
        values = {plan.input: jnp.moveaxis(rows, 1, 0)}
        for part in plan.order:
            run = _run_cycle if part.recurrent else _run_node
            run(plan, part, weights, values)
        y = jnp.moveaxis(values[plan.output], 0, 1)
        return y.reshape(*batch, steps, *y.shape[2:])


def from_nir(
    graph: Any,
    *,
    dt: float = 1e-4,
    reset: Reset | None = None,
    surrogate: SpikeFunction = fast_sigmoid,
    unit_gain: bool = False,
) -> tuple[NIRNetwork, dict[str, Any]]:
    """Make a network of a NIR graph, in discrete time by the table of :mod:`jaxnn.models.nir`.

    Args:
      graph: an ``nir.NIRGraph`` with one input and one output, or the path of its file.
      dt: time step, in the graph's unit of time. snnTorch's graphs need the default, spyx's the
        ``dt`` they were made with, which is 1 unless given.
      reset: what a spike does to the potential; the graph's ``v_reset`` if ``None``. Pass
        ``spiking.reset_by_subtraction`` for the graph of an snnTorch network with that
        ``reset_mechanism``, which its exporter leaves out.
      surrogate: spike function; its derivative is used in training.
      unit_gain: add inputs to neurons as they are, whatever ``r`` and ``w_in`` say; spyx's
        graphs need it, in which ``r`` is the decay.

    Returns:
      The network, a module from ``(*batch, time, *shape)`` to the outputs of all steps, and its
      variables, the graph's weights.

    Raises:
      ImportError: nir is not installed (``pip install 'jaxnn[nir]'``).
      FileNotFoundError: there is no such file.
      TypeError: ``graph`` is neither a graph nor a path.
      ValueError: a file is damaged; a node is of a type that is not in the table, has no input
        or a time constant below ``dt``; or a cycle has no neuron and no delay.

    Differs: snnTorch 1.0 reads LIF and CubaLIF as neurons that reset to zero, and an IF as a
    leaky neuron; resetting by subtraction within the step, it does not fire again at once where a
    spike leaves the potential between one threshold and two. spyx 1.0 ignores ``r``, ``w_in``
    and ``v_reset``: its LIF and CuBaLIF take inputs as they are, subtract the threshold, and fire
    a step later; its recurrent layers it writes with the inputs led through the recurrent
    weights, which is another network.

    Example:
      >>> network, variables = from_nir("network.nir")  # doctest: +SKIP
      >>> spikes = network.apply(variables, inputs)  # doctest: +SKIP
    """
    where = "from_nir"
    nir = package(where)
    require_positive(where, dt=dt)
    if isinstance(graph, str | os.PathLike):
        graph = read(where, graph)
    if not isinstance(graph, nir.NIRGraph):
        kind = type(graph).__name__
        raise TypeError(f"{where}: `graph` is of type {kind}; it needs an nir.NIRGraph or a path.")
    graph = copy.deepcopy(graph)
    nodes, edges = open_subgraphs(graph, nir.NIRGraph)
    ends = []
    for kind, found in (("Input", graph.inputs), ("Output", graph.outputs)):
        require(len(found) == 1, where, "graph", list(found), f"one node of type {kind}")
        ends.append(next(iter(found)))
    options = Options(dt, surrogate, reset, unit_gain)
    known = {
        name: discretise(name, node, options)
        for name, node in sorted(nodes.items(), key=lambda item: item[0] != ends[0])
    }
    sources = {name: tuple(a for a, b in edges if b == name) for name in known}
    for name in sorted(set(known) - reached(ends[0], edges)):
        require(False, where, "graph", graph.edges, f"edges that lead to the node {name!r}")
    early = frozenset(name for name, node in known.items() if node.early)
    plan = Plan(
        graph=graph,
        dt=dt,
        nodes=known,
        weights={name: held for name in known if (held := weights_of(nodes[name]))},
        sources=sources,
        order=parts(known, edges, early),
        input=ends[0],
        output=ends[1],
        shape=tuple(int(n) for n in np.ravel(graph.inputs[ends[0]].input_type["input"])),
    )
    for part in plan.order:
        for source, _ in part.back:
            _require_memory(plan, part, source, ())
    params = {
        name: {field: jnp.asarray(value) for field, value in held.items()}
        for name, held in plan.weights.items()
    }
    return NIRNetwork(plan), {"params": params}


def graph_of(network: NIRNetwork, variables: Mapping[str, Any]) -> Any:
    """Give the graph of a network back, with its weights as they are now."""
    graph = copy.deepcopy(network.plan.graph)
    nodes, _ = open_subgraphs(graph, type(graph))
    for name, held in variables.get("params", {}).items():
        for field, value in held.items():
            setattr(nodes[name], field, np.asarray(value))
    return graph


def _require_memory(plan: Plan, part: Part, name: str, above: tuple[str, ...]) -> None:
    """Raise if what a node gives before the first step depends on itself."""
    if name in above:
        cycle = " -> ".join([*above[above.index(name) :][::-1], name])
        raise ValueError(f"from_nir: the cycle {cycle} needs a neuron or a delay in it.")
    if plan.nodes[name].apply and name in part.nodes:
        for source in plan.sources[name]:
            _require_memory(plan, part, source, (*above, name))


def _run_node(plan: Plan, part: Part, weights: Any, values: dict[str, jax.Array]) -> None:
    (name,) = part.nodes
    if name == plan.input:
        return
    node = plan.nodes[name]
    x = _total([values[source] for source in plan.sources[name]], name)
    if node.apply:
        rows = x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])
        y = _apply(plan, name, weights, rows)
        values[name] = y.reshape(*x.shape[:2], *y.shape[1:])
    elif node.sequence:
        values[name] = node.sequence(x)
    else:
        assert node.init
        assert node.step
        state = node.init(x.shape[1:], accumulation_dtype(x.dtype))
        values[name] = jax.lax.scan(node.step, state, x)[1]


def _run_cycle(plan: Plan, part: Part, weights: Any, values: dict[str, jax.Array]) -> None:
    inside = set(part.nodes)
    kept = sorted({source for source, _ in part.back})
    drives = {
        name: _total([values[a] for a in outer], name)
        for name in part.nodes
        if (outer := [a for a in plan.sources[name] if a not in inside])
    }

    def step(carry, drives):
        states, before = dict(carry[0]), carry[1]
        now: dict[str, jax.Array] = {}

        def total(name):
            inner = [a for a in plan.sources[name] if a in inside]
            terms = [before[a] if (a, name) in part.back else now[a] for a in inner]
            return _total([*([drives[name]] if name in drives else []), *terms], name)

        for name in part.nodes:
            node = plan.nodes[name]
            if node.early:
                now[name] = node.early(states[name])
            elif node.apply:
                now[name] = _apply(plan, name, weights, total(name))
            else:
                assert node.step
                states[name], now[name] = node.step(states[name], total(name))
        for name in part.nodes:
            node = plan.nodes[name]
            if node.early:
                assert node.step
                states[name], _ = node.step(states[name], total(name))
        return (states, {name: now[name] for name in kept}), now

    first = next(iter(drives.values()))
    dtype, rows = first.dtype, first.shape[1]
    shapes = _shapes(plan, part, weights, {k: v[0] for k, v in drives.items()})
    states = {
        name: init(shapes[name], accumulation_dtype(dtype))
        for name in part.nodes
        if (init := plan.nodes[name].init)
    }

    @functools.cache
    def rest(name: str) -> jax.Array:
        """Give a node's output before the first step: what no spike and no input make."""
        if plan.nodes[name].init or name not in inside:
            shape = shapes[name] if name in inside else (rows, *values[name].shape[2:])
            return jnp.zeros(shape, dtype)
        return _apply(plan, name, weights, _total([rest(a) for a in plan.sources[name]], name))

    before = {name: rest(name) for name in kept}
    _, outputs = jax.lax.scan(step, (states, before), drives)
    values.update(outputs)


def _shapes(
    plan: Plan, part: Part, weights: Any, drives: Mapping[str, jax.Array]
) -> dict[str, tuple[int, ...]]:
    """Find the shape of each output in a cycle: what has memory keeps that of its input."""
    known: dict[str, jax.ShapeDtypeStruct] = {}
    waiting = list(part.nodes)
    while waiting:
        for name in waiting:
            inner = [known[a] for a in plan.sources[name] if a in known]
            like = drives.get(name, inner[0] if inner else None)
            if like is not None:
                like = jax.ShapeDtypeStruct(like.shape, like.dtype)
                if plan.nodes[name].apply:
                    like = jax.eval_shape(functools.partial(_apply, plan, name, weights), like)
                known[name] = like
                waiting.remove(name)
                break
        else:
            raise AssertionError("a cycle that nothing enters")  # each node has an input
    return {name: shape.shape for name, shape in known.items()}


def _apply(plan: Plan, name: str, weights: Any, x: jax.Array) -> jax.Array:
    apply = plan.nodes[name].apply
    assert apply
    try:
        return apply(weights.get(name), x)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"NIRNetwork: node {name!r} cannot take data of shape {x.shape[1:]}: {error}"
        ) from error


def _total(terms: list[jax.Array], name: str) -> jax.Array:
    shapes = {term.shape[1:] for term in terms}
    if len({term.shape for term in terms}) > 1:
        raise ValueError(
            f"NIRNetwork: node {name!r} cannot add up data of shapes {sorted(shapes)}."
        )
    return functools.reduce(jnp.add, terms)
