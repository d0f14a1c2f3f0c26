import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxnn.layers import recurrent
from tests.laws.makers import normal

# 0 - 1 - 2 and 0 - 2, so that 2 has a path of two edges and one of one; 3 - 1, 3 - 5, 0 - 5;
# 4 alone.
EDGES = ((0, 1), (0, 2), (0, 5), (1, 2), (1, 3), (3, 5))
LAYERS = (0, 1, 2, 2, 0, 3)


def symmetric(edges, n):
    matrix = np.zeros((n, n))
    for i, j in edges:
        matrix[i, j] = matrix[j, i] = 0.5
    return matrix


GRAPH = recurrent.directed_layers(symmetric(EDGES, 6))


def loop(x, kernel, recurrent_kernel, graph):
    """Run unit by unit in the order of the nodes, which no edge leads back in."""
    h = np.zeros(len(graph.layers))
    out = []
    for drive in np.asarray(x, np.float64):
        new = np.zeros_like(h)
        for k in range(len(h)):
            total = drive[k]
            for j in range(len(h)):
                if graph.layers[j] == graph.layers[k]:
                    total += h[j] * recurrent_kernel[j, k]
                if (j, k) in graph.edges:
                    total += new[j] * kernel[j, k]
            new[k] = np.tanh(total)
        h = new
        out.append(h)
    return np.array(out)


def test_layers_and_masks_by_hand():
    assert GRAPH.layers == LAYERS
    assert GRAPH.edges == EDGES
    assert GRAPH.depth == 4
    assert [GRAPH.nodes(k).tolist() for k in (0, 1, 2, 3, -1)] == [[0, 4], [1], [2, 3], [5], [5]]
    assert GRAPH.mask(0, 1).tolist() == [[True], [False]]
    assert GRAPH.mask(0, 2).tolist() == [[True, False], [False, False]]  # skips layer 1
    assert GRAPH.mask(2, 3).tolist() == [[False], [True]]
    assert GRAPH.mask(0, 3).tolist() == [[True], [False]]
    assert not GRAPH.mask(1, 0).any()
    alone = recurrent.directed_layers(np.zeros((3, 3)))
    assert alone == ((0, 0, 0), ())
    assert not alone.adjacency.any()


@pytest.mark.parametrize("name", ["watts_strogatz_graph", "barabasi_albert_graph"])
def test_layers_are_those_of_networkx(name):
    networkx = pytest.importorskip("networkx")
    arguments = {"watts_strogatz_graph": (30, 4, 0.3), "barabasi_albert_graph": (30, 3)}[name]
    graph = getattr(networkx, name)(*arguments, seed=3)
    got = recurrent.directed_layers(networkx.to_numpy_array(graph))
    directed = networkx.DiGraph([sorted(edge) for edge in graph.edges])
    directed.add_nodes_from(graph)
    assert set(got.edges) == set(directed.edges)
    assert len(got.edges) == graph.number_of_edges()
    # Generations of a topological order: the longest way from where no edge leads to.
    for layer, nodes in enumerate(networkx.topological_generations(directed)):
        assert got.nodes(layer).tolist() == sorted(nodes)
    assert got.depth == networkx.dag_longest_path_length(directed) + 1


@pytest.mark.parametrize("traced", [False, True])
def test_steps_are_those_of_a_loop_over_units(traced, key):
    drive, kernel, back = normal(key, (5, 6), (6, 6), (6, 6))
    edges = jnp.asarray(GRAPH.adjacency)
    layers = jnp.asarray(LAYERS) if traced else LAYERS
    step = functools.partial(recurrent.graph_rnn_step, depth=4 if traced else None)
    run = jax.jit(
        lambda x: jax.lax.scan(lambda h, a: step(h, a, kernel, back, edges, layers), x[0] * 0, x)
    )
    _, got = run(drive)
    np.testing.assert_allclose(got, loop(drive, kernel, back, GRAPH), atol=2e-6)


def test_sweeps_need_the_depth_and_no_more(key):
    """More change nothing, to the bit; fewer miss the last layer and no other."""
    drive, state, kernel, back = normal(key, (6,), (6,), (6, 6), (6, 6))
    edges, layers = jnp.asarray(GRAPH.adjacency, jnp.float32), jnp.asarray(LAYERS)
    got = {
        depth: recurrent.graph_rnn_step(state, drive, kernel, back, edges, layers, depth=depth)[1]
        for depth in (3, 4, 6)
    }
    np.testing.assert_array_equal(got[4], got[6])
    assert np.flatnonzero(got[3] != got[4]).tolist() == [5]


def test_without_edges_it_is_the_simple_cell(key):
    graph = recurrent.directed_layers(np.zeros((4, 4)))
    h, x, into, back, bias = normal(key, (2, 4), (2, 3), (3, 4), (4, 4), (4,))
    params = {"input_kernel": into, "kernel": back, "recurrent_kernel": back, "bias": bias}
    flax = {"i": {"kernel": into, "bias": bias}, "h": {"kernel": back}}
    _, got = recurrent.GraphRNNCell(graph).apply({"params": params}, h, x)
    _, want = nn.SimpleCell(4).apply({"params": flax}, h, x)
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_what_no_edge_uses_is_zero_and_stays_zero(key):
    """Under an optimiser with momentum and decay; all that is used has a gradient."""
    rnn = nn.RNN(recurrent.GraphRNNCell(GRAPH))
    (x,) = normal(key, (8, 4, 3))
    layers = np.array(LAYERS)
    used = {
        "bias": np.ones(6, bool),
        "input_kernel": np.broadcast_to(layers == 0, (3, 6)),
        "kernel": GRAPH.adjacency,
        "recurrent_kernel": layers[:, None] == layers,
    }
    params = jax.jit(rnn.init)(key, x)["params"]
    tx = optax.adamw(0.1, weight_decay=0.1)
    loss = jax.value_and_grad(
        lambda p: jnp.sum((jnp.asarray(rnn.apply({"params": p}, x)) - 1) ** 2)
    )

    @jax.jit
    def train(params):
        def step(carry, _):
            params, state = carry
            value, gradient = loss(params)
            updates, state = tx.update(gradient, state, params)
            return (optax.apply_updates(params, updates), state), (value, gradient)

        return jax.lax.scan(step, (params, tx.init(params)), None, length=5)

    (trained, _), (values, gradients) = train(params)
    assert values[-1] < 0.9 * values[0]
    for name, mask in used.items():
        assert (np.asarray(params["cell"][name])[~mask] == 0).all()
        assert (np.asarray(trained["cell"][name])[~mask] == 0).all()
        assert ((np.asarray(gradients["cell"][name]) != 0).all(axis=0) == mask).all(), name


def test_sparse_units_are_driven_like_dense_ones(key):
    """Drawn for as many inputs as there are units, then scaled to those that each one has."""
    cell = recurrent.GraphRNNCell(GRAPH, kernel_init=nn.initializers.ones)
    params = cell.init(key, jnp.zeros(6), jnp.ones(2))["params"]
    # Nodes 0 and 4 have no inputs; layers have two units, one, two and one.
    want = GRAPH.adjacency * np.sqrt(6 / np.array([1, 1, 2, 1, 1, 2]))
    np.testing.assert_allclose(params["kernel"], want, rtol=1e-6)
    within = np.equal.outer(LAYERS, LAYERS) * np.sqrt(6 / np.array([2, 1, 2, 2, 2, 1]))
    np.testing.assert_allclose(params["recurrent_kernel"], within, rtol=1e-6)
