"""Networks of ours out and in again: the same spikes, bit for bit, and the same weights."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnn import models
from jaxnn.layers import spiking
from jaxnn.models import SpikingMLP, from_nir, to_nir

nir = pytest.importorskip("nir")

ZERO, SUBTRACT, NONE = spiking.reset_to_zero, spiking.reset_by_subtraction, spiking.no_reset


def drawn(model, x, seed=0, mean=0.1, scale=1.0):
    """Variables large enough for units to fire, all different."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), x)
    draw = np.random.default_rng(seed)
    return jax.tree.map(
        lambda s: jnp.asarray(
            draw.normal(mean, scale * max([2, *s.shape[:1]]) ** -0.5, s.shape), s.dtype
        ),
        shapes,
    )


def sequence(*shape, seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(0.2, 2, shape), jnp.float32)


def same(model, x, path=None, swap=False, **options):
    """Compare a network with its graph's; give the graph."""
    variables = drawn(model, x, **options)
    graph = to_nir(model, variables, x, path=path)
    network, theirs = from_nir(graph if path is None else path)
    want = jax.jit(model.apply)(variables, x)
    got = jax.jit(network.apply)(theirs, jnp.asarray(np.moveaxis(x, -1, 2) if swap else x))
    np.testing.assert_array_equal(got, want)
    assert 0.05 < np.mean(want) < 0.95
    return graph, variables, theirs


# Initialised by nn.RNN, a constant parameter is a NumPy number, which the annotations refuse.
@pytest.mark.usefixtures("unchecked")
def test_every_neuron_comes_back(tmp_path):
    cells = {
        "LIF": spiking.LeakyCell(0.8, learn_decay=True, learn_threshold=True, reset=ZERO),
        "CubaLIF": spiking.SynapticCell(0.5, 0.7, learn_decay=True, reset=ZERO),
        "IF": spiking.IntegrateCell(reset=ZERO),
        "I": spiking.IntegrateCell(reset=NONE),
        "CubaLI": spiking.SynapticCell(0.5, 0.7, reset=NONE),
        "LI": spiking.LapicqueCell(capacitance=3.0, reset=NONE),
        "NIRGraph": spiking.SynapticCell(0.5, 0.7, reset=SUBTRACT),
        "": spiking.ParametricLeakyCell(reset=SUBTRACT),
    }
    layers = [[nn.Dense(5), nn.RNN(cell)] for cell in cells.values()]
    model = nn.Sequential([layer for pair in layers for layer in pair])
    path = tmp_path / "net.nir"
    graph, variables, theirs = same(model, sequence(2, 9, 5), path=path, mean=0.4)
    for i, kind in enumerate(cells):
        name = f"layers_{2 * i + 1}"
        node = graph.nodes.get(name) or graph.nodes[f"{name}_membrane"]
        assert type(node).__name__ == (kind or "NIRGraph")
        kernel = variables["params"][f"layers_{2 * i}"]["kernel"]
        np.testing.assert_array_equal(theirs["params"][f"layers_{2 * i}"]["weight"], kernel.T)


def test_recurrent_cells_come_back():
    inner = [spiking.SynapticCell(0.3, 0.6, reset=ZERO), spiking.LeakyCell(0.6, reset=SUBTRACT)]
    cells = [nn.RNN(spiking.RecurrentCell(cell)) for cell in inner]
    model = nn.Sequential([nn.Dense(6), cells[0], nn.Dense(4), cells[1]])
    graph, variables, theirs = same(model, sequence(2, 9, 5))
    assert set(graph.nodes["layers_1"].nodes) == {"input", "lif", "w_rec", "output"}
    kernel = variables["params"]["layers_1"]["cell"]["feedback"]["kernel"]
    np.testing.assert_array_equal(theirs["params"]["layers_1.w_rec"]["weight"], kernel.T)


def test_images_are_put_channels_first():
    """A flatten's units come in another order; the layers after it take them so."""
    pool = functools.partial(nn.avg_pool, window_shape=(2, 2), strides=(2, 1))
    recurrent = spiking.RecurrentCell(spiking.LeakyCell(0.6, learn_decay=True, reset=ZERO))
    layers: list = [
        nn.Conv(4, (3, 2), padding=((1, 1), (0, 0)), feature_group_count=2),
        pool,
        spiking.Leaky(0.7, learn_threshold=True, reset=ZERO, time_axis=1),
        nn.Conv(2, (3, 3), strides=(1, 2), kernel_dilation=(1, 1), use_bias=False),
        lambda x: x.reshape(*x.shape[:2], -1),
        nn.RNN(recurrent),
        nn.Dense(5),
        spiking.Leaky(0.5, reset=ZERO),
    ]
    same(nn.Sequential(layers), sequence(2, 6, 7, 7, 2), swap=True)
    line = [nn.Conv(3, (3,), padding="VALID"), spiking.Leaky(reset=ZERO, time_axis=1)]
    line += [layers[4], nn.Dense(5), spiking.Leaky(reset=ZERO)]
    same(nn.Sequential(line), sequence(2, 6, 7, 2), swap=True)


def test_delayed_synapses_and_the_readout():
    layers = [spiking.DelayedDense(4, max_delay=3), spiking.LeakyIntegrator(0.7)]
    model, x = nn.Sequential(layers), sequence(2, 9, 3)
    variables = drawn(model, x)
    delay = np.array([[0, 1, 3.4, 1.6], [0, 3, -1, 0.5], [2, 2, 2, 1.5]], np.float32)
    variables["params"]["layers_0"]["delay"] = jnp.asarray(delay)
    graph = to_nir(model, variables, x)
    assert {name for name in graph.nodes["layers_0"].nodes if name.startswith("delay")} == {
        f"delay_{n}" for n in (0, 1, 2, 3)
    }
    network, theirs = from_nir(graph)
    want = jax.jit(model.apply)({"params": variables["params"]}, x)
    np.testing.assert_allclose(jax.jit(network.apply)(theirs, x), want, atol=1e-5)


def test_a_spiking_mlp_is_what_it_does_at_each_step():
    model = SpikingMLP((7, 6, 3), time_steps=5)
    x = sequence(4, 2, 3)
    variables = drawn(model, x)
    graph = models.to_nir(model, variables, x, dt=1.0)
    network, theirs = from_nir(graph, dt=1.0)
    steps = np.repeat(x.reshape(4, 1, 6), 5, axis=1)
    got = jax.jit(network.apply)(theirs, jnp.asarray(steps))
    np.testing.assert_allclose(got.mean(1), jax.jit(model.apply)(variables, x), atol=1e-6)
    assert np.abs(got).min() > 0


def test_a_file_is_whole_and_can_be_read_by_others(tmp_path):
    model, x = nn.Sequential([nn.Dense(3), spiking.Leaky(0.9, reset=ZERO)]), sequence(1, 2, 4)
    variables = drawn(model, x)
    graph = to_nir(model, variables, x, path=tmp_path / "sub" / "net.nir")
    assert [p.name for p in (tmp_path / "sub").iterdir()] == ["net.nir"]
    read = nir.read(tmp_path / "sub" / "net.nir")  # with the package's own check of shapes
    assert (
        read.edges
        == graph.edges
        == [
            ("input", "layers_0"),
            ("layers_0", "layers_1"),
            ("layers_1", "output"),
        ]
    )
    np.testing.assert_allclose(read.nodes["layers_1"].tau, 1e-3)
    np.testing.assert_allclose(read.nodes["layers_1"].r, 10)
    np.testing.assert_array_equal(
        read.nodes["layers_0"].weight, variables["params"]["layers_0"]["kernel"].T
    )


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("layer", "kind", "match"),
    [
        (nn.LayerNorm(), TypeError, "layer 'layers_0' is of type LayerNorm; it needs nn.Seq"),
        (jnp.abs, TypeError, "layer 'layers_0' is of type"),
        (nn.relu, TypeError, "layer 'layers_0' is of type"),
        (nn.RNN(spiking.AdaptiveCell()), TypeError, "layer 'layers_0' is of type AdaptiveCell"),
        (nn.RNN(nn.GRUCell(3)), TypeError, "layer 'layers_0' is of type GRUCell"),
        (spiking.Leaky(time_axis=0), ValueError, r"`layers_0.time_axis` is 0; it needs axis 1"),
        (spiking.Leaky(reset=lambda u, s, t: u - s), ValueError, "`layers_0.reset` is .*reset_to"),
        (nn.RNN(spiking.LeakyCell(), reverse=True), ValueError, "`layers_0.reverse` is True"),
        (
            nn.RNN(spiking.SynapticCell(1.0, 0.5, reset=ZERO)),
            ValueError,
            "`layers_0.decay` is 0.5; it needs both its decays below 1",
        ),
        (nn.Conv(2, (2,), padding="SAME"), ValueError, "one axis|that many axes"),
    ],
)
def test_what_has_no_form_is_named(layer, kind, match):
    model = nn.Sequential([layer])
    x = np.zeros((1, 2, 3), np.float32)
    params = {"layers_0": {"kernel": np.ones((2, 3, 2))}} if isinstance(layer, nn.Conv) else {}
    with pytest.raises(kind, match=match):
        to_nir(model, {"params": params}, x)


@pytest.mark.usefixtures("unchecked")
def test_other_errors(monkeypatch):
    model, x = nn.Sequential([nn.Dense(3)]), np.zeros((1, 2, 3), np.float32)
    with pytest.raises(TypeError, match=r"has the parameters .*Were `variables` those of this"):
        to_nir(model, {"params": {}}, x)
    with pytest.raises(ValueError, match=r"`example` is .*\(batch, time, ...\)"):
        to_nir(model, {}, x[0])
    with pytest.raises(ValueError, match="`dt` is 0"):
        to_nir(model, {}, x, dt=0)
    conv = nn.Sequential([nn.Conv(2, (2, 2), padding="SAME")])
    params = {"layers_0": {"kernel": np.ones((2, 2, 1, 2))}}
    with pytest.raises(ValueError, match=r"`layers_0.padding` is 'SAME'; it needs as much on both"):
        to_nir(conv, {"params": params}, np.zeros((1, 1, 4, 4, 1)))
    monkeypatch.setitem(__import__("sys").modules, "nir", None)
    for call in (lambda: to_nir(model, {}, x), lambda: from_nir("a.nir")):
        with pytest.raises(
            ImportError, match=r"_nir: needs the package nir; pip install 'jaxnn\[n"
        ):
            call()
