"""Best buddies among units: a planted copy, NumPy's correlations, networks trained on digits.

Networks 64-64-64-10 are trained on digits from different starts. Mutual neighbours (k = 5) of
correlation above 0.7 are counted between the second hidden layers of trained networks, and of
trained with untrained ones.
"""

from itertools import combinations, product

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.analysis import similarity
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator
from jaxnn.claims.similarity._networks import digits, fit, layers, start

NETWORKS = 4
TX = optax.adam(3e-3)


def identities(key: jax.Array) -> list[Check]:
    """A permuted copy with noise: each unit and its copy are each other's nearest."""
    random = generator(key)
    x = np.maximum(random.normal(size=(500, 40)), 0)
    order = random.permutation(40)
    copy = x[:, order] + 0.1 * random.normal(size=x.shape)
    c = jax.jit(similarity.unit_correlation)(np.float32(copy), np.float32(x))
    near = np.asarray(similarity.best_buddies(c, k=1))
    right = near[np.arange(40), order]
    five = np.asarray(similarity.best_buddies(c, k=5))
    return [
        Check("precision of the pairs, k = 1", right.sum() / near.sum(), ">=", 0.99),
        Check("share of the copies found", right.mean(), ">=", 0.99),
        Check("the same with k = 5", five[np.arange(40), order].mean(), ">=", 0.99),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """Correlations of maps of two sizes, by NumPy and by interpolation written out."""
    random = generator(key)
    x, small = random.normal(size=(6, 8, 8, 5)), random.normal(size=(6, 4, 4, 3))
    # Twice as many places, each three quarters of the nearest and one of the next; at the
    # borders there is no next.
    spread = np.zeros((8, 4))
    for place in range(8):
        at = (place + 0.5) / 2 - 0.5
        low = int(np.floor(at))
        for old, weight in ((low, 1 - (at - low)), (low + 1, at - low)):
            spread[place, np.clip(old, 0, 3)] += weight
    large = np.einsum("ai,bj,eijc->eabc", spread, spread, small)
    want = np.corrcoef(x.reshape(-1, 5).T, large.reshape(-1, 3).T)[:5, 5:]
    got = jax.jit(similarity.unit_correlation)(np.float32(x), np.float32(small))
    return [Check("worst distance from numpy.corrcoef", np.abs(got - want).max(), "=", 0.0, 1e-5)]


def effects(key: jax.Array) -> list[Check]:
    """Shared units of trained networks, and of trained with untrained ones."""
    random = generator(key)
    x, y, test, _ = digits()
    before = start(random, NETWORKS, (64, 64, 64, 10))
    after = fit(random, before, x, y, steps=600, tx=TX)
    look = jax.jit(jax.vmap(lambda p: layers(p, jnp.asarray(test))[1]))
    trained, raw = np.asarray(look(after)), np.asarray(look(before))
    count = jax.jit(_count)
    shared = np.mean([count(trained[i], trained[j]) for i, j in combinations(range(NETWORKS), 2)])
    pairs = [(i, j) for i, j in product(range(NETWORKS), repeat=2) if i != j]
    chance = np.mean([count(trained[i], raw[j]) for i, j in pairs])
    tuples = similarity.rosetta_units(list(map(jnp.asarray, trained)), threshold=0.7)
    mixed = [jnp.asarray(trained[0]), *map(jnp.asarray, raw[1:])]
    none = similarity.rosetta_units(mixed, threshold=0.7)
    return [
        Check(
            "mutual pairs of r > 0.7, over those with an untrained network",
            shared / max(chance, 1.0),
            ">=",
            3.0,
        ),
        Check(
            "units shared by four trained networks less those with three untrained",
            len(tuples) - len(none),
            ">",
            0.0,
        ),
    ]


def _count(x: jax.Array, y: jax.Array) -> jax.Array:
    c = similarity.unit_correlation(x, y)
    return jnp.sum(similarity.best_buddies(c) & (c > 0.7))


CLAIM = Claim(
    name="rosetta-neurons",
    title="Rosetta Neurons: Mining the Common Units in a Model Zoo",
    year=2023,
    says="networks trained apart hold units that are each other's nearest over the same images",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
