r"""Hebbian lateral neurons keep a spiking network from forgetting.

Three tasks in a row: the library's digits, 8 x 8, each task with its own permutation of the
pixels, one readout for all. The network has 100 leaky neurons (decay 0.5, arc-tangent surrogate)
that see the pixels as a constant current for 6 steps, and reads out their rates; neither layer has
a bias. Each task is 10 epochs of plain descent at rate 0.1 in batches of 64. After each, lateral
neurons are appended to both layers' inputs, 20 for the pixels and 30 for the rates, and learn on
ten passes over the task's batches with the old ones frozen; the next task's updates are projected.
The plain network starts from the same weights and sees the same batches without projection: the
two are one until the first task is learned.

The last check, 8 points of final average accuracy over the plain network, fails for some keys:
8.3, 6.8, 9.3, 7.1 and 9.8 points at seeds 0 to 4, each the mean of six networks. What projection
keeps of the first two tasks it pays for in part on the third, which has 24 of 64 directions left to
learn in. Forgetting is 0.7, 1.7, 1.1, 1.0 and 1.5 points, and 22.2, 20.1, 23.4, 20.2 and 24.3
without projection.

Other settings tried, with one network: a frame of two zeros around the digits with 200 neurons,
40 and 60 lateral ones, 20 epochs at 0.2 (plain forgets 9.6 points, with projection 0.3); and digits
enlarged to 16 x 16 with 150 neurons, 40 and 50 lateral ones, 20 epochs (6.1 and 0.4). There the
tasks hinder each other too little for the plain network to forget the 15 points asked. In the
setting kept, a first try took the subspace of single spikes in place of that of their rates, which
are what the readout is given, and three passes (plain forgets 20.4, with projection 4.0).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn import data
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator, train
from jaxnn.layers import spiking
from jaxnn.train import continual

TASKS, SEEDS, STEPS, UNITS, CLASSES = 3, 6, 6, 100, 10
LATERAL = {"first": 20, "readout": 30}
BATCH, EPOCHS, PASSES, RATE = 64, 10, 10, 0.1


def identities(key: jax.Array) -> list[Check]:
    """Old drives of a spiking layer stay while a new task is learned by surrogate gradients."""
    random = generator(key)
    inputs, rank, units = 12, 4, 10
    plane = np.linalg.qr(random.normal(size=(inputs, rank)))[0].T
    old = _array((random.normal(size=(256, rank)) * (2, 1.7, 1.3, 1) + 0.5) @ plane)
    x, y = _array(random.normal(size=(32, inputs))), jnp.asarray(random.integers(0, 3, 32))
    params = {
        "first": _array(random.normal(size=(inputs, units))),
        "readout": _array(random.normal(size=(units, 3))),
    }

    @jax.jit
    def run(params, h):
        h = _learn(h, jnp.tile(old.reshape(-1, 32, inputs), (40, 1, 1)), 0)

        def trained(h):
            subspaces = {"first": h, "readout": None}
            tx = optax.chain(optax.adam(0.05), continual.orthogonal_projection(subspaces))
            batches = jax.tree.map(lambda a: jnp.stack([a] * 30), (x, y))
            return train(_loss, tx, params, batches)[0]["first"]

        return jax.vmap(trained)(jnp.stack([h, jnp.zeros_like(h)]))

    h = continual.grow_subspace(jnp.zeros((0, inputs)), rank, key=key)
    kernels = run(params, h)

    def change(kernel, x):
        drive = x @ params["first"]
        return float(jnp.linalg.norm(x @ kernel - drive) / jnp.linalg.norm(drive))

    return [
        Check("old drives: relative change with projection", change(kernels[0], old), "<", 1e-3),
        Check("old drives: relative change without", change(kernels[1], old), ">", 0.1),
        Check("new drives: relative change with projection", change(kernels[0], x), ">", 0.1),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """The lateral neurons' subspace against scikit-learn's principal components."""
    from sklearn.decomposition import PCA

    random = generator(key)
    inputs, rank, samples = 20, 4, 512

    def planted(basis):
        x = (random.normal(size=(samples, rank)) * (2, 1.7, 1.3, 1)) @ basis
        x = x + 0.02 * random.normal(size=x.shape)
        return x - x.mean(0)

    first, second = (np.linalg.qr(random.normal(size=(inputs, rank)))[0].T for _ in range(2))
    tasks = [planted(first), planted(second)]
    h, learn = jnp.zeros((0, inputs)), jax.jit(_learn)
    for task, grow_key in zip(tasks, jax.random.split(key), strict=True):
        frozen = len(h)
        h = continual.grow_subspace(h, rank, key=grow_key)
        batches = jnp.tile(_array(task).reshape(-1, 64, inputs), (60, 1, 1))
        h = learn(h, batches, jnp.asarray(frozen))
    basis, other = (np.asarray(PCA(rank).fit(task).components_) for task in tasks)
    cosine = np.linalg.svd(np.asarray(h[:rank], float) @ basis.T, compute_uv=False).min()

    def left(basis):
        x = _array(random.normal(size=(200, rank)) @ basis)
        sizes = jnp.linalg.norm(continual.project_out(x, h), axis=-1) / jnp.linalg.norm(x, axis=-1)
        return float(sizes.max())

    return [
        Check("first task: least cosine of a principal angle", cosine, ">=", 0.99),
        Check("first task's inputs: most that projection leaves", left(basis), "<", 0.05),
        Check("second task's inputs: most that projection leaves", left(other), "<", 0.05),
    ]


def effects(key: jax.Array) -> list[Check]:
    """Three permutations of the digits' pixels, with projection and without."""
    random = generator(key)
    matrices = [_networks(random, seed) for seed in jax.random.split(key, SEEDS)]
    projected, plain = 100 * jnp.asarray(matrices, jnp.float32).swapaxes(0, 1)
    forgets = continual.forgetting(projected).mean(), continual.forgetting(plain).mean()
    gain = continual.average_accuracy(projected) - continual.average_accuracy(plain)
    return [
        Check("forgetting with projection, points", float(forgets[0]), "<=", 3),
        Check("forgetting without, points", float(forgets[1]), ">=", 15),
        Check("final average accuracy above plain, points", float(gain.mean()), ">=", 8),
    ]


def _array(values: np.ndarray) -> jax.Array:
    return jnp.asarray(values, jnp.float32)


def _rates(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    drive = x @ params["first"]
    currents = jnp.broadcast_to(drive[None], (STEPS, *drive.shape))
    fire = functools.partial(spiking.arctan, slope=2.0)
    _, spikes = spiking.leaky_sequence(currents, 0.5, surrogate=fire, time_axis=0)
    return jnp.mean(spikes, axis=0)


def _loss(params: dict[str, jax.Array], batch: tuple[jax.Array, jax.Array]) -> jax.Array:
    logits = _rates(params, batch[0]) @ params["readout"]
    return optax.softmax_cross_entropy_with_integer_labels(logits, batch[1]).mean()


def _learn(h: jax.Array, batches: jax.Array, frozen: jax.Array | int) -> jax.Array:
    """Stream batches through the lateral neurons, at a rate that suits each batch."""

    def body(h, x):
        rate = 0.5 / jnp.mean(jnp.sum(x**2, axis=-1))
        return continual.hebbian_subspace(h, x, rate=rate, frozen=frozen), None

    return jax.lax.scan(body, h, batches)[0]


@functools.cache
def _digits() -> tuple[np.ndarray, ...]:
    digits = data.load("digits")
    x, test_x = (
        np.asarray(part.x).reshape(len(part.x), -1) for part in (digits.train, digits.test)
    )
    return x, np.asarray(digits.train.y), test_x, np.asarray(digits.test.y)


@jax.jit
def _train_task(params, subspaces, batches, test_xs, test_y):
    """Learn one task; give the parameters and the accuracy on every task's test set."""
    tx = optax.chain(optax.sgd(RATE), continual.orthogonal_projection(subspaces))
    params, _ = train(_loss, tx, params, batches)
    rates = jax.lax.map(lambda x: _rates(params, x), test_xs)
    right = (rates @ params["readout"]).argmax(-1) == test_y[None]
    return params, jnp.mean(right, axis=-1)


@jax.jit
def _learn_task(params, subspaces, x, frozen):
    """Let the lateral neurons of both layers learn the inputs of a task."""
    rates = jax.lax.map(lambda batch: _rates(params, batch), x)
    seen = {"first": x, "readout": rates}

    def learn(subspaces, _):
        return {name: _learn(subspaces[name], seen[name], frozen[name]) for name in seen}, None

    return jax.lax.scan(learn, subspaces, length=PASSES)[0]


def _networks(random: np.random.Generator, key: jax.Array) -> list[list[np.ndarray]]:
    """Give the accuracy matrices with projection and without, from the same start."""
    x, y, test_x, test_y = _digits()
    inputs = x.shape[1]
    start = {
        "first": _array(3 * random.normal(size=(inputs, UNITS)) / np.sqrt(inputs)),
        "readout": _array(random.normal(size=(UNITS, CLASSES)) / np.sqrt(UNITS)),
    }
    orders = [random.permutation(inputs) for _ in range(TASKS)]
    tests = _array(np.stack([test_x[:, order] for order in orders])), jnp.asarray(test_y)
    # Rows of zeros stand for neurons yet to come: all tasks run the same program.
    none = {name: jnp.zeros((TASKS * n, len(start[name]))) for name, n in LATERAL.items()}
    subspaces, networks, rows = none, [start, start], [[], []]
    for task, order in enumerate(orders):
        shuffled = [random.permutation(len(x))[: len(x) // BATCH * BATCH] for _ in range(EPOCHS)]
        index = np.concatenate(shuffled).reshape(-1, BATCH)
        batches = _array(x[:, order][index]), jnp.asarray(y[index])
        for i, h in enumerate((subspaces, none)):
            networks[i], row = _train_task(networks[i], h, batches, *tests)
            rows[i].append(np.asarray(row))
        if task < TASKS - 1:
            subspaces = _grown(subspaces, task, jax.random.fold_in(key, task))
            frozen = {name: jnp.asarray(task * n) for name, n in LATERAL.items()}
            subspaces = _learn_task(networks[0], subspaces, batches[0], frozen)
    return rows


def _grown(subspaces: dict[str, jax.Array], task: int, key: jax.Array) -> dict[str, jax.Array]:
    """Put new neurons in the place of the first rows of zeros."""
    grown = {}
    for name, n in LATERAL.items():
        h = continual.grow_subspace(subspaces[name][: task * n], n, key=key)
        grown[name] = subspaces[name].at[: len(h)].set(h)
    return grown


CLAIM = Claim(
    name="hlop",
    title="Hebbian Learning based Orthogonal Projection for Continual Learning of Spiking Neural "
    "Networks",
    year=2024,
    says="Hebbian lateral neurons project weight updates so that old tasks are hardly forgotten",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
