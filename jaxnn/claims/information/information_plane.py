"""The information plane of small networks: counting checked, compression watched."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.analysis import information
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator
from jaxnn.claims.information import _bits

SEEDS, STAGES, STEPS = 5, 30, 150
BITS = float(np.log(2))


def identities(key: jax.Array) -> list[Check]:
    """What all layers know is known by those before, for any network, and counted exactly."""
    random = generator(key)
    x = jnp.asarray(_bits.inputs())
    layers, rows = {"x": x}, x
    for i, (a, b) in enumerate(itertools.pairwise(_bits.SIZES)):
        # Every layer sees the bins of the one before: a chain of discrete states.
        states = information.bin_uniform(jnp.tanh(rows @ _normal(random, (a, b), 2 / np.sqrt(a))))
        layers[f"layer {i}"] = rows = (states.astype(jnp.float32) - 14.5) / 15
    labels = jnp.asarray(random.integers(0, 2, 4096))
    points = jax.jit(partial(information.information_plane, estimator=_binned))(layers, labels)
    # jit sorts the names.
    of_inputs, of_labels = np.asarray([list(points[name]) for name in layers]).T / BITS
    return [
        Check("what the input tells of itself, bits", of_inputs[0], "=", 12.0, 1e-5),
        Check(
            "largest rise of I(X; T) from layer to layer, bits",
            np.diff(of_inputs).max(),
            "<=",
            1e-5,
        ),
        Check("fall of it from first to last layer, bits", of_inputs[0] - of_inputs[-1], ">", 1.0),
        Check(
            "largest rise of I(T; Y) from layer to layer, bits",
            np.diff(of_labels).max(),
            "<=",
            1e-5,
        ),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """Binned information against scikit-learn's on the same bins."""
    from sklearn.metrics import mutual_info_score

    random = generator(key)
    t = np.tanh(random.normal(size=(1000, 3)))
    labels = random.integers(0, 2, 1000) ^ (t[:, 0] > 0)
    with jax.enable_x64(True):
        point = information.binned_information(jnp.asarray(t), jnp.asarray(labels))
    states = np.clip(np.floor((t + 1) / 2 * 30), 0, 29) @ [900, 30, 1]
    return [
        Check(
            "I(X; T) less scikit-learn's, bits",
            (float(point.inputs) - mutual_info_score(states, np.arange(1000))) / BITS,
            "=",
            0.0,
            1e-6,
        ),
        Check(
            "I(T; Y) less scikit-learn's, bits",
            (float(point.labels) - mutual_info_score(states, labels)) / BITS,
            "=",
            0.0,
            1e-6,
        ),
    ]


def effects(key: jax.Array) -> list[Check]:
    """Networks 12-10-7-5-4-3-2 on planted rules, hyperbolic tangents against rectifiers.

    Tangents get 30 bins from -1 to 1, rectifiers 30 from 0 to the largest value of the layer at
    that time. Both have the same rules, batches and starts.
    """
    networks = _bits.draw(
        generator(key), SEEDS, [(0.0, 0.0), (1.0, 0.0)], stages=STAGES, steps=STEPS
    )

    def measure(layers, network):
        t = layers[-2]
        rectified = network.rectified > 0
        low = jnp.where(rectified, 0.0, -1.0)
        high = jnp.where(rectified, jnp.maximum(jnp.max(t), 1e-6), 1.0)
        return information.binned_information(t, network.labels, low=low, high=high)

    seen, ratios, accuracy = _bits.watch(networks, measure, gradients=True)
    known = np.asarray(seen.inputs).reshape(2, SEEDS, -1) / BITS
    told = np.asarray(seen.labels).reshape(2, SEEDS, -1) / BITS
    drops = (known.max(-1) - known[..., -1]).mean(1)
    # Of all layers together, at the first look and at the last.
    ratio = np.asarray(ratios)[:SEEDS].mean(2)
    return [
        Check("tangents: held-out accuracy, %", 100 * np.mean(accuracy[:SEEDS]), ">", 75),
        Check(
            "tangents: I(T; Y) of the last hidden layer, rise in bits",
            told[0, :, -1].mean() - told[0, :, 0].mean(),
            ">",
            0.0,
        ),
        Check("tangents: fall of its I(X; T) from its peak, bits", drops[0], ">=", 0.3),
        Check("and more than of the rectifiers', by, bits", drops[0] - drops[1], ">", 0.0),
        Check(
            "gradient's mean over its deviation, at most before the end",
            ratio.max(1).mean(),
            ">",
            1.0,
        ),
        Check("and in the end", ratio[:, -1].mean(), "<", 1.0),
    ]


_binned = information.binned_information


def _normal(random: np.random.Generator, shape: tuple[int, ...], scale: float) -> jax.Array:
    return jnp.asarray(scale * random.normal(size=shape), jnp.float32)


CLAIM = Claim(
    name="information-plane",
    title="Opening the Black Box of Deep Neural Networks via Information",
    year=2017,
    says="most of training goes into forgetting the input: what the last layers know of it falls "
    "from a peak while what they know of the label stays",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
