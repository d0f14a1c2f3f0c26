"""Sparse recurrent networks: pruned ones recover in an epoch; do wired ones follow their graph?

The task: is a string of Reber's grammar, or was one symbol of it changed? Dense and pruned cells
are gated recurrent units, pruned by magnitude over all kernels of the cell at once. The graphs
are of Watts and Strogatz (nearest 2 to 10 of 16 nodes, half of the edges rewired) and of Barabási
and Albert (1 to 5 edges a node), two of each; layer 0 reads the input, and the class is read from
the last layer, as in the paper.

Pruned to 20 %, the cell is as good again after one epoch. Two effects are not seen here.

Before retraining, magnitude and random pruning alike mostly leave a cell that names one class
for all strings: 0.0, 0.0 and 3.7 points between them with seeds 0 to 2. Also tried: a long
short-term memory of 48 units, 4.6 and 0.0 points with two seeds; and a GRU of 32 units, 4096
strings in batches of 64 and half the rate in retraining, 4.4 points with one seed, but 8 to 15
points short after the epoch.

Accuracy does not go with the number of edges: rank correlations of 0.08, 0.31 and 0.13 in size
with seeds 0 to 2 (-0.28 with seed 0 in an earlier draw of the strings). With 24 nodes, strings of
up to 16 symbols and 256 steps it was 0.25 with one seed; with a rate of 0.003 in place of 0.01 it
was 0.00. Graphs of as many edges differ by up to 20 points.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxnn import data
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator, train
from jaxnn.layers.recurrent import DirectedLayers, directed_layers, graph_rnn_step
from jaxnn.train import pruning

UNITS, SPARSITY, SEEDS = 48, 0.8, 3
LENGTH, TRAIN, TEST, BATCH = 16, 8192, 2048, 32
EPOCH = TRAIN // BATCH
RATE = 1e-2
NODES, GRAPH_STEPS, GRAPH_SEEDS, GRAPH_LENGTH = 16, 512, 2, 12


def identities(key: jax.Array) -> list[Check]:
    """Layers and edges against networkx; weights without an edge after training."""
    import networkx

    wrong, misplaced = 0, 0
    drawn = _graphs(generator(key))
    for graph, found in drawn:
        directed = networkx.DiGraph()
        directed.add_nodes_from(graph)
        directed.add_edges_from((min(edge), max(edge)) for edge in graph.edges)
        wrong += len(set(directed.edges) ^ set(map(tuple, np.argwhere(found.adjacency))))
        for layer, nodes in enumerate(networkx.topological_generations(directed)):
            misplaced += len(set(nodes) ^ set(found.nodes(layer).tolist()))
    return [
        Check("edges that differ from those of networkx, 20 graphs", wrong, "=", 0),
        Check("nodes in another layer than those of networkx", misplaced, "=", 0),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """A loop over the nodes, each from the ones that lead to it, in float64."""
    random = generator(key)
    found = _graphs(random)[-1][1]
    n, layers = len(found.layers), np.array(found.layers)
    within = layers[:, None] == layers
    state, drive, kernel, back = (random.normal(size=s) for s in ((n,), (n,), (n, n), (n, n)))
    h = np.zeros(n)
    for node in range(n):  # no edge leads back
        total = drive[node] + state @ np.where(within, back, 0)[:, node]
        h[node] = np.tanh(total + h @ np.where(found.adjacency, kernel, 0)[:, node])
    drawn = (jnp.asarray(a, jnp.float32) for a in (state, drive, kernel, back))
    step = functools.partial(graph_rnn_step, *drawn, jnp.asarray(found.adjacency))
    checks = []
    for name, places, depth in (
        ("layer by layer", found.layers, None),
        ("in sweeps", jnp.asarray(layers), found.depth),
    ):
        _, got = step(places, depth=depth)
        checks.append(Check(f"distance from a loop, {name}", np.abs(got - h).max(), "<=", 1e-5))
    return checks


def effects(key: jax.Array) -> list[Check]:
    """Accuracies on held-out strings; the pruned cell's, and of 20 graphs at a fixed budget."""
    from scipy import stats

    draw = functools.partial(data.reber_grammar, n=TRAIN + TEST, max_length=LENGTH)
    strings = jax.jit(draw)(key)
    random = generator(key)
    dense, magnitude, lots, retrained, alive = _pruned(key, random, strings)
    graphs = [found for _, found in _graphs(random)]
    accuracies, strays = _wired(random, strings, graphs)
    edges = [len(found.edges) for found in graphs]
    correlation = float(np.asarray(stats.spearmanr(edges, accuracies))[0])
    return [
        Check("accuracy of the dense cell, %", dense, ">=", 99.0),
        Check("below it, pruned and retrained for an epoch, points", dense - retrained, "<=", 2.0),
        Check("above random pruning, not retrained, points", magnitude - lots, ">", 0.0),
        Check("pruned weights that are not zero after retraining", alive, "=", 0),
        Check("weights without an edge that are not zero after training", strays, "=", 0),
        Check("rank correlation of edges and accuracy, size", abs(correlation), ">=", 0.4),
    ]


def _graphs(random: np.random.Generator) -> list[tuple[Any, DirectedLayers]]:
    """Draw 20 graphs of networkx, and direct them."""
    import networkx

    drawn = []
    for size in (1, 2, 3, 4, 5) * 2:
        seeds = [int(seed) for seed in random.integers(0, 2**31, 2)]
        drawn.append(networkx.watts_strogatz_graph(NODES, 2 * size, 0.5, seed=seeds[0]))
        drawn.append(networkx.barabasi_albert_graph(NODES, size, seed=seeds[1]))
    return [(graph, directed_layers(networkx.to_numpy_array(graph))) for graph in drawn]


class Reader(nn.Module):
    """Name the class of a string by a cell's state after its last symbol."""

    cell: nn.RNNCellBase

    @nn.compact
    def __call__(self, x, lengths):
        """Take strings as one-hot rows, and their lengths; return logits."""
        h = jnp.asarray(nn.RNN(self.cell)(x))
        last = jnp.take_along_axis(h, (lengths - 1)[:, None, None], axis=1)
        return nn.Dense(2)(last[:, 0])


def _pruned(key: Any, random: np.random.Generator, strings: Any) -> tuple[float, ...]:
    """Train, prune and retrain; percentages, and how many pruned weights are not zero."""
    model = Reader(nn.GRUCell(UNITS))
    x, y, lengths = jax.nn.one_hot(strings.x, 7), strings.y, strings.lengths
    epochs = np.stack(
        [[random.permutation(TRAIN).reshape(-1, BATCH) for _ in range(3)] for _ in range(SEEDS)]
    )

    def optimiser(steps):
        schedule = optax.cosine_decay_schedule(RATE, steps)
        return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))

    def loss(params, row):
        logits = jnp.asarray(model.apply({"params": params}, x[row], lengths[row]))
        return optax.softmax_cross_entropy_with_integer_labels(logits, y[row]).mean()

    def accuracy(params):
        logits = jnp.asarray(model.apply({"params": params}, x[TRAIN:], lengths[TRAIN:]))
        return 100 * jnp.mean(jnp.argmax(logits, axis=-1) == y[TRAIN:])

    def prunable(path, leaf):
        return path.startswith("cell/") and leaf.ndim == 2

    @jax.jit
    @jax.vmap
    def run(key, epochs):
        start = model.init(key, x[:1], lengths[:1])["params"]
        rows = epochs[:2].reshape(-1, BATCH)
        params, _ = train(loss, optimiser(2 * EPOCH), start, rows)
        masks = pruning.magnitude_masks(params, SPARSITY, prunable=prunable)
        lots = pruning.random_masks(key, params, SPARSITY, prunable=prunable)
        small = pruning.apply_masks(params, masks)
        again = pruning.keep_pruned(optimiser(EPOCH), masks)
        retrained, _ = train(loss, again, small, epochs[2])
        alive = jax.tree.map(lambda p, m: jnp.sum((p != 0) & ~m), retrained, masks)
        kinds = params, small, pruning.apply_masks(params, lots), retrained
        return *map(accuracy, kinds), sum(jax.tree.leaves(alive))

    found = run(jax.random.split(key, SEEDS), jnp.asarray(epochs))
    *shares, alive = (np.asarray(value) for value in found)
    return *(float(share.mean()) for share in shares), int(alive.sum())


def _wired(
    random: np.random.Generator, strings: Any, graphs: list[DirectedLayers]
) -> tuple[np.ndarray, int]:
    """Train a network for each graph, all in one program; accuracies, and weights astray."""
    x, y = jax.nn.one_hot(strings.x[:, :GRAPH_LENGTH], 7), strings.y
    lengths = strings.lengths
    short = np.flatnonzero(np.asarray(lengths) <= GRAPH_LENGTH)
    seen, held_out = (jnp.asarray(part) for part in (short[short < TRAIN], short[short >= TRAIN]))
    depth = max(found.depth for found in graphs)
    layers = np.array([found.layers for found in graphs])
    edges = np.stack([found.adjacency for found in graphs])
    within = layers[:, :, None] == layers[:, None, :]
    masks = {
        "inputs": np.broadcast_to((layers == 0)[:, None], (len(graphs), 7, NODES)),
        "kernel": edges,
        "back": within,
        "outputs": (layers == layers.max(axis=1, keepdims=True))[:, :, None].repeat(2, axis=2),
    }

    def draw(mask):
        scale = mask / np.sqrt(np.maximum(mask.sum(axis=1, keepdims=True), 1))
        drawn = random.normal(size=(GRAPH_SEEDS, *mask.shape))
        return jnp.asarray(drawn * scale, jnp.float32)

    start = {name: draw(mask) for name, mask in masks.items()}
    start["bias"] = jnp.zeros((GRAPH_SEEDS, len(graphs), NODES))
    rows = seen[random.integers(0, len(seen), (GRAPH_SEEDS, GRAPH_STEPS, BATCH))]
    schedule = optax.cosine_decay_schedule(RATE, GRAPH_STEPS)
    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))

    def logits(params, graph, row):
        keep, places = graph
        drive = jnp.moveaxis(x[row], 1, 0) @ (params["inputs"] * keep["inputs"])
        drive = drive + params["bias"]

        def step(h, a):
            return graph_rnn_step(
                h, a, params["kernel"], params["back"], keep["kernel"], places, depth=depth
            )

        _, h = jax.lax.scan(step, jnp.zeros_like(drive[0]), drive)
        last = h[lengths[row] - 1, jnp.arange(len(row))]
        return last @ (params["outputs"] * keep["outputs"])

    def one(params, graph, rows):
        def loss(params, row):
            values = logits(params, graph, row)
            return optax.softmax_cross_entropy_with_integer_labels(values, y[row]).mean()

        params, _ = train(loss, tx, params, rows)
        right = jnp.argmax(logits(params, graph, held_out), axis=-1) == y[held_out]
        strays = sum(jnp.sum((params[name] != 0) & (graph[0][name] == 0)) for name in masks)
        return 100 * jnp.mean(right), strays

    kept = {name: jnp.asarray(mask, jnp.float32) for name, mask in masks.items()}
    graph = kept, jnp.asarray(layers)
    run = jax.jit(jax.vmap(jax.vmap(one, in_axes=(0, 0, None)), in_axes=(0, None, 0)))
    shares, strays = run(start, graph, rows)
    return np.asarray(shares).mean(axis=0), int(np.sum(strays))


CLAIM = Claim(
    name="sparse-rnn",
    title="Investigating Sparsity in Recurrent Neural Networks",
    year=2024,
    says="a pruned recurrent network regains its accuracy within few epochs, and that of one "
    "wired like a random graph goes with the graph's properties",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
