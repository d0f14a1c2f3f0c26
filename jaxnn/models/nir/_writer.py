"""A chain of NIR nodes in the making, and what all its links are made with."""

import itertools
from typing import Any

import numpy as np

SUPPORTED = (
    "nn.Sequential of nn.Dense, feedforward.Dense, nn.Conv over one or two axes, "
    "spiking.DelayedDense, spiking.Leaky, spiking.LeakyIntegrator, nn.RNN over a LeakyCell, "
    "IntegrateCell, LapicqueCell, ParametricLeakyCell, SynapticCell or LeakyIntegratorCell or a "
    "spiking.RecurrentCell of one, functools.partial of nn.avg_pool, and functions that flatten; "
    "or one of these alone, a SpikingMLP or a network of from_nir"
)


class Writer:
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


def kernel_of(writer: Writer, kernel: Any) -> np.ndarray:
    weight = array_of(kernel).T
    return np.ascontiguousarray(weight if writer.order is None else weight[:, writer.order])


def subgraph(
    writer: Writer, nodes: dict[str, Any], chain: list[str], more: list[tuple[str, str]]
) -> Any:
    """Make a graph of a chain of nodes from its input to its output, and more edges."""
    nir, shape = writer.nir, np.array(writer.nir_shape)
    chain = ["input", *chain, "output"]
    nodes = {"input": nir.Input(shape), **nodes, "output": nir.Output(shape)}
    edges = [*itertools.pairwise(chain), *more]
    return nir.NIRGraph(nodes, edges, type_check=False)


def unsupported(name: str, layer: Any) -> TypeError:
    kind = type(layer).__name__
    return TypeError(f"to_nir: layer {name!r} is of type {kind}; it needs {SUPPORTED}.")


def array_of(value: Any) -> np.ndarray:
    return np.asarray(value).astype(np.float32)
