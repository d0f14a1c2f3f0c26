"""Linear networks with free features: descent against the closed form, for unequal classes too."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.analysis import collapse
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator

CLASSES, WIDTH = 4, 8
UNEQUAL = (40, 20, 10, 1)
EQUAL = (10, 10, 10, 10)
STEPS = 3000


def identities(key: jax.Array) -> list[Check]:
    """Gradient descent in float64 on every sample's own features, from random starts.

    One layer, n = 40, 20, 10, 1: two decays, below and above what the smallest class survives.
    Three layers, four equal classes.
    """
    random = generator(key)
    with jax.enable_x64(True):
        decays = (5e-3, 2e-2)
        starts = [_start(random, 1, UNEQUAL) for _ in decays]
        weights, features = map(np.stack, zip(*starts, strict=True))
        labels = np.repeat(np.arange(CLASSES), UNEQUAL)
        descend = jax.jit(jax.vmap(partial(_descend, labels=labels, rate=2.0)))
        shallow, _ = descend(weights, features, np.asarray(decays))
        grams = [np.asarray(w[0] @ w[0].T) for w in shallow]
        counts = jnp.asarray(UNEQUAL, jnp.float64)
        wanted = [
            collapse.linear_network_collapse(counts, weight_decays=[d], feature_decay=d)
            for d in decays
        ]
        off = grams[0] - np.diag(np.diag(grams[0]))
        survives = np.diag(grams[0]) - np.asarray(wanted[0].weights[0])
        others = np.diag(grams[1])[:3]

        labels = np.repeat(np.arange(CLASSES), EQUAL)
        weights, features = _start(random, 3, EQUAL)
        deep, free = jax.jit(partial(_descend, labels=labels, rate=1.0))(weights, features, 5e-3)
        last = deep[-1][:CLASSES]
        within = collapse.within_class_variability(free.T, jnp.asarray(labels), num_classes=CLASSES)
        means = collapse.class_means(free.T, jnp.asarray(labels), num_classes=CLASSES).means
        eye = jnp.eye(CLASSES)
        count = jnp.asarray(EQUAL, jnp.float64)
        want = collapse.linear_network_collapse(count, weight_decays=[5e-3] * 3, feature_decay=5e-3)
        lengths = np.stack([np.linalg.svd(w, compute_uv=False)[:CLASSES] for w in deep]) ** 2
        gram = np.asarray(last @ last.T)
        return [
            Check(
                "one layer: worst distance of diag(W Wᵀ) from the closed form",
                np.abs(survives).max(),
                "<",
                1e-4,
            ),
            Check("one layer: largest entry of W Wᵀ off it", np.abs(off).max(), "<", 1e-6),
            Check(
                "decay times four: squared length of the smallest class",
                np.diag(grams[1])[3],
                "<",
                1e-6,
            ),
            Check("and the least of the others (1.742 by the formula)", others.min(), ">", 0.0),
            Check(
                "classes that collapse by the formula", (wanted[1].weights[0] == 0).sum(), "=", 1
            ),
            Check("three layers, equal classes: NC1", within, "<", 1e-6),
            Check(
                "three layers: distance of W₃ W₃ᵀ over its mean diagonal from the identity",
                np.abs(gram / np.diag(gram).mean() - np.eye(CLASSES)).max(),
                "<",
                1e-3,
            ),
            Check(
                "three layers: distance of the means from an orthogonal frame",
                collapse.frame_distance(means, eye),
                "<",
                1e-3,
            ),
            Check(
                "three layers: worst distance of squared singular values from the solution",
                np.abs(lengths - np.asarray(want.weights)).max(),
                "<",
                1e-4,
            ),
        ]


def agreements(key: jax.Array) -> list[Check]:
    """SciPy's minimiser on two layers and unequal classes, with gradients written out in NumPy."""
    from scipy import optimize

    random = generator(key)
    labels = np.repeat(np.arange(CLASSES), (12, 6, 4, 2))
    total, decays, feature_decay = len(labels), (6e-3, 1e-2), 4e-3
    target = np.eye(CLASSES)[:, labels]
    shapes = [(WIDTH, WIDTH), (CLASSES, WIDTH), (WIDTH, total)]
    ends = np.cumsum([np.prod(shape) for shape in shapes])[:-1]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        parts = np.split(flat, ends)
        first, last, h = (p.reshape(s) for p, s in zip(parts, shapes, strict=True))
        error = (last @ first @ h - target) / total
        slopes = (
            last.T @ error @ h.T + decays[0] * first,
            error @ (first @ h).T + decays[1] * last,
            (last @ first).T @ error + feature_decay * h,
        )
        value = total / 2 * (error**2).sum()
        value += (decays[0] * (first**2).sum() + decays[1] * (last**2).sum()) / 2
        value += feature_decay / 2 * (h**2).sum()
        return value, np.concatenate([s.ravel() for s in slopes])

    start = np.concatenate([(0.5 * random.normal(size=s)).ravel() for s in shapes])
    options = {"maxiter": 5000, "maxfun": 10000, "ftol": 1e-15, "gtol": 1e-9}
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    first, last, h = (p.reshape(s) for p, s in zip(np.split(found.x, ends), shapes, strict=True))
    want = collapse.linear_network_collapse(
        jnp.asarray(np.bincount(labels), jnp.float32),
        weight_decays=decays,
        feature_decay=feature_decay,
    )
    values = np.linalg.svd(first, compute_uv=False)[:CLASSES] ** 2
    outputs = (last @ first @ h)[labels, np.arange(total)]
    squares = (h**2).sum(0)
    return [
        Check(
            "two layers: worst distance of the last rows' squared lengths",
            np.abs((last**2).sum(1) - np.asarray(want.weights[1])).max(),
            "<",
            1e-3,
        ),
        Check(
            "two layers: worst distance of the first's squared singular values",
            np.abs(values - np.sort(np.asarray(want.weights[0]))[::-1]).max(),
            "<",
            1e-3,
        ),
        Check(
            "two layers: worst distance of the features' squared lengths",
            np.abs(squares - np.asarray(want.features)[labels]).max(),
            "<",
            1e-3,
        ),
        Check(
            "two layers: worst distance of the outputs",
            np.abs(outputs - np.asarray(want.outputs)[labels]).max(),
            "<",
            1e-3,
        ),
    ]


def _start(random: np.random.Generator, layers: int, counts) -> tuple[np.ndarray, np.ndarray]:
    """Draw layers, square but for the rows that the targets do not use, and free features."""
    rows = WIDTH if layers > 1 else CLASSES
    weights = random.normal(size=(layers, rows, WIDTH)) / np.sqrt(WIDTH)
    return weights, random.normal(size=(WIDTH, sum(counts))) / np.sqrt(WIDTH)


def _descend(
    weights: jax.Array, features: jax.Array, decay: jax.Array, *, labels: np.ndarray, rate: float
) -> tuple[jax.Array, jax.Array]:
    """Descend the loss with one decay for all; the last layer's rows past the classes decay."""
    target = jnp.asarray(np.eye(CLASSES)[:, labels])

    def loss(both):
        weights, h = both
        out = h
        for layer in weights:
            out = layer @ out
        fit = jnp.sum((out[:CLASSES] - target) ** 2) / len(labels)
        return (fit + decay * (jnp.sum(weights**2) + jnp.sum(h**2))) / 2

    def step(_, both):
        return jax.tree.map(lambda p, g: p - rate * g, both, jax.grad(loss)(both))

    return jax.lax.fori_loop(0, STEPS, step, (weights, features))


CLAIM = Claim(
    name="linear-network-collapse",
    title="Neural Collapse in Deep Linear Networks: From Balanced to Imbalanced Data",
    year=2023,
    says="with free features and decay, a linear network's class vectors become orthogonal, of "
    "lengths that the class counts alone decide, and too small a class vanishes",
    identities=identities,
    agreements=agreements,
)
