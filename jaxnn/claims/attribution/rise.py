"""RISE: its limit on a linear function, its maps and metrics by loops, digits, planted patches.

The digits' convolutional network sees 8 x 8 images; the masks have the paper's 7 x 7 cells, and
there are 4000. Insertion starts from the image blurred by a Gaussian of two pixels. Random maps
are ten, their areas averaged. The planted task is 16 x 16 of noise with one 4 x 4 pattern, whose
kind is the class and whose place is random; its masks have 4 x 4 cells.

Two settings were tried on seed 0. With 4 x 4 cells on the digits 86 % of insertion areas, not 90,
were above random maps'; with 7 x 7 it is 90. With 2000 masks 90 % of the planted patches, not 95,
were pointed at; with 4000 it is 97. So it holds at seeds 0 and 1; at seed 2, where 86 % are pointed
at, it fails.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxnn import data
from jaxnn.analysis import attribution, faithfulness
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator, train

IMAGES, STEPS, BATCH, ORDERS = 100, 300, 64, 10
PROBABILITY = 0.5
COUNTS = (250, 1000, 4000)
RUNS, ENTRIES = 20, 12
SIZE, PATCH = 16, 4


class Network(nn.Module):
    """Two convolutions and a dense layer over all positions."""

    outputs: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Give logits of (batch, height, width)."""
        x = nn.relu(nn.Conv(8, (3, 3))(x[..., None]))
        x = nn.relu(nn.Conv(16, (3, 3), strides=(2, 2))(x))
        return nn.Dense(self.outputs)(x.reshape(len(x), -1))


def identities(key: jax.Array) -> list[Check]:
    """Differences of a linear function under independent masks."""
    terms = generator(key).normal(size=ENTRIES)
    w, x = jnp.asarray(terms, jnp.float32), jnp.ones(ENTRIES)
    keys = jax.random.split(key, RUNS)
    want = (1 - PROBABILITY) * (terms - terms[0])[1:]
    sizes, worst = [], 0.0
    for samples in COUNTS:
        method = functools.partial(attribution.rise, grid=None, probability=PROBABILITY)
        one = functools.partial(method, lambda x: x @ w, x, samples=samples, batch_size=50)
        maps = np.asarray(jax.jit(jax.vmap(lambda key, one=one: one(key=key)))(keys), np.float64)
        errors = (maps - maps[:, :1])[:, 1:] - want[None]
        sizes.append(np.sqrt(np.mean(errors**2)))
        standard = errors.std(0, ddof=1) / np.sqrt(RUNS)
        worst = np.abs(errors.mean(0) / standard).max()
    slope = np.polyfit(np.log(COUNTS), np.log(sizes), 1)[0]
    return [
        Check("linear: slope of log error in log masks", slope, "=", -0.5, 0.1),
        Check(
            "linear, 4000 masks: worst S_i - S_j from (1 - p)(w_i x_i - w_j x_j), standard errors",
            worst,
            "<=",
            5.0,
        ),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """Masks by SciPy's interpolation; the map and the two metrics by loops."""
    from scipy import ndimage

    samples, cells, shape = 20, (4, 3), (8, 7)
    strides = np.ceil(np.divide(shape, cells)).astype(int)
    masks = np.asarray(attribution.rise_masks(shape, key=key, samples=samples, grid=cells))
    distances = []
    for one, mask in zip(jax.random.split(key, samples), masks, strict=True):
        grid = np.asarray(jax.random.bernoulli(jax.random.split(one)[0], 0.5, cells), float)
        size = (np.asarray(cells) + 1) * strides
        axes = [(np.arange(n) + 0.5) * c / n - 0.5 for n, c in zip(size, cells, strict=True)]
        places = np.stack(np.meshgrid(*axes, indexing="ij"))
        large = ndimage.map_coordinates(grid, places, order=1, mode="nearest")
        crops = [
            large[i : i + shape[0], j : j + shape[1]]
            for i in range(strides[0])
            for j in range(strides[1])
        ]
        distances.append(min(np.abs(mask - crop).max() for crop in crops))
    random = generator(key)
    x, w = random.uniform(size=(2, *shape))

    def value(x: Any) -> float:
        return float(np.tanh(np.sum(w * x) / 8))

    def f(x: jax.Array) -> jax.Array:
        return jnp.tanh(jnp.sum(jnp.asarray(w, x.dtype) * x) / 8)

    loop = sum(value(x * mask) * mask for mask in masks) / (samples * 0.5)
    image = jnp.asarray(x, jnp.float32)
    got = attribution.rise(f, image, key=key, samples=samples, grid=cells)
    order = np.argsort(-np.asarray(got).ravel(), kind="stable")
    metrics = []
    for name, start, end in (("deletion", x, 0 * x), ("insertion", 0 * x, x)):
        curve = []
        for count in range(x.size + 1):
            changed = start.ravel().copy()
            changed[order[:count]] = end.ravel()[order[:count]]
            curve.append(value(changed.reshape(shape)))
        area = np.mean((np.asarray(curve[1:]) + np.asarray(curve[:-1])) / 2)
        ours = getattr(faithfulness, f"{name}_curve")(f, image, got, steps=x.size)
        metrics.append(abs(float(jnp.trapezoid(ours, dx=1 / x.size)) - area))
    return [
        Check("masks: worst distance from SciPy's", max(distances), "=", 0.0, 1e-6),
        Check("map: worst distance from a loop", np.abs(got - loop).max(), "=", 0.0, 1e-6),
        Check("deletion area: distance from a loop", metrics[0], "=", 0.0, 1e-6),
        Check("insertion area: distance from a loop", metrics[1], "=", 0.0, 1e-6),
    ]


def effects(key: jax.Array) -> list[Check]:
    """Faithfulness on digits, and pointing at planted patches."""
    random = generator(key)
    digits = data.load("digits")
    params, model = _trained(key, random, digits.train.x, digits.train.y, 10)
    rows = random.choice(len(digits.test.x), IMAGES, replace=False)
    images = jnp.asarray(digits.test.x[rows])
    noise = jnp.asarray(random.uniform(size=(IMAGES, ORDERS, 8, 8)), jnp.float32)
    areas = jax.jit(functools.partial(_faithfulness, model))(params, images, noise, key)
    deletion, insertion = np.asarray(areas)  # images, (RISE, centre, random)
    x, y, corners = _planted(random, 4096 + IMAGES)
    params, model = _trained(key, random, x[:4096], y[:4096], 4)
    x, y, corners = (array[4096:] for array in (x, y, corners))
    maps = np.asarray(jax.jit(functools.partial(_maps, model))(params, x, y, key))
    tops = np.stack(np.unravel_index(maps.reshape(IMAGES, -1).argmax(1), (SIZE, SIZE)), 1)
    inside = ((tops >= corners) & (tops < corners + PATCH)).all(1)
    return [
        Check(
            "digits whose deletion area is below random maps', %",
            100 * (deletion[:, 0] < deletion[:, 2]).mean(),
            ">=",
            90.0,
        ),
        Check(
            "digits whose insertion area is above random maps', %",
            100 * (insertion[:, 0] > insertion[:, 2]).mean(),
            ">=",
            90.0,
        ),
        Check(
            "mean deletion area minus that of a Gaussian at the centre",
            (deletion[:, 0] - deletion[:, 1]).mean(),
            "<",
            0.0,
        ),
        Check(
            "mean insertion area minus that of a Gaussian at the centre",
            (insertion[:, 0] - insertion[:, 1]).mean(),
            ">",
            0.0,
        ),
        Check("planted patches pointed at, %", 100 * inside.mean(), ">=", 95.0),
    ]


def _trained(
    key: jax.Array, random: np.random.Generator, x: np.ndarray, y: np.ndarray, outputs: int
) -> tuple[Any, Network]:
    """Train a network with Adam."""
    model = Network(outputs)
    rows = random.integers(len(x), size=(STEPS, BATCH))

    def loss(params: Any, batch: Any) -> jax.Array:
        logits = jnp.asarray(model.apply(params, batch[0]))
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch[1]).mean()

    @jax.jit
    def run(key: jax.Array, batches: Any) -> Any:
        return train(loss, optax.adam(3e-3), model.init(key, batches[0][0]), batches)[0]

    return run(key, (jnp.asarray(x[rows], jnp.float32), jnp.asarray(y[rows], jnp.int32))), model


def _probability(model: Network, params: Any, target: jax.Array, x: jax.Array) -> jax.Array:
    return jax.nn.softmax(jnp.asarray(model.apply(params, x[None]))[0])[target]


def _faithfulness(
    model: Network, params: Any, images: jax.Array, noise: jax.Array, key: jax.Array
) -> jax.Array:
    """Give areas (deletion and insertion, images, RISE and centre and mean of random maps)."""
    blur = jnp.exp(-((jnp.arange(8.0)[:, None] - jnp.arange(8.0)[None, :]) ** 2) / 8)
    blur = blur / blur.sum(1, keepdims=True)
    place = jnp.exp(-((jnp.arange(8.0) - 3.5) ** 2) / 8)
    centre = place[:, None] * place[None, :]

    def one(image: jax.Array, noise: jax.Array) -> tuple[jax.Array, jax.Array]:
        target = jnp.argmax(jnp.asarray(model.apply(params, image[None]))[0])
        f = functools.partial(_probability, model, params, target)
        saliency = attribution.rise(f, image, key=key, grid=7, batch_size=20)
        blurred = blur @ image @ blur.T

        def areas(order: jax.Array) -> tuple[jax.Array, jax.Array]:
            deleted = faithfulness.deletion_curve(f, image, order, steps=64)
            inserted = faithfulness.insertion_curve(f, image, order, baseline=blurred, steps=64)
            return jnp.trapezoid(deleted, dx=1 / 64), jnp.trapezoid(inserted, dx=1 / 64)

        maps = jnp.concatenate([saliency[None], centre[None], noise])
        deleted, inserted = jax.lax.map(areas, maps)
        mean = lambda a: jnp.stack([a[0], a[1], a[2:].mean()])  # noqa: E731
        return mean(deleted), mean(inserted)

    return jnp.stack(jax.vmap(one)(images, noise))


def _planted(random: np.random.Generator, count: int) -> tuple[np.ndarray, ...]:
    """Draw images of noise with one pattern each, the patterns' kinds and their corners."""
    stripes = np.tile([[1.0], [-1.0]], (2, PATCH))
    kinds = np.stack([stripes, stripes.T, stripes * stripes.T, np.ones((PATCH, PATCH))])
    x = 0.3 * random.normal(size=(count, SIZE, SIZE))
    y = random.integers(len(kinds), size=count)
    corners = random.integers(SIZE - PATCH + 1, size=(count, 2))
    for image, kind, (i, j) in zip(x, y, corners, strict=True):
        image[i : i + PATCH, j : j + PATCH] += kinds[kind]
    return x, y, corners


def _maps(model: Network, params: Any, x: jax.Array, y: jax.Array, key: jax.Array) -> jax.Array:
    """Attribute the probability of the true class."""

    def one(image: jax.Array, target: jax.Array) -> jax.Array:
        f = functools.partial(_probability, model, params, target)
        return attribution.rise(f, image, key=key, grid=4, batch_size=10)

    return jax.vmap(one)(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.int32))


CLAIM = Claim(
    name="rise",
    title="RISE: Randomized Input Sampling for Explanation of Black-box Models",
    year=2018,
    says="outputs under random masks, averaged, show what a black box looks at",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
