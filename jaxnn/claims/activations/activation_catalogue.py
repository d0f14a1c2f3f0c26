"""The catalogue of activations: coverage, formulas, metadata, and gains through twenty layers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.claims import Check, Claim
from jaxnn.claims.activations._formulas import evaluate
from jaxnn.layers.activations import CATALOGUE, Activation

DENSE = np.linspace(-30, 30, 6001)
FAR = np.geomspace(30, 1e12, 60)
DEPTH, WIDTH, NETWORKS, BATCH = 20, 512, 64, 8


def identities(key: jax.Array) -> list[Check]:
    """How many there are, and gains in closed form."""
    del key
    trained = sum(bool(entry.trained) for entry in CATALOGUE.values())
    leaky = CATALOGUE["leaky_relu"].gain(slope=0.2)
    return [
        Check("named activations", len(CATALOGUE), ">=", 150),
        Check("of them with trained parameters", trained, ">=", 50),
        Check("gain of ReLU, squared", CATALOGUE["relu"].gain() ** 2, "=", 2.0, 1e-3),
        Check("gain of leaky ReLU of slope 0.2, squared", leaky**2, "=", 2 / 1.04, 1e-3),
        Check("gain of SELU", CATALOGUE["selu"].gain(), "=", 1.0, 1e-3),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """Each entry against its formula in NumPy, and against jax.nn."""
    x = np.asarray(8 * jax.random.uniform(key, (256,), minval=-1.0), np.float32)

    def distance(got, want):
        return np.max(np.abs(got - want) / np.maximum(1, np.abs(want)))

    formulas = [
        distance(np.asarray(entry(jnp.asarray(x))), evaluate(entry, x))
        for entry in CATALOGUE.values()
    ]
    theirs = {
        "celu": jax.nn.celu,
        "elu": jax.nn.elu,
        "gelu": functools.partial(jax.nn.gelu, approximate=False),
        "hard_sigmoid": jax.nn.hard_sigmoid,
        "hard_swish": jax.nn.hard_swish,
        "hard_tanh": jax.nn.hard_tanh,
        "leaky_relu": jax.nn.leaky_relu,
        "selu": jax.nn.selu,
        "squareplus": jax.nn.squareplus,
        "swish": jax.nn.silu,
    }
    library = [
        distance(CATALOGUE[name](jnp.asarray(x)), np.asarray(function(x)))
        for name, function in theirs.items()
    ]
    return [
        Check("distance from the formula in NumPy, worst of all", max(formulas), "<=", 2e-5),
        Check("distance from jax.nn, worst of 10", max(library), "<=", 1e-6),
    ]


def effects(key: jax.Array) -> list[Check]:
    """Ranges and turns of all entries as listed; the mean square kept through 20 layers."""
    checks = [Check("entries whose range or turns are not as listed", _misfits(), "=", 0.0)]
    seed = np.asarray(jax.random.key_data(key)).tolist()
    for name, label in (("relu", "ReLU"), ("selu", "SELU")):
        squares = _mean_squares(CATALOGUE[name], np.random.default_rng(seed))
        worst = np.max(np.abs(squares - 1))
        checks.append(Check(f"worst of 20 layers' variances off 1, {label}", worst, "<=", 0.2))
    # Without its gain, ReLU halves the mean square at each layer.
    plain = _mean_squares(CATALOGUE["relu"], np.random.default_rng(seed), gain=1.0, networks=4)
    checks.append(Check("variance after 20 layers, ReLU without gain", plain[-1], "<=", 1e-4))
    return checks


def _misfits() -> int:
    """Count the entries that do not reach their bounds, pass them, or turn unlisted."""
    x = jnp.asarray(np.concatenate([-FAR[::-1], DENSE, FAR]), jnp.float32)
    wrong = 0
    for entry in CATALOGUE.values():
        y = np.asarray(entry(x), np.float64)
        fits = all(
            end * np.sign(bound) >= 20
            if np.isinf(bound)
            else abs(end - bound) <= 1e-4 * max(1, abs(bound))
            for bound, end in zip(entry.range, (y.min(), y.max()), strict=True)
        )
        y = np.clip(y[60:-60], -1e3, 1e3)
        falls = np.max(np.maximum.accumulate(y) - y)
        rises = np.max(y - np.minimum.accumulate(y))
        wrong += not (fits and entry.monotonic == (min(falls, rises) <= 2e-4))
    return wrong


def _mean_squares(
    entry: Activation,
    random: np.random.Generator,
    gain: float | None = None,
    networks: int = NETWORKS,
) -> np.ndarray:
    """Give each layer's mean square of pre-activations over networks, inputs and units."""
    # One network of this width wanders by 10 % a layer under ReLU, whatever its gain: the
    # variance is that over the draw of the weights.
    scale = (entry.gain() if gain is None else gain) / np.sqrt(WIDTH)
    function = jax.jit(entry)
    squares = np.zeros(DEPTH)
    for _ in range(networks):
        z = random.standard_normal((BATCH, WIDTH), np.float32)
        for layer in range(DEPTH):
            weights = scale * random.standard_normal((WIDTH, WIDTH), np.float32)
            z = np.asarray(function(z)) @ weights.astype(np.float32)
            squares[layer] += np.mean(z**2) / networks
    return squares


CLAIM = Claim(
    name="activation-catalogue",
    title="Three Decades of Activations: A Comprehensive Survey of 400 Activation Functions for "
    "Neural Networks",
    year=2024,
    says="hundreds of activation functions fit in one table of names, formulas and properties",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
