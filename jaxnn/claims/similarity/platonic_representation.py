"""Mutual nearest neighbours: known values, scikit-learn's neighbours, nets of growing accuracy.

Twelve networks 64-64-64-64-10 are trained on digits for 5 to 1000 steps, twelve more on the left
halves of the images and twelve on the right halves. All differ in start and batches; they are
compared on the test images, by their last hidden layers.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.analysis import similarity
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator
from jaxnn.claims.similarity._networks import digits, fit, layers, rank_correlation, start

NETWORKS = 12
BUDGETS = np.geomspace(5, 1000, NETWORKS).round()
TX = optax.sgd(0.2)
NEIGHBOURS = 10


def identities(key: jax.Array) -> list[Check]:
    """The same up to rotation, and nothing in common."""
    random = generator(key)
    x, y = (np.float32(random.normal(size=(400, 16))) for _ in range(2))
    turn = jnp.float32(np.linalg.qr(random.normal(size=(16, 16)))[0])
    mutual = jax.jit(similarity.mutual_knn)
    return [
        Check("with itself", mutual(x, x), "=", 1.0),
        Check("with itself rotated and scaled", mutual(x, (3 * x) @ turn), "=", 1.0, 2e-3),
        Check("independent Gaussians: k / (n - 1)", mutual(x, y), "=", NEIGHBOURS / 399, 0.02),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """Neighbours found by scikit-learn, intersected in a loop."""
    from sklearn.neighbors import NearestNeighbors

    random = generator(key)
    x = random.normal(size=(200, 8))
    y = np.tanh(x @ random.normal(size=(8, 12)))

    def near(x: np.ndarray) -> np.ndarray:
        x = x / np.linalg.norm(x, axis=1, keepdims=True)
        model = NearestNeighbors(n_neighbors=NEIGHBOURS + 1, algorithm="brute").fit(x)
        return model.kneighbors(x, return_distance=False)[:, 1:]

    pairs = zip(near(x), near(y), strict=True)
    want = np.mean([len(set(a) & set(b)) / NEIGHBOURS for a, b in pairs])
    got = jax.jit(similarity.mutual_knn)(np.float32(x), np.float32(y))
    # One neighbour in one list may differ, where two distances are equal in float32.
    return [Check("brute-force neighbours of scikit-learn", got, "=", want, 1.01 / 2000)]


def effects(key: jax.Array) -> list[Check]:
    """Alignment of networks against their accuracy."""
    random = generator(key)
    x, y, test, labels = digits()
    side = np.tile(np.arange(8) < 4, 8)
    views = np.stack([np.ones(64), side, ~side]).astype(np.float32)
    masks = np.repeat(views, NETWORKS, axis=0)
    before = start(random, len(masks), (64, 64, 64, 64, 10))
    budgets = np.tile(BUDGETS, 3)
    after = fit(random, before, x, y, steps=1000, tx=TX, masks=masks, budgets=budgets)
    hidden, accuracy = _look(after, test, labels, masks)
    untrained, _ = _look(before, test, labels, masks)
    together = functools.partial(similarity.layer_map, measure=_mutual)
    accuracy = np.asarray(accuracy)
    named = lambda values: {str(i): value for i, value in enumerate(values)}  # noqa: E731
    alike = np.asarray(together(named(hidden[:NETWORKS])))
    halves = np.asarray(
        together(named(hidden[NETWORKS : 2 * NETWORKS]), named(hidden[2 * NETWORKS :]))
    )
    best = hidden[NETWORKS - 4 : NETWORKS]
    raw = np.asarray(together(named(best), named(untrained[:4])))
    first, second = np.triu_indices(NETWORKS, 1)
    means = (accuracy[first] + accuracy[second]) / 2
    left, right = accuracy[NETWORKS : 2 * NETWORKS], accuracy[2 * NETWORKS :]
    trained = alike[-4:, -4:][np.triu_indices(4, 1)].mean()
    return [
        Check(
            "rank correlation of a pair's mean accuracy and alignment",
            rank_correlation(means, alike[first, second]),
            ">=",
            0.6,
        ),
        Check(
            "alignment of two trained networks over that of one with an untrained one",
            trained / raw.mean(),
            ">",
            1.0,
        ),
        Check(
            "two views (halves of the images): the same rank correlation",
            rank_correlation(left[:, None] + right[None], halves),
            ">=",
            0.6,
        ),
    ]


def _mutual(x: jax.Array, y: jax.Array) -> jax.Array:
    return similarity.mutual_knn(x, y, k=NEIGHBOURS)


@jax.jit
def _look(params, test, labels, masks):
    """Give the last hidden layer and the accuracy of every network."""

    def one(params, mask):
        *_, hidden, logits = layers(params, test * mask[None])
        return hidden, jnp.mean(jnp.argmax(logits, -1) == labels)

    return jax.vmap(one)(params, masks)


CLAIM = Claim(
    name="platonic-representation",
    title="The Platonic Representation Hypothesis",
    year=2024,
    says="the better two networks are, the more nearest neighbours their representations share",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
