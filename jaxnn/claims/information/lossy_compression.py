"""Information between images, of compressed images: planted information, and a noisy network."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn import data
from jaxnn.analysis import information
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator, train
from jaxnn.models import MLP

LATENT, SIDE, SAMPLES, RAW = 4, 32, 5000, 800
CORRELATIONS = (0.5, 0.6, 0.7)
NOISES = (0.1, 0.3, 1.0)
IMAGES = 1437
MODEL = MLP(features=(16, 10), activation=jnp.tanh)


def identities(key: jax.Array) -> list[Check]:
    """Gaussians, whose entropy and information are known."""
    random = generator(key)
    x, y = _latents(random, 0.7, 2, 1500)
    entropy = float(information.knn_entropy(jnp.asarray(x)))
    mutual = float(information.knn_mutual_information(jnp.asarray(x), jnp.asarray(y)))
    alone = information.knn_mutual_information(jnp.asarray(x), jnp.asarray(random.permutation(y)))
    # Deviations over samples are about 0.03 each.
    return [
        Check("entropy of a Gaussian, nats", entropy, "=", np.log(2 * np.pi * np.e), 0.12),
        Check("information of Gaussians, nats", mutual, "=", _truth(0.7, 2), 0.12),
        Check("of independent ones, nats", alone, "=", 0.0, 0.12),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """Both estimators against scikit-learn's, on the same samples."""
    from sklearn.feature_selection import mutual_info_classif, mutual_info_regression

    random = generator(key)
    x, y = _latents(random, 0.8, 1, 1000)
    x, y = x / x.std(), y / y.std()
    labels = (y[:, 0] > 0).astype(np.int32) + (y[:, 0] > 1)
    ours = information.knn_mutual_information(jnp.asarray(x), jnp.asarray(y))
    theirs = mutual_info_regression(x, y[:, 0], n_neighbors=3)[0]
    of_labels = information.knn_label_information(jnp.asarray(x), jnp.asarray(labels))
    theirs_labels = mutual_info_classif(x, labels, n_neighbors=3)[0]
    return [
        Check("two continuous variables: ratio to scikit-learn's", ours / theirs, "=", 1, 0.03),
        Check("with labels: ratio to scikit-learn's", of_labels / theirs_labels, "=", 1, 0.03),
    ]


def effects(key: jax.Array) -> list[Check]:
    """Images of blobs that four correlated numbers place and stretch; a network with noise.

    Compression is to the four principal components, scaled to one variance; the estimate is of
    the nearest neighbour of each compressed image: a first setting, five neighbours, came out 13,
    14 and 16 % low (seed 0) where 15 is allowed; one has the least bias. Without compression, it
    is the difference of the three entropies, which take the images for clouds in 1024 dimensions.
    """
    random = generator(key)
    compressed = jax.jit(partial(information.knn_mutual_information, neighbours=1))
    checks, images = [], ()
    for rho in CORRELATIONS:
        x, y = _latents(random, rho, LATENT, SAMPLES)
        images = _blobs(x), _blobs(y)
        got = compressed(*(jnp.asarray(_compress(image)) for image in images))
        name = f"blobs, correlation {rho:g}: estimate over the truth of {_truth(rho, LATENT):.3f}"
        checks.append(Check(name, float(got) / _truth(rho, LATENT), "=", 1.0, 0.15))
    raw = [jnp.asarray(image[:RAW]) for image in images]
    entropy = jax.jit(information.knn_entropy)
    parts = [float(entropy(image)) for image in (*raw, jnp.concatenate(raw, 1))]
    far = abs((parts[0] + parts[1] - parts[2]) / _truth(CORRELATIONS[-1], LATENT) - 1)
    known = _noisy(random, compressed)
    return [
        *checks,
        Check("without compression: relative error", far, ">", 0.3),
        Check(
            "network: least fall as the noise grows three times, nats",
            -np.diff(known).max(),
            ">",
            0,
        ),
        Check(
            "network: left at the largest noise, of that at the least",
            known[-1] / known[0],
            "<",
            0.5,
        ),
    ]


def _truth(rho: float, dimensions: int) -> float:
    return -dimensions / 2 * float(np.log(1 - rho**2))


def _latents(random, rho: float, dimensions: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw Gaussians of unit variance, correlated dimension by dimension."""
    x, noise = random.normal(size=(2, samples, dimensions))
    y = rho * x + np.sqrt(1 - rho**2) * noise
    return x.astype(np.float32), y.astype(np.float32)


def _blobs(z: np.ndarray) -> np.ndarray:
    """Draw one Gaussian blob each: two numbers move it, two stretch it."""
    grid = np.linspace(-1, 1, SIDE)
    centre, width = 0.06 * z[:, :2], 0.35 * np.exp(0.12 * z[:, 2:])
    one = np.exp(-((grid - centre[..., None]) ** 2) / (2 * width[..., None] ** 2))
    return (one[:, 0, :, None] * one[:, 1, None, :]).reshape(len(z), -1).astype(np.float32)


def _compress(x: np.ndarray) -> np.ndarray:
    """Give the first principal components, whitened."""
    centred = x - x.mean(0)
    _, axes = np.linalg.eigh(centred.T.astype(np.float64) @ centred)
    kept = centred @ axes[:, -LATENT:]
    return (kept / kept.std(0)).astype(np.float32)


def _noisy(random: np.random.Generator, estimate) -> np.ndarray:
    """Train one network on digits; what its noisy hidden layer tells of the image, by noise."""
    digits = data.load("digits")
    x = np.asarray(digits.train.x, np.float32).reshape(len(digits.train.x), -1)[:IMAGES]
    y = jnp.asarray(digits.train.y)
    shapes = jax.eval_shape(MODEL.init, jax.random.key(0), jnp.zeros((1, x.shape[1])))["params"]
    start = jax.tree.map(
        lambda leaf: jnp.asarray(
            random.normal(size=leaf.shape) / np.sqrt(leaf.shape[0]) * (len(leaf.shape) > 1),
            jnp.float32,
        ),
        shapes,
    )
    rows = jnp.asarray(random.integers(0, len(x), (300, 128)))

    @jax.jit
    def run(start, x):
        def loss(params, rows):
            logits = jnp.asarray(MODEL.apply({"params": params}, x[rows]))
            return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, y[rows]))

        dense = train(loss, optax.adam(5e-3), start, rows)[0]["dense_0"]
        return jnp.tanh(x @ dense["kernel"] + dense["bias"][None])

    hidden = np.asarray(run(start, jnp.asarray(x)))
    noise = random.normal(size=hidden.shape)
    images = jnp.asarray(_compress(x))
    noisy = [(hidden + sigma * noise).astype(np.float32) for sigma in NOISES]
    return np.asarray([float(estimate(images, jnp.asarray(_compress(t)))) for t in noisy])


CLAIM = Claim(
    name="lossy-compression-information",
    title="Information Bottleneck Analysis of Deep Neural Networks via Lossy Compression",
    year=2023,
    says="the information between two images can be estimated from their compressed forms, where "
    "nearest neighbours among the images themselves fail",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
