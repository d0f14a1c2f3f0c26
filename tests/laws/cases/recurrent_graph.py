"""Rows of ``layers.recurrent``: networks wired like graphs."""

import jax
import jax.numpy as jnp

from jaxnn.layers import recurrent
from tests.laws.case import Case, Plain, Reject
from tests.laws.makers import normal

HOME = "layers.recurrent"
TESTS = "tests/layers/recurrent/test_graph.py"
LAYERS = (0, 1, 2, 0)
GRAPH = recurrent.DirectedLayers(LAYERS, ((0, 1), (0, 2), (1, 2)))
EDGES = jnp.asarray(GRAPH.adjacency)
CELL = recurrent.GraphRNNCell(GRAPH)
ONES, SQUARE = jnp.ones(4), jnp.ones((4, 4))


def variables(key):
    parts = ("bias", "input_kernel", "kernel", "recurrent_kernel")
    shapes = ((4,), (3, 4), (4, 4), (4, 4))
    return {"params": dict(zip(parts, normal(key, *shapes), strict=True))}


def step(state, drive, kernel, back, layers=LAYERS, depth=None):
    return recurrent.graph_rnn_step(state, drive, kernel, back, EDGES, layers, depth=depth)


CASES = [
    Case(
        name=f"{HOME}.graph_rnn_step",
        function=step,
        inputs=lambda key: normal(key, (4,), (4,), (4, 4), (4, 4)),
        equals={"sweeps": lambda *args: step(*args, jnp.array(LAYERS), 3)},
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: step(ONES, ONES, SQUARE, SQUARE[:3]),
                error=ValueError,
                match=r"graph_rnn_step: `recurrent_kernel` .* needs shape \(4, 4\)",
            ),
            Reject(
                call=lambda: step(ONES, ONES, SQUARE, SQUARE, (0, 1)),
                error=ValueError,
                match=r"graph_rnn_step: `layers` is \(0, 1\); it needs one layer for each of 4",
            ),
            Reject(
                call=lambda: step(ONES, ONES, SQUARE, SQUARE, jnp.array(LAYERS)),
                error=ValueError,
                match="graph_rnn_step: `depth` is None; it needs the number of layers",
            ),
            Reject(
                call=lambda: step(ONES, ONES, SQUARE, SQUARE, LAYERS, 2),
                error=ValueError,
                match="graph_rnn_step: `depth` is 2; it needs at least 3",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.GraphRNNCell",
        function=CELL.apply,
        inputs=lambda key: (variables(key), *normal(key, (4,), (3,))),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: CELL.init(jax.random.key(0), jnp.ones(3), jnp.ones(3)),
                error=ValueError,
                match=r"graph_rnn_step: `drive` .* needs shape \(3,\)",
            ),
        ),
    ),
    Plain(
        name=f"{HOME}.directed_layers",
        reason="reads a NumPy matrix when a model is made, and gives Python integers",
        parity=TESTS,
    ),
    Plain(name=f"{HOME}.DirectedLayers", reason="a NamedTuple of integers", parity=TESTS),
]
