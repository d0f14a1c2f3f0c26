r"""Addition modulo a prime is memorised first, and understood long after.

The whole table of a + b modulo 37. A network of one hidden layer (128 units that square, no biases,
each operand one-hot, half of He's scale) trains on a part of it, in full batches by AdamW with rate
1e-2 and weight decay 1, until 95 % of the other entries are right, for at most 3000 steps: a run
that never gets there counts as 3000 where it makes a check harder, and as infinitely many in the
order of medians. Runs of one start share their split's order; medians are of three starts.

Tried before, on key 0: rectified units from He's scale, 6000 steps (half of the table is not
generalised from, on the median); and, with squares, shares of 0.4 in place of 0.5 and the run
without decay at 0.5. From 0.4 none generalises within 3000 steps, and from 0.5 it takes 2600 to
over 3000, so that the budget could not show twice as many; the latter is now asked at 0.6.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn import data
from jaxnn.analysis.dynamics import grokking_steps
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator
from jaxnn.claims.training import _modular
from jaxnn.train import losses

MODULUS, UNITS, RATE, STEPS, SEEDS = 37, 128, 1e-2, 3000, 3
# Share of the table to train on, and weight decay.
RUNS = ((0.5, 1.0), (0.6, 1.0), (0.8, 1.0), (0.6, 0.0))


def identities(key: jax.Array) -> list[Check]:
    """The tables are those of groups, and the steps those of planted curves."""
    seed = int(generator(key).integers(1000))
    whole = data.modular_arithmetic(13, "divide", train_fraction=0.5, seed=seed)
    x, y = (np.concatenate(parts) for parts in zip(whole.train, whole.test, strict=True))
    wrong = np.sum((x[:, 1] * y - x[:, 0]) % 13 != 0)
    group = data.permutation_composition(4, train_fraction=0.5, seed=seed)
    x, y = (np.concatenate(parts) for parts in zip(group.train, group.test, strict=True))
    product = np.zeros((24, 24), int)
    product[x[:, 0], x[:, 1]] = y
    a, b, c = np.meshgrid(*3 * [np.arange(24)], indexing="ij")
    broken = np.sum(product[product[a, b], c] != product[a, product[b, c]])
    train, test = np.zeros((2, 40), np.float32)
    train[7:], test[31:] = 1, 1
    steps = grokking_steps(jnp.asarray(train), jnp.asarray(test), every=10)
    return [
        Check("quotients modulo 13 that times the divisor miss", wrong, "=", 0),
        Check("triples of permutations that are not associative", broken, "=", 0),
        Check("pairs of permutations that commute, of 576", np.sum(product == product.T), "<", 576),
        Check("delay of planted curves, steps", steps.delay, "=", 240),
    ]


def effects(key: jax.Array) -> list[Check]:
    """Runs with several shares of the table, and one without weight decay."""
    random = generator(key)
    starts, kepts = [], []
    for _ in range(SEEDS):
        params = _modular.start(random, MODULUS, UNITS, 0.5)
        seed = int(random.integers(2**31))
        for fraction, _ in RUNS:
            starts.append(params)
            kepts.append(_modular.table(MODULUS, fraction, seed))
    decays = jnp.asarray(SEEDS * [decay for _, decay in RUNS], jnp.float32)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts)
    curves = _runs((stacked, jnp.asarray(np.stack(kepts)), decays))
    steps = grokking_steps(curves.train, curves.test)
    shape = (SEEDS, len(RUNS))
    memorized, generalized = (np.asarray(t).reshape(shape) for t in steps)
    counted = np.minimum(generalized, STEPS)
    ratio = np.median(counted[:, 0] / memorized[:, 0])
    without = np.median(counted[:, 3] / generalized[:, 1])
    half, more, most, _ = np.median(generalized, axis=0)
    tests = np.asarray(curves.test).reshape(*shape, -1)[:, 0]
    then = np.take_along_axis(tests, memorized[:, :1].astype(int), axis=-1).mean()
    return [
        Check("half the table: held-out accuracy when memorised", then, "<", 0.5),
        Check("half the table: steps to generalise over to memorise", ratio, ">=", 3),
        Check("60 %: steps without weight decay over with", without, ">=", 2),
        Check("60 % over 50 % of the table: steps to generalise", more / half, "<", 1),
        Check("80 % over 60 % of the table: steps to generalise", most / more, "<", 1),
    ]


@jax.jit
def _runs(runs):
    def run(one):
        params, kept, decay = one
        tx = optax.adamw(RATE, weight_decay=decay)
        return _modular.train(
            params,
            kept,
            loss=losses.cross_entropy,
            tx=tx,
            steps=STEPS,
            activation=jnp.square,
            until=0.95,
        )[1]

    return jax.lax.map(run, runs)


CLAIM = Claim(
    name="grokking",
    title="Grokking: Generalization Beyond Overfitting on Small Algorithmic Datasets",
    year=2022,
    says="networks memorise small algorithmic tables long before they generalise, weight decay "
    "makes them do so, and less data needs more steps",
    identities=identities,
    effects=effects,
    quick=False,
)
