"""Graphs exchanged with snnTorch and spyx: the same spikes at every step."""

import contextlib
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnn.layers import spiking
from jaxnn.models.nir import from_nir, to_nir
from tests.models.nir.test_export import NONE, SUBTRACT, ZERO, drawn

nir = pytest.importorskip("nir")
pytestmark = pytest.mark.filterwarnings("ignore")  # theirs


@pytest.fixture
def x():
    return np.random.default_rng(1).normal(0.2, 1, (16, 2, 5)).astype(np.float32)


def ours(model, variables, x):
    """Run over (time, batch, ...)."""
    y = jax.jit(model.apply)(variables, jnp.asarray(np.moveaxis(x, 0, 1)))
    return np.moveaxis(np.asarray(y), 1, 0)


def assert_spikes(got, want):
    assert 0.05 < np.mean(want) < 0.95
    np.testing.assert_array_equal(got, want)


class TestSnnTorch:
    """snnTorch 1.0 through its own ``export_to_nir`` and ``import_from_nir``."""

    @pytest.fixture(autouse=True)
    def packages(self):
        self.torch = pytest.importorskip("torch")
        self.snn = pytest.importorskip("snntorch")
        pytest.importorskip("nirtorch")

    def export(self, net, sample):
        export_nir = pytest.importorskip("snntorch.export_nir")
        with contextlib.redirect_stdout(io.StringIO()):
            graph = export_nir.export_to_nir(net, self.torch.tensor(sample), ignore_dims=[0])
        for layer in net:  # their sample leaves its traces
            for field in ("spk", "syn", "mem"):
                if hasattr(layer, field):
                    setattr(layer, field, self.torch.zeros(0))
        return graph

    def theirs(self, graph, x):
        import_nir = pytest.importorskip("snntorch.import_nir")
        with contextlib.redirect_stdout(io.StringIO()):
            net = import_nir.import_from_nir(graph)
        outputs, state = [], None
        with self.torch.no_grad():
            for step in x:
                y, state = net(self.torch.tensor(step), state)
                outputs.append(y.numpy())
        return np.array(outputs)

    @pytest.mark.parametrize(
        "cell",
        [
            spiking.LeakyCell(0.8, reset=ZERO),
            spiking.SynapticCell(0.5, 0.8, reset=ZERO),
            spiking.RecurrentCell(spiking.LeakyCell(0.7, reset=ZERO)),
            spiking.RecurrentCell(spiking.SynapticCell(0.5, 0.6, reset=ZERO)),
        ],
        ids=["leaky", "synaptic", "recurrent", "recurrent synaptic"],
    )
    def test_runs_our_networks(self, x, cell):
        second = spiking.Leaky(0.7, reset=ZERO)
        model = nn.Sequential([nn.Dense(6), nn.RNN(cell), nn.Dense(4), second])
        variables = drawn(model, jnp.asarray(np.moveaxis(x, 0, 1)))
        graph = to_nir(model, variables, np.moveaxis(x, 0, 1))
        assert_spikes(self.theirs(graph, x), ours(model, variables, x))

    def test_runs_our_images(self):
        """One at a time: they flatten the batch too."""
        x = np.random.default_rng(2).normal(0.2, 1, (8, 1, 6, 6, 2)).astype(np.float32)
        layers = [
            nn.Conv(4, (3, 3), padding="SAME"),
            spiking.Leaky(0.7, reset=ZERO, time_axis=1),
            lambda x: x.reshape(*x.shape[:2], -1),
            nn.Dense(5),
            spiking.Leaky(0.5, reset=ZERO),
        ]
        model = nn.Sequential(layers)
        variables = drawn(model, jnp.asarray(np.moveaxis(x, 0, 1)), mean=0.0)
        graph = to_nir(model, variables, np.moveaxis(x, 0, 1))
        got = self.theirs(graph, np.moveaxis(x, -1, 2))
        assert_spikes(got.reshape(8, 1, 5), ours(model, variables, x))

    def network(self, neuron, reset):
        """Theirs, of one neuron after the other."""
        torch, options = self.torch, {"reset_mechanism": reset, "init_hidden": True}
        torch.manual_seed(0)
        decay, other = torch.full((6,), 0.8), torch.full((6,), 0.5)
        made = {
            "Leaky": lambda o: self.snn.Leaky(decay, threshold=torch.ones(6), **o),
            "Synaptic": lambda o: self.snn.Synaptic(other, decay, threshold=torch.ones(6), **o),
            "RLeaky": lambda o: self.snn.RLeaky(decay, linear_features=6, **o),
            "RSynaptic": lambda o: self.snn.RSynaptic(other, decay, linear_features=6, **o),
        }
        # Their RSynaptic fails without the delay of its reset.
        late = neuron == "RSynaptic"
        dense = torch.nn.Linear(5, 6)
        dense.bias.data += 0.1
        return torch.nn.Sequential(dense, made[neuron]({**options, "reset_delay": late}))

    @pytest.mark.parametrize(
        ("neuron", "name", "reset"),
        [
            ("Leaky", "zero", None),
            ("Leaky", "subtract", SUBTRACT),
            ("Synaptic", "zero", None),
            ("RLeaky", "zero", None),
            ("RLeaky", "subtract", SUBTRACT),
            ("RSynaptic", "none", NONE),
            ("RSynaptic", "subtract", lambda u, s, theta: u - theta / 0.8 * s),  # a step late
        ],
    )
    def test_its_networks_run_here(self, x, neuron, name, reset):
        net = self.network(neuron, name)
        graph = self.export(net, x[0, :1])
        with self.torch.no_grad():
            want = np.array([net(self.torch.tensor(step)).numpy() for step in x])
        assert_spikes(ours(*from_nir(graph, reset=reset), x), want)

    def test_its_images_run_here(self):
        torch = self.torch
        torch.manual_seed(0)
        spread = torch.ones(3, 5, 5)
        net = torch.nn.Sequential(
            torch.nn.Conv2d(2, 3, 2, stride=1),
            self.snn.Leaky(
                0.7 * spread,
                threshold=0.4 * spread,
                reset_mechanism="zero",
                reset_delay=False,
                init_hidden=True,
            ),
            torch.nn.AvgPool2d((2, 2), stride=(1, 1)),
            torch.nn.Flatten(),
            torch.nn.Linear(48, 3),
        )
        x = np.random.default_rng(2).normal(0.2, 1, (8, 2, 2, 6, 6)).astype(np.float32)
        graph = self.export(net, x[0, :1])
        with torch.no_grad():
            want = np.array([net(torch.tensor(step)).numpy() for step in x])
        np.testing.assert_allclose(ours(*from_nir(graph), x), want, atol=1e-5)
        assert np.ptp(want) > 0.1


class TestSpyx:
    """spyx 1.0 through its own ``to_nir`` and ``from_nir``."""

    @pytest.fixture(autouse=True)
    def packages(self):
        self.nnx = pytest.importorskip("flax.nnx")
        self.spyx = pytest.importorskip("spyx.nn")
        self.nir = pytest.importorskip("spyx.nir")

    def test_runs_our_networks_without_reset(self, x):
        """Their other neurons have no reset to a value, the only one of NIR."""
        layers = [nn.Dense(6), spiking.Leaky(0.8, reset=NONE), nn.Dense(4)]
        model = nn.Sequential([*layers, spiking.Leaky(0.6, threshold=1.5, reset=NONE)])
        variables = drawn(model, jnp.asarray(np.moveaxis(x, 0, 1)))
        graph = to_nir(model, variables, np.moveaxis(x, 0, 1), dt=1.0)
        with jax.numpy_rank_promotion("allow"):
            _, want = self.nir.from_nir(graph, jnp.asarray(x), dt=1.0)
        assert_spikes(ours(model, variables, x), np.asarray(want))

    @pytest.mark.parametrize(
        ("neuron", "reset", "late"),
        [
            ("PSU_LIF", None, 0),
            ("LIF", lambda u, s, theta: u - theta / 0.75 * s, 1),  # undecayed
            ("CuBaLIF", SUBTRACT, 1),
        ],
    )
    def test_its_networks_run_here(self, x, neuron, reset, late):
        rngs = self.nnx.Rngs(0)
        kind = getattr(self.spyx, neuron)
        cells = [kind((n,), beta=0.75, rngs=rngs) for n in (6, 4)]
        first, second = (self.nnx.Linear(*n, rngs=rngs) for n in ((5, 6), (6, 4)))
        second.kernel[...] *= 3
        net = self.spyx.Sequential(first, cells[0], second, cells[1])
        with jax.numpy_rank_promotion("allow"):
            want, _ = self.spyx.run(net, jnp.asarray(x))
        graph = self.nir.to_nir(net, {"input": np.array([5])}, {"output": np.array([4])})
        got = ours(*from_nir(graph, dt=1, reset=reset, unit_gain=True), x)
        delay = 2 * late
        assert_spikes(got[: len(x) - delay], np.asarray(want)[delay:])
