"""Matching units of two networks: planted maps, SciPy's assignment, two networks on digits.

Two networks 64-64-64-10 are trained on digits from different starts; their hidden units are
matched by correlation over the test images, and so are units of unrelated random networks of
the same activations, each unit's values dealt anew to the images.

That the second layer is less alike than the first, as in the paper's convolutional networks on
photographs, does not hold here: it is more alike in all three settings tried, by 0.03 to 0.05
(64 units a layer, Adam; the same by plain descent for 1000 steps, 0.52 and 0.57; 128 units a
layer, 0.58 and 0.62). The second of only two hidden layers is nearly the classes.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.analysis import similarity
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator
from jaxnn.claims.similarity._networks import digits, fit, layers, start

PAIRS = 6
TX = optax.adam(3e-3)


def identities(key: jax.Array) -> list[Check]:
    """A permuted, scaled copy and a rotated one."""
    random = generator(key)
    x = np.maximum(random.normal(size=(300, 10)) @ random.normal(size=(10, 24)) / 3, 0)
    order = random.permutation(24)
    copy = x[:, order] * random.uniform(0.5, 2, 24)
    turn = np.linalg.qr(random.normal(size=(24, 24)))[0]
    correlate = jax.jit(similarity.unit_correlation)
    matching = similarity.match_units(correlate(np.float32(copy), np.float32(x)))
    turned = similarity.match_units(correlate(np.float32(x @ turn), np.float32(x)))
    return [
        Check("units of a permuted, scaled copy matched", _share(matching, order), "=", 1.0),
        Check("their mean correlation", matching.similarity.mean(), "=", 1.0, 1e-5),
        Check("mean correlation one to one after a rotation", turned.similarity.mean(), "<", 0.6),
        Check("R² of a linear map from it", _explained(x @ turn, x), ">=", 0.99),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """Correlations and assignment by NumPy and SciPy, predictions by scikit-learn."""
    from scipy.optimize import linear_sum_assignment

    random = generator(key)
    x, y = random.normal(size=(80, 12)), random.normal(size=(80, 15))
    want = np.corrcoef(x.T, y.T)[:12, 12:]
    got = jax.jit(similarity.unit_correlation)(np.float32(x), np.float32(y))
    matching = similarity.match_units(got)
    best = want[linear_sum_assignment(want, maximize=True)].sum()
    return [
        Check("worst distance from numpy.corrcoef", np.abs(got - want).max(), "=", 0.0, 1e-5),
        Check("sum over the assignment, SciPy's", matching.similarity.sum(), "=", best, 1e-5),
    ]


def effects(key: jax.Array) -> list[Check]:
    """Two networks of different starts, pair by pair; layer one, layer two, and chance."""
    random = generator(key)
    x, y, test, _ = digits()
    params = start(random, 2 * PAIRS, (64, 64, 64, 10))
    params = fit(random, params, x, y, steps=600, tx=TX)
    look = jax.jit(jax.vmap(functools.partial(layers, x=jnp.asarray(test))))
    correlate = jax.jit(similarity.unit_correlation)
    found = np.zeros((4, PAIRS, 2))
    for layer, values in enumerate(map(np.asarray, look(params)[:2])):
        for i in range(PAIRS):
            one, other = values[2 * i], values[2 * i + 1]
            c = correlate(one, other)
            found[0, i, layer] = similarity.match_units(c).similarity.mean()
            found[1, i, layer] = similarity.semi_match(c).similarity.mean()
            c = correlate(random.permuted(one, axis=0), random.permuted(other, axis=0))
            found[2, i, layer] = similarity.match_units(c).similarity.mean()
            found[3, i, layer] = _explained(one, other)
    matched, semi, null, explained = found.mean(1)
    return [
        Check("matched correlation less chance, layer 1", matched[0] - null[0], ">", 0.0),
        Check("matched correlation less chance, layer 2", matched[1] - null[1], ">", 0.0),
        Check("matched correlation, layer 1", matched[0], "<", 1.0),
        Check("matched correlation, layer 1 less layer 2", matched[0] - matched[1], ">", 0.0),
        Check("semi-matching less one to one, both layers", (semi - matched).mean(), ">", 0.0),
        Check(
            "R² of a linear map over that of the one partner, both layers",
            (explained / np.square(matched)).mean(),
            ">",
            1.0,
        ),
    ]


def _share(matching: similarity.Matching, order: np.ndarray) -> float:
    return float(np.mean(np.asarray(matching.partners) == order))


def _explained(x: np.ndarray, y: np.ndarray) -> float:
    """Give R² of ridge regression on every second example, over all units, on the rest."""
    from sklearn.linear_model import Ridge

    y = np.asarray(y, np.float64)
    model = Ridge(alpha=1e-2).fit(x[::2], y[::2])
    rest = y[1::2] - model.predict(x[1::2])
    return float(1 - np.sum(rest**2) / np.sum((y[1::2] - y[1::2].mean(0)) ** 2))


CLAIM = Claim(
    name="convergent-learning",
    title="Convergent Learning: Do different neural networks learn the same representations?",
    year=2016,
    says="trained networks share some units, and subspaces more than single units",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
