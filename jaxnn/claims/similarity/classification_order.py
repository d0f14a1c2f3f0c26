"""Order of learning: chance by shuffles, SciPy's ranks, ensembles on digits and a control.

Ten networks with one hidden layer and ten with three, of 64 units each, are trained on digits
from different starts and on different batches; twenty times on the way they are asked for all
test images. "Mid-training" is the first time the mean accuracy reaches 70 %. In the control ten
networks learn Gaussian images of the same number, each labelled by the largest of ten random
linear maps of it: no image is easier than another by more than its distance from a border.

The control does not hold: on Gaussian images the excess is 36 and 32 deviations for seeds 0 and 1,
four fifths of that on digits. Two more were tried, both with labels dealt at random and seen on
the images trained on: 360 Gaussian images (29 and 28) and the test images of digits, of which a
quarter were learned (38 and 50). What all networks are given decides, real or not.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.analysis import similarity
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator
from jaxnn.claims.similarity._networks import digits, fit, layers, rank_correlation, start

NETWORKS, TIMES, STEPS = 10, 20, 15
TX = optax.sgd(0.05)
ONE, THREE = (64, 64, 10), (64, 64, 64, 64, 10)


def identities(key: jax.Array) -> list[Check]:
    """The same order, and none."""
    random = generator(key)
    ranks = np.argsort(random.normal(size=200))
    same = ranks[None] < np.array([[50], [100], [150]])
    same = np.float32(np.broadcast_to(same, (6, 3, 200)))
    dealt = random.permuted(same, axis=-1)
    found = similarity.order_agreement(jnp.asarray(same))
    chance = similarity.order_agreement(jnp.asarray(dealt))
    p = np.array([0.25, 0.5, 0.75])
    known = np.abs(np.asarray(found.variance) - p * (1 - p)).max()
    scores = similarity.accessibility(jnp.asarray(same))
    return [
        Check("one order: variance of agreement from p (1 - p)", known, "=", 0.0, 1e-6),
        Check("one order: rank correlation of accessibility", _order(scores, ranks), ">=", 0.9),
        Check("dealt anew: worst excess in deviations", np.abs(_excess(chance)).max(), "<=", 5.0),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """Chance in closed form against 5,000 shuffles."""
    random = generator(key)
    correct = random.random((5, 1, 60)) < np.linspace(0.2, 0.9, 5)[:, None, None]
    correct = correct.astype(np.float32)
    chance = similarity.order_agreement(jnp.asarray(correct))
    dealt = random.permuted(np.tile(correct[:, 0], (5000, 1, 1)), axis=-1)
    variances = dealt.mean(1).var(-1)
    error = (variances.mean() - chance.expected[0]) / (variances.std() / np.sqrt(5000))
    ratio = variances.std() / chance.deviation[0]
    return [
        Check("mean of the shuffles, standard errors off", np.abs(error), "<=", 5.0),
        Check("their deviation over the closed form", ratio, "=", 1.0, 0.06),
    ]


def effects(key: jax.Array) -> list[Check]:
    """Two architectures on digits, one on Gaussian images."""
    random = generator(key)
    x, y, test, labels = digits()
    shallow = _ensemble(random, ONE, x, y, test, labels)
    deep = _ensemble(random, THREE, x, y, test, labels)
    planes = random.normal(size=(64, 10))
    noise, new = (random.normal(size=(len(a), 64)).astype(np.float32) for a in (x, test))
    classes = [np.argmax(a @ planes, 1).astype(np.int32) for a in (noise, new)]
    control = _ensemble(random, ONE, noise, classes[0], new, classes[1])
    first, second, third = (_middle(correct) for correct in (shallow, deep, control))
    scores = [np.asarray(similarity.accessibility(jnp.asarray(c))) for c in (shallow, deep)]
    return [
        Check("1 hidden layer: excess of variance, deviations", first, ">=", 3.0),
        Check("3 hidden layers: the same", second, ">=", 3.0),
        Check("rank correlation of accessibility of both", rank_correlation(*scores), ">=", 0.6),
        Check("Gaussian images: excess over that of digits", third / first, "<=", 1 / 3),
    ]


def _ensemble(random, widths, x, y, test, labels) -> np.ndarray:
    """Train an ensemble; give whether each is right about each test image at each time."""
    params = start(random, NETWORKS, widths)

    @jax.jit
    def right(params):
        logits = jax.vmap(lambda p: layers(p, jnp.asarray(test))[-1])(params)
        return (jnp.argmax(logits, -1) == jnp.asarray(labels)[None]).astype(jnp.float32)

    correct = []
    for _ in range(TIMES):
        params = fit(random, params, x, y, steps=STEPS, tx=TX)
        correct.append(np.asarray(right(params)))
    return np.stack(correct, 1)


def _middle(correct: np.ndarray) -> float:
    """Give the excess when the mean accuracy first reaches 70 %, or at the end."""
    accuracy = correct.mean((0, 2))
    time = int(np.argmax(accuracy >= 0.7)) if (accuracy >= 0.7).any() else TIMES - 1
    return float(_excess(similarity.order_agreement(jnp.asarray(correct[:, time : time + 1])))[0])


def _excess(found: similarity.OrderAgreement) -> np.ndarray:
    return np.asarray((found.variance - found.expected) / found.deviation)


def _order(scores: jax.Array, ranks: np.ndarray) -> float:
    return rank_correlation(np.asarray(scores), -ranks)


CLAIM = Claim(
    name="classification-order",
    title="Let's Agree to Agree: Neural Networks Share Classification Order on Real Datasets",
    year=2020,
    says="networks of any start and depth come to know the same real examples first",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
