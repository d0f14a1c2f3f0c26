r"""Layers around black boxes learn without a derivative of the boxes.

Each of two layers is a device that is fixed and unknown, followed by a trainable affine map of 200
outputs. The device, computed by NumPy behind ``jax.pure_callback``, which JAX refuses to
differentiate, mixes its inputs by fixed random weights, bends them by a sine and hands on 200
values: see ``_Device``. The library's digits, flattened, with the label before the pixels; the maps
learn by forward-forward, 350 steps of Adam at rate 0.001 in batches of 64, threshold 0.1 a unit,
uniform wrong labels, and a label's goodness over both layers decides. The baseline is a logistic
regression, on pixels without labels, of what both layers with their maps left as drawn give out.
Drift, after training: a third of every mixing weight's variance is drawn anew, and training goes on
for as many steps again. Means of two networks.

That learning beats maps left as drawn does not hold: at seeds 0 to 2 it ends 3.8, 1.8 and 3.2
points below (94.2, 95.4 and 95.6 points), as random features of this number already separate these
digits. Tried before: 600 steps, 0.4 below at seed 0 (97.2); 1400 steps, 0.3 below (98.1); and maps
of 50 outputs with 700 steps, 12.4 below (82.9).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator
from jaxnn.claims.training import _local
from jaxnn.train import local_learning

UNITS, CLASSES, STEPS, SEEDS = 200, 10, 350, 2


class _Device:
    """A fixed map ``sin(2 m x + p)``, m random of gain 1, whose weights can drift."""

    def __init__(self, random: np.random.Generator, inputs: int, outputs: int):
        self.random = random
        self.mixing = random.normal(size=(inputs, outputs)) / inputs**0.5
        self.phase = random.uniform(0, 2 * np.pi, outputs)

    def drift(self, share: float) -> None:
        new = self.random.normal(size=self.mixing.shape) / len(self.mixing) ** 0.5
        self.mixing = np.sqrt(1 - share) * self.mixing + np.sqrt(share) * new

    def measure(self, x) -> np.ndarray:
        mixed = 2 * np.asarray(x, np.float32) @ self.mixing.astype(np.float32)
        return np.sin(mixed + self.phase.astype(np.float32))

    def __call__(self, x: jax.Array) -> jax.Array:
        shape = jax.ShapeDtypeStruct((len(x), len(self.phase)), jnp.float32)
        return jax.pure_callback(self.measure, shape, x)


def identities(key: jax.Array) -> list[Check]:
    """The program of a step calls each device forward alone, and the maps learn nonetheless."""
    random = generator(key)
    network, devices = _network(random, inputs=4, classes=3, units=6)
    x = jnp.asarray(random.uniform(size=(6, 4)), jnp.float32)
    y = jnp.asarray(random.integers(0, 3, 6))
    params = _local.initialise(random, network, x)
    gradients = local_learning.forward_forward(network)
    program = str(jax.make_jaxpr(gradients)(params, (x, y), key))
    try:
        jax.grad(lambda x: jnp.sum(devices[0](x)))(jnp.ones((1, 7)))
        refused = False
    except ValueError:
        refused = True
    return [
        Check(
            "calls of devices in a step, two layers and two labels",
            program.count("pure_callback["),
            "=",
            4,
        ),
        Check("a device's derivative is refused", float(refused), "=", 1),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """The maps' gradients against the formulas in NumPy."""
    random = generator(key)
    network, devices = _network(random, inputs=4, classes=3, units=6)
    x, y = random.uniform(size=(6, 4)), random.integers(0, 3, 6)
    params = _local.initialise(random, network, jnp.asarray(x, jnp.float32))
    batch = jnp.asarray(x, jnp.float32), jnp.asarray(y)
    found, _ = jax.jit(local_learning.forward_forward(network))(params, batch, key)
    wrong = np.asarray(local_learning.draw_wrong_labels(key, batch[1], 3))
    names = [f"layers_{i}" for i in range(2)]
    kernels = [np.asarray(params[name]["layers_1"]["kernel"], float) for name in names]
    wanted = [np.zeros_like(w) for w in kernels]
    for labels, sign in ((y, -1), (wrong, 1)):
        h = np.concatenate([np.eye(3)[labels] * x.max(-1, keepdims=True), x], axis=-1)
        for i, (device, w) in enumerate(zip(devices, kernels, strict=True)):
            seen = device.measure(h)
            out = seen @ w
            good = (out**2).sum(-1, keepdims=True)
            slope = sign / (1 + np.exp(-sign * (good - out.shape[-1])))
            wanted[i] += seen.T @ (slope * 2 * out) / len(x)
            h = out * np.sqrt(out.shape[-1]) / np.sqrt(good)
    errors = [
        np.abs(found[name]["layers_1"]["kernel"] - w).max() / np.abs(w).max()
        for name, w in zip(names, wanted, strict=True)
    ]
    return [Check("gradients against NumPy, relative", max(errors), "<=", 1e-4)]


def effects(key: jax.Array) -> list[Check]:
    """Digits through two devices, against maps left as drawn, and after the devices drift."""
    random = generator(key)
    x, y, test_x, test_y = _local.digits()
    network, devices = _network(random, inputs=64, classes=CLASSES, units=UNITS)
    loss = functools.partial(local_learning.goodness_loss, threshold=0.1)
    run = _local.trainer(local_learning.forward_forward(network, loss=loss), optax.adam(1e-3))
    predict = jax.jit(lambda params: _local.apply(network, params, test_x).argmax(-1))

    def accuracy(params) -> float:
        return 100 * float(np.mean(np.asarray(predict(params)) == test_y))

    rows = []
    for seed in range(SEEDS):
        start = _local.initialise(random, network, jnp.asarray(x[:2]))
        draws = jax.random.fold_in(key, seed)
        learned = run(start, _local.shuffled(random, x, y, steps=STEPS), draws)
        first, readout = accuracy(learned), _readout(devices, start, x, y, test_x, test_y)
        for device in devices:
            device.drift(1 / 3)
        drifted = accuracy(learned)
        again = run(learned, _local.shuffled(random, x, y, steps=STEPS), draws)
        rows.append([first, readout, drifted, accuracy(again)])
    first, readout, drifted, again = np.mean(rows, axis=0)
    return [
        Check("accuracy, points", first, ">=", 90),
        Check("above a readout of maps left as drawn, points", first - readout, ">=", 2),
        Check("lost when the devices drift, points", first - drifted, ">=", 5),
        Check("below before, after more training, points", first - again, "<=", 5),
    ]


def _network(random: np.random.Generator, *, inputs: int, classes: int, units: int):
    devices = [_Device(random, inputs + classes, units), _Device(random, units, units)]
    layers = [nn.Sequential([device, nn.Dense(units)]) for device in devices]
    return local_learning.ForwardForward(layers, classes, skip=0), devices


def _readout(devices: list[_Device], params, x, y, test_x, test_y) -> float:
    from sklearn.linear_model import LogisticRegression

    def features(x):
        h, outputs = np.pad(x, ((0, 0), (CLASSES, 0))), []
        for i, device in enumerate(devices):
            h = device.measure(h) @ np.asarray(params[f"layers_{i}"]["layers_1"]["kernel"])
            h = h * np.sqrt(h.shape[-1]) / np.linalg.norm(h, axis=-1, keepdims=True)
            outputs.append(h)
        return np.concatenate(outputs, axis=-1)

    model = LogisticRegression(max_iter=300).fit(features(x), y)
    return 100 * model.score(features(test_x), test_y)


CLAIM = Claim(
    name="physical-local-learning",
    title="Backpropagation-free Training of Deep Physical Neural Networks",
    year=2023,
    says="maps between devices that nobody can differentiate learn by losses of their own layers",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
