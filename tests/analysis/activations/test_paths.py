"""Edges between the parts of a model, against matrices and against runs one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnn.analysis import activations
from tests.analysis.activations.models import Block, Model

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(5, 3)), jnp.float32)
WEIGHT = jnp.asarray(RNG.normal(size=(5, 3)), jnp.float32)


def weighted(y):
    return jnp.sum(WEIGHT * y)


def residual(params, x, tap):
    """Linear layers, each of which adds to what goes past it; the later come first by name."""
    for i, matrix in enumerate(params["layers"]):
        x = x + tap(f"layer_{9 - i}", x @ matrix)
    return x


@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_a_linear_network_has_the_edges_of_its_matrices(count):
    rng = np.random.default_rng(count)
    matrices = rng.normal(size=(count, 3, 3))
    x, weight = np.asarray(X, np.float64), np.asarray(WEIGHT, np.float64)
    names = [f"layer_{9 - i}" for i in range(count)]
    new = rng.normal(size=(count, 5, 3))
    values, stream = [], x
    for matrix in matrices:
        values.append(stream @ matrix)
        stream = stream + values[-1]
    want = np.zeros((count, count + 1))
    for s in range(count):
        change = new[s] - values[s]
        want[s, -1] = np.sum(weight * change)
        for r in range(s + 1, count):
            passed = change @ matrices[r]
            for later in matrices[r + 1 :]:
                passed = passed + passed @ later
            want[s, r] = np.sum(weight * passed)
    low = {"layers": [jnp.asarray(matrix, jnp.float32) for matrix in matrices]}
    replacements = {n: jnp.asarray(v, jnp.float32) for n, v in zip(names, new, strict=True)}
    options = {"replacements": replacements, "metric": weighted}
    got = activations.path_patching(residual, low, X, **options)
    assert got.names == tuple(names)
    scale = np.abs(want).max()
    np.testing.assert_allclose(got.edges, want, atol=3e-5 * scale)  # five layers in float32
    np.testing.assert_allclose(got.metric, np.sum(weight * stream), atol=1e-5 * scale)
    whole = activations.activation_patching(residual, low, X, **options)
    for name, row in zip(got.names, got.edges, strict=True):
        np.testing.assert_allclose(row.sum(), whole[name] - got.metric, atol=3e-5 * scale)


def test_a_chain_has_edges_between_neighbours_alone():
    def chain(params, x, tap):
        for name in "abcd":
            x = tap(name, jnp.tanh(x @ params["w"]))
        return x

    params = {"w": jnp.asarray(RNG.normal(size=(3, 3)), jnp.float32)}
    zero = {name: jnp.zeros_like(X) for name in "cadb"}
    got = activations.path_patching(chain, params, X, replacements=zero, metric=weighted)
    assert got.names == tuple("abcd")
    neighbours = np.eye(4, 5, 1, bool)
    assert (np.abs(got.edges)[neighbours] > 0.01).all()
    np.testing.assert_allclose(got.edges[~neighbours], 0, atol=1e-6)
    # Along a chain a replacement reaches the outputs over the one edge whole.
    whole = activations.activation_patching(chain, params, X, replacements=zero, metric=weighted)
    for name, effect in zip(got.names, got.edges.sum(1), strict=True):
        np.testing.assert_allclose(effect, whole[name] - got.metric, atol=1e-5)


def test_branches_side_by_side_share_no_edge():
    def branches(params, x, tap):
        left, right = (tap(name, jnp.sin(x @ params["w"])) for name in ("left", "right"))
        return tap("both", left * right) + right

    params = {"w": jnp.asarray(RNG.normal(size=(3, 3)), jnp.float32)}
    zero = {name: jnp.zeros_like(X) for name in ("both", "left", "right")}
    got = activations.path_patching(branches, params, X, replacements=zero, metric=weighted)
    assert got.names == ("left", "right", "both")
    h = jnp.sin(X @ params["w"])
    product, past = float(weighted(h * h)), float(weighted(h))
    want = [[0, 0, -product, 0], [0, 0, -product, -past], [0, 0, 0, -product]]
    np.testing.assert_allclose(got.edges, want, atol=1e-5)


class Net(nn.Module):
    """Blocks plain, shared and rematerialised, one after the other."""

    @nn.compact
    def __call__(self, x):
        x = Block(name="first")(x)
        shared = Block(name="shared")
        x = shared(jnp.sin(shared(x)))
        x = nn.remat(Block)(name="saved")(x)
        return nn.Dense(3, name="head")(nn.tanh(x))


NET = Net()
NODES = ["first/up", "first/down", "shared:0", "shared/up:1", "shared:1", "saved/down", "head"]


@pytest.fixture(scope="module")
def variables():
    return jax.jit(NET.init)(jax.random.key(0), X)


def test_edges_are_those_of_runs_one_by_one_in_one_trace(variables):
    """From one to another with all else held, then onwards: by ``capture`` and ``patch``."""
    _, values = activations.capture(NET, variables, X)
    clean = {name: values[name] for name in NODES}
    new = {name: jnp.roll(value, 1, 0) for name, value in clean.items()}
    traces = []

    @jax.jit
    def edges(variables, x, replacements):
        traces.append(1)
        return activations.path_patching(
            NET, variables, x, replacements=replacements, metric=weighted, batch_size=3
        )

    got = jax.device_get(edges(variables, X, new))  # jit sorts the dictionary
    before = weighted(NET.apply(variables, X))
    assert got.names == tuple(NODES)
    np.testing.assert_allclose(got.metric, before, rtol=1e-5)
    want = np.zeros((len(NODES), len(NODES) + 1))
    for s, sender in enumerate(NODES):
        held = {**clean, sender: new[sender]}
        want[s, -1] = weighted(activations.patch(NET, variables, X, patches=held)) - before
        for r in range(s + 1, len(NODES)):
            others = {name: value for name, value in held.items() if name != NODES[r]}
            _, arrived = activations.capture(NET, variables, X, patches=others, names=[NODES[r]])
            want[s, r] = weighted(activations.patch(NET, variables, X, patches=arrived)) - before
    np.testing.assert_allclose(got.edges, want, atol=2e-5)
    ends = [*NODES, "outputs"]
    assert {(ends[s], ends[r]) for s, r in zip(*np.nonzero(np.abs(want) > 1e-3), strict=True)} == {
        ("first/up", "first/down"),
        ("first/down", "shared:0"),  # a container, which holds back the way around it
        ("shared:0", "shared/up:1"),
        ("shared:0", "shared:1"),
        ("shared/up:1", "shared:1"),  # what lies inside a container reaches that alone
        ("shared:1", "saved/down"),
        ("shared:1", "head"),
        ("saved/down", "head"),
        ("head", "outputs"),
    }
    edges(variables, 2 * X, new)
    assert len(traces) == 1


def test_the_program_does_not_grow_with_the_number_of_nodes():
    runs = []

    def counted(params, x, tap):
        runs.append(1)
        return residual(params, x, tap)

    counts = []
    for nodes in (2, 6):
        runs.clear()
        zero = {f"layer_{9 - i}": jnp.zeros_like(X) for i in range(nodes)}
        options = {"replacements": zero, "metric": weighted, "batch_size": 1}
        jax.eval_shape(
            lambda params, o=options: activations.path_patching(counted, params, X, **o).edges,
            {"layers": [jnp.eye(3)] * 6},
        )
        counts.append(len(runs))
    assert counts[0] == counts[1] < 10


def test_steps_of_a_scan_are_no_nodes():
    model = Model()
    shapes = jax.eval_shape(model.init, jax.random.key(0), X)
    nodes = {"layers/block": jnp.zeros((2, 5, 3))}
    with pytest.raises(ValueError, match=r"`replacements` is 'layers/block'; .* outside nn\.scan"):
        jax.eval_shape(
            lambda v: (
                activations.path_patching(model, v, X, replacements=nodes, metric=weighted).edges
            ),
            shapes,
        )


def test_without_nodes_there_is_the_metric_alone():
    params = {"layers": [jnp.eye(3)]}
    got = activations.path_patching(residual, params, X, replacements={}, metric=weighted)
    assert got.names == ()
    assert got.edges.shape == (0, 1)
    np.testing.assert_allclose(got.metric, 2 * weighted(X), rtol=1e-5)
