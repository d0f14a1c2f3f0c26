"""Graphs that run, against NumPy loops over their differential equations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import models
from jaxnn.layers import spiking
from jaxnn.models.nir import from_nir

nir = pytest.importorskip("nir")

DT = 1e-3
STEPS = 30


@pytest.fixture
def draw():
    return np.random.default_rng(0)


def units(draw, low, high, count=4):
    return draw.uniform(low, high, count)


def make(draw, kind, count=4):
    """A neuron, every constant another for each unit."""
    tau = units(draw, 2 * DT, 9 * DT, count)
    leak = {"r": units(draw, 2, 4, count), "v_leak": units(draw, -0.3, 0.3, count)}
    fires = {"v_threshold": units(draw, 0.4, 0.9, count), "v_reset": units(draw, -0.2, 0.2, count)}
    cuba = {"tau_mem": tau, "tau_syn": tau[::-1].copy(), "w_in": units(draw, 0.5, 2, count), **leak}
    fields = {
        "I": {"r": units(draw, 100, 200, count)},
        "IF": {"r": units(draw, 200, 400, count), **fires},
        "LI": {"tau": tau, **leak},
        "LIF": {"tau": tau, **leak, **fires},
        "CubaLI": cuba,
        "CubaLIF": {**cuba, **fires},
    }
    return getattr(nir, kind)(**fields[kind])


class Loop:
    """One Euler step of a neuron's equations at a time, in float64."""

    def __init__(self, node):
        self.node, self.v, self.i = node, 0.0, 0.0

    def __call__(self, x):
        n, kind = self.node, type(self.node).__name__
        if kind.startswith("Cuba"):
            self.i = self.i + DT / n.tau_syn * (-self.i + n.w_in * x)
            x, tau = self.i, n.tau_mem
        elif kind.startswith("L"):
            tau = n.tau
        if kind in ("I", "IF"):
            self.v = self.v + DT * n.r * x
        else:
            self.v = self.v + DT / tau * ((n.v_leak - self.v) + n.r * x)
        if not hasattr(n, "v_threshold"):
            return self.v
        z = self.v > n.v_threshold
        self.v = np.where(z, n.v_reset, self.v)
        return z.astype(float)


def run(graph, x, **options):
    network, variables = from_nir(graph, dt=DT, **options)
    return np.asarray(jax.jit(network.apply)(variables, jnp.asarray(x, jnp.float32)))


@pytest.mark.parametrize("kind", ["I", "IF", "LI", "LIF", "CubaLI", "CubaLIF"])
def test_neurons_follow_their_equations(draw, kind):
    node = make(draw, kind)
    x = draw.normal(0.5, 1, (2, STEPS, 4)).astype(np.float32)
    want = []
    for row in x:
        loop = Loop(node)
        want.append([loop(i) for i in row])
    got = run(nir.NIRGraph.from_list(node), x)
    np.testing.assert_allclose(got, want, atol=1e-5)
    if "F" in kind:
        assert 0.05 < np.mean(want) < 0.9
        assert set(np.unique(got)) == {0.0, 1.0}


def test_another_reset_and_unit_gain(draw):
    node = nir.LIF(*np.full((4, 4), [[5 * DT], [7.0], [0.0], [1.0]]))
    x = draw.normal(0.3, 0.6, (STEPS, 4)).astype(np.float32)
    graph = nir.NIRGraph.from_list(node)
    for reset in (spiking.reset_by_subtraction, spiking.no_reset):
        _, want = spiking.leaky_sequence(jnp.asarray(x), 0.8, reset=reset)
        got = run(graph, x, reset=reset, unit_gain=True)
        np.testing.assert_array_equal(got, want)
        assert 0 < want.mean() < 1


def correlate(x, weight, bias, stride, padding, dilation, groups):
    """A convolution as its definition has it: (channels, rows, columns) in and out."""
    x = np.pad(x, ((0, 0), *((p, p) for p in padding)))
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:], strict=True)]
    rows, columns = ((n - k) // s + 1 for n, k, s in zip(x.shape[1:], reach, stride, strict=True))
    y = np.zeros((len(weight), rows, columns))
    width = weight.shape[1]
    for o, kernel in enumerate(weight):
        first = o // (len(weight) // groups) * width
        for i, j in np.ndindex(rows, columns):
            at, to = i * stride[0], j * stride[1]
            window = x[
                first : first + width,
                at : at + reach[0] : dilation[0],
                to : to + reach[1] : dilation[1],
            ]
            y[o, i, j] = (window * kernel).sum() + bias[o]
    return y


def test_convolutions_pools_and_flatten(draw):
    weight, bias = draw.normal(size=(4, 1, 3, 2)), draw.normal(size=4)
    one, offset = draw.normal(size=(3, 2, 3)), draw.normal(size=3)
    conv = nir.Conv2d((7, 8), weight, (2, 1), (1, 2), (1, 2), 2, bias)
    conv.output_type = {"output": np.array([4, 4, 10])}
    first = nir.Input(np.array([2, 7, 8]))  # its own inference knows no groups
    summed = nir.SumPool2d(np.array([2, 3]), np.array([2, 2]), np.array([0, 1]))
    mean = nir.AvgPool2d(np.array([1, 2]), np.array([1, 2]), np.array([0, 0]))
    x = draw.normal(size=(2, 3, 2, 7, 8)).astype(np.float32)
    flat = nir.Flatten(np.array([4, 2, 2]), start_dim=1, end_dim=-1)
    got = run(nir.NIRGraph.from_list(first, conv, summed, mean, flat, type_check=False), x)
    assert got.shape == (2, 3, 4, 4)
    y = correlate(x[1, 2], weight, bias, (2, 1), (1, 2), (1, 2), 2)
    each = np.ones((4, 1, 2, 3)), np.zeros(4), (2, 2), (0, 1), (1, 1), 4
    y = correlate(y, *each)
    y = correlate(y, np.full((4, 1, 1, 2), 0.5), np.zeros(4), (1, 2), (0, 0), (1, 1), 4)
    np.testing.assert_allclose(got[1, 2], y.reshape(4, 4), atol=1e-5)
    got = run(
        nir.NIRGraph.from_list(nir.Conv1d(6, one, 1, "same", 1, 1, offset)), x[:, :, :, 0, :6]
    )
    want = correlate(x[1, 2, :, :1, :6], one[:, :, None], offset, (1, 1), (0, 1), (1, 1), 1)
    np.testing.assert_allclose(got[1, 2], want[:, 0], atol=1e-5)


def test_branches_join_in_a_sum_and_delays_wait(draw):
    scale, late = draw.normal(size=3), np.array([0.0, 2.0, 5.0]) * DT
    weight, bias = draw.normal(size=(3, 3)), draw.normal(size=3)
    nodes = {
        "in": nir.Input(np.array([3])),
        "scale": nir.Scale(scale),
        "delay": nir.Delay(late),
        "affine": nir.Affine(weight, bias),
        "fire": nir.Threshold(np.full(3, 0.2)),
        "out": nir.Output(np.array([3])),
    }
    edges = [("in", "scale"), ("in", "delay"), ("delay", "affine"), ("affine", "fire")]
    edges += [("fire", "out"), ("scale", "fire")]
    x = draw.normal(size=(8, 3)).astype(np.float32)
    want = x * scale
    for t in range(8):
        back = np.array([x[t - d, k] if t >= d else 0 for k, d in enumerate((0, 2, 5))])
        want[t] += weight @ back + bias
    np.testing.assert_array_equal(run(nir.NIRGraph(nodes, edges), x), want > 0.2)


def loop_graph(draw):
    """Two populations that drive each other, one back through a delay of two steps."""
    nodes = {
        "in": nir.Input(np.array([3])),
        "a": make(draw, "LIF", 3),
        "forth": nir.Affine(draw.normal(size=(2, 3)), draw.normal(0.5, 0.1, size=2)),
        "b": make(draw, "CubaLIF", 2),
        "late": nir.Delay(np.full(2, 2 * DT)),
        "back": nir.Affine(draw.normal(size=(3, 2)), draw.normal(size=3)),
        "self": nir.Affine(draw.normal(size=(3, 3)), draw.normal(0, 0.3, size=3)),
        "out": nir.Output(np.array([2])),
    }
    edges = [("in", "a"), ("a", "forth"), ("forth", "b"), ("b", "late"), ("late", "back")]
    edges += [("back", "a"), ("a", "self"), ("self", "a"), ("b", "out")]
    return nodes, edges


def wrapped(graph):
    """The same graph as a node of another."""
    outer = {"input": nir.Input(np.array([3])), "net": graph, "output": nir.Output(np.array([2]))}
    return nir.NIRGraph(outer, [("input", "net"), ("net", "output")])


def test_what_comes_back_comes_a_step_later_or_as_late_as_its_delay(draw):
    nodes, edges = loop_graph(draw)
    x = draw.normal(0.5, 1, (STEPS, 3)).astype(np.float32)
    a, b = Loop(nodes["a"]), Loop(nodes["b"])

    def affine(name, z):
        return nodes[name].weight @ z + nodes[name].bias

    mine, theirs, want = np.zeros(3), [np.zeros(2)] * 2, []
    for i in x:
        mine = a(i + affine("back", theirs[-2]) + affine("self", mine))
        theirs.append(b(affine("forth", mine)))
        want.append(theirs[-1])
    assert 0.05 < np.mean(want) < 0.95
    np.testing.assert_array_equal(run(wrapped(nir.NIRGraph(nodes, edges)), x), want)


def test_a_bias_that_comes_back_is_there_from_the_first_step(draw):
    nodes = {
        "in": nir.Input(np.array([3])),
        "a": make(draw, "LI", 3),
        "self": nir.Affine(draw.normal(0, 0.3, size=(3, 3)), draw.normal(size=3)),
        "out": nir.Output(np.array([3])),
    }
    edges = [("in", "a"), ("a", "self"), ("self", "a"), ("a", "out")]
    x = draw.normal(size=(5, 3)).astype(np.float32)
    loop, v, want = Loop(nodes["a"]), np.zeros(3), []
    for i in x:
        v = loop(i + nodes["self"].weight @ v + nodes["self"].bias)
        want.append(v)
    np.testing.assert_allclose(run(nir.NIRGraph(nodes, edges), x), want, atol=1e-5)


def test_a_subgraph_s_weights_are_found_and_given_back(draw):
    nodes, edges = loop_graph(draw)
    network, variables = from_nir(wrapped(nir.NIRGraph(nodes, edges)), dt=DT)
    assert set(variables["params"]) == {"net.forth", "net.back", "net.self"}
    doubled = jax.tree.map(lambda w: 2 * w, variables)
    back = models.to_nir(network, doubled, np.zeros((1, 3)))
    np.testing.assert_allclose(back.nodes["net"].nodes["self"].weight, 2 * nodes["self"].weight)


def test_its_weights_are_trained_and_init_gives_the_graphs(draw):
    weight = draw.normal(size=(3, 2)).astype(np.float32)
    graph = nir.NIRGraph.from_list(nir.Linear(weight), make(draw, "LIF", 3))
    network, variables = from_nir(graph, dt=DT)
    x = jnp.asarray(draw.normal(0.5, 1, (2, 5, 2)), jnp.float32)
    made = jax.jit(network.init)(jax.random.key(3), x)
    np.testing.assert_array_equal(made["params"]["linear"]["weight"], weight)
    grads = jax.jit(jax.grad(lambda v: network.apply(v, x).sum()))(variables)
    assert np.abs(grads["params"]["linear"]["weight"]).min() > 0
    half = jax.tree.map(lambda w: w.astype(jnp.bfloat16), variables)
    assert jax.eval_shape(network.apply, half, x.astype(jnp.bfloat16)).dtype == jnp.bfloat16


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_node_and_what_is_needed(draw, tmp_path):
    neuron = make(draw, "LIF")
    graph = nir.NIRGraph.from_list(neuron)
    with pytest.raises(ValueError, match=r"node 'lif' has `tau` down to .* at least `dt`, 1\.0"):
        from_nir(graph, dt=1.0)
    with pytest.raises(ValueError, match="`dt` is -1"):
        from_nir(graph, dt=-1)
    with pytest.raises(TypeError, match=r"`graph` is of type dict; it needs an nir.NIRGraph or a"):
        from_nir({})
    with pytest.raises(FileNotFoundError, match=r"from_nir: there is no file .*none\.nir"):
        from_nir(tmp_path / "none.nir")
    damaged = tmp_path / "damaged.nir"
    models.to_nir(*from_nir(graph, dt=DT), np.zeros((1, 1, 4)), path=damaged)
    damaged.write_bytes(damaged.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"damaged\.nir is no NIR graph or damaged"):
        from_nir(damaged)
    network, variables = from_nir(graph, dt=DT)
    with pytest.raises(ValueError, match=r"`inputs` is an array of shape \(5, 3\).*time, 4\)"):
        network.apply(variables, jnp.zeros((5, 3)))

    class Odd(nir.NIRNode):
        def __init__(self):
            self.input_type, self.output_type = {"input": None}, {"output": None}

    nodes = {"input": nir.Input(np.array([4])), "output": nir.Output(np.array([4])), "odd": Odd()}
    edges = [("input", "odd"), ("odd", "output")]
    with pytest.raises(ValueError, match="node 'odd' is of type Odd; it needs one of Affine, Avg"):
        from_nir(nir.NIRGraph(nodes, edges, type_check=False))
    nodes["odd"] = nir.Scale(np.ones(4))
    with pytest.raises(ValueError, match="cycle odd -> odd needs a neuron or a delay"):
        from_nir(nir.NIRGraph(nodes, [*edges, ("odd", "odd")], type_check=False))
    with pytest.raises(ValueError, match="edges that lead to the node 'odd'"):
        from_nir(nir.NIRGraph(nodes, [("input", "output")], type_check=False))
    nodes["odd"] = nir.Linear(np.ones((4, 3)))
    network, variables = from_nir(nir.NIRGraph(nodes, edges, type_check=False))
    with pytest.raises(ValueError, match=r"node 'odd' cannot take data of shape \(4,\)"):
        network.apply(variables, jnp.zeros((5, 4)))
