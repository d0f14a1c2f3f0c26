"""The normalised softmax learns directions, which tell classes never trained on.

A network 64-64-32 and a head, on the library's digits 0 to 6, 600 steps of Adam at 1e-3 in batches
of 192, five starts. The head by angle has scale 16 and the penalty that spreads prototypes, weight
1, to the simplex of seven; the plain one is linear, with a bias. The margin triplet loss (margin 1)
sees as many images: 64 triplets a step. The digits 7 to 9 are then told by the nearest mean of five
labelled embeddings each, 40 draws of them a start: by cosine, and for triplets by the distance that
they were trained on.

It fails by little: at seeds 0 to 2 it is 2.9, 1.6 and 3.0 points above the linear head, and the
least angle is 1.3, 5.1 and 11.5 degrees below the simplex's. Against triplets it holds, by 4.0 to
6.2 points. With two convolutions in the first layer's place and 300 steps, tried at one key, it is
1.1 points below the linear head and 3.3 below the triplets.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator
from jaxnn.claims.training import _digits, _unseen
from jaxnn.layers.feedforward import cosine_logits
from jaxnn.train import losses

SEEDS, STEPS, BATCH, FEATURES = 5, 600, 192, 32


def identities(key: jax.Array) -> list[Check]:
    """Lengths change nothing, and the simplex is what the penalty leaves alone."""
    random = generator(key)
    x, w = (jnp.asarray(random.normal(size=s), jnp.float32) for s in ((32, 16), (16, 7)))
    y = jnp.asarray(random.integers(0, 7, 32), jnp.int32)
    lengths = jnp.asarray(random.uniform(0.1, 10, (32, 1)), jnp.float32)

    @jax.jit
    def loss(x):
        return losses.normalized_softmax_loss(cosine_logits(x, w), y)

    simplex = jnp.asarray(np.eye(7) - 1 / 7, jnp.float32)
    spread = jax.jit(lambda w: losses.prototype_spread(w, cosine=-1 / 6))
    return [
        Check(
            "lengths: largest change of the loss",
            jnp.abs(loss(lengths * x) - loss(x)).max(),
            "<",
            1e-5,
        ),
        Check("penalty of the simplex", spread(simplex).max(), "<", 1e-6),
        Check("penalty of random prototypes", spread(w).min(), ">", 1e-3),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """Against NumPy in float64, with both margins."""
    random = generator(key)
    angles, y = random.uniform(0.1, 2.5, (32, 7)), random.integers(0, 7, 32)
    at = np.arange(32), y
    z = np.cos(angles)
    z[at] = np.cos(angles[at] + 0.5) - 0.2
    want = np.log(np.exp(16 * z).sum(-1)) - 16 * z[at]
    got = losses.normalized_softmax_loss(
        jnp.asarray(np.cos(angles), jnp.float32), jnp.asarray(y), margin=0.2, angular_margin=0.5
    )
    return [Check("largest distance from NumPy's", np.abs(got - want).max(), "<", 1e-4)]


def effects(key: jax.Array) -> list[Check]:
    """Unseen digits, after training by angle, by a linear head and by triplets."""
    random = generator(key)
    x, y = _unseen.seen()
    images, labels, new = jnp.asarray(x), jnp.asarray(y), _unseen.unseen()[0]
    start = _digits.mlp(random, (64, 64, FEATURES), seeds=SEEDS)
    size = (SEEDS, FEATURES, _unseen.SEEN)
    kernel = jnp.asarray(random.normal(size=size) / FEATURES**0.5, jnp.float32)
    bias = jnp.zeros((SEEDS, _unseen.SEEN))
    rows = jnp.asarray(random.integers(0, len(y), (SEEDS, STEPS, BATCH)))
    draw = int(random.integers(2**31))

    def read_out(params, *, cosine=True):
        return _unseen.few_shot(
            np.random.default_rng(draw), _unseen.embed(params, new), cosine=cosine
        )

    def by_angle(params, rows):
        body, kernel = params
        cosines = cosine_logits(_digits.forward(body, images[rows]), kernel)
        spread = losses.prototype_spread(kernel, cosine=-1 / (_unseen.SEEN - 1))
        return jnp.mean(losses.normalized_softmax_loss(cosines, labels[rows])) + jnp.mean(spread)

    def linear(params, rows):
        body, kernel, bias = params
        z = _digits.forward(body, images[rows]) @ kernel + bias[None]
        return jnp.mean(losses.cross_entropy(z, labels[rows]))

    def triplet(params, rows):
        z = _digits.forward(params, images[jnp.concatenate(rows)])
        return jnp.mean(losses.triplet_margin_loss(*jnp.split(z, 3)))

    body, prototypes = _unseen.fit(by_angle, (start, kernel), rows)
    sphere = read_out(body)
    plain = read_out(_unseen.fit(linear, (start, kernel, bias), rows)[0])
    threes = _unseen.triplets(random, y, (SEEDS, STEPS, BATCH // 3))
    by_triplets = _unseen.fit(triplet, start, tuple(map(jnp.asarray, threes)))
    w = np.asarray(prototypes, float)
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    cosines = w.swapaxes(1, 2) @ w - 2 * np.eye(_unseen.SEEN)
    angle = np.degrees(np.arccos(cosines.max((1, 2))))
    best = np.degrees(np.arccos(-1 / (_unseen.SEEN - 1)))
    return [
        Check("above the linear head's features, points", sphere - plain, ">=", 3),
        Check("above triplets, points", sphere - read_out(by_triplets, cosine=False), ">=", 0),
        Check(
            "least angle of prototypes below the simplex's, degrees", best - angle.min(), "<=", 10
        ),
    ]


CLAIM = Claim(
    name="hyperspherical-embedding",
    title="Hyperspherical embedding for novel class classification",
    year=2021,
    says="a normalised softmax with spread prototypes, without pairs, learns embeddings that tell "
    "unseen classes better than metric learning does",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
