r"""Elastic weight consolidation keeps old tasks where plain descent forgets them.

Three tasks in a row: the library's digits, each task with its own permutation of the pixels. A
network 64-100-10 of rectified units learns each for 330 steps of plain descent at rate 0.1 in
batches of 64, means of three networks; all settings start from the same weights and see the same
batches. After each task its springs are kept: the diagonal Fisher information at 480 training
images, times λ; or λ alone, the same for all weights. λ is one of six for each, a factor of 10 to
the 1/2 apart, and the best of them counts, by the same test images for both: from 10 for the Fisher
information and from 0.001 for the uniform penalty.

At seeds 0 to 2 the Fisher information's springs end 14.6, 20.6 and 15.9 points above none, and
11.5, 16.4 and 12.1 above uniform ones.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator, train
from jaxnn.claims.training import _digits
from jaxnn.train import continual

TASKS, SEEDS, STEPS, BATCH, HIDDEN, CLASSES, IMAGES = 3, 3, 330, 64, 100, 10, 480
ELASTIC = 10 ** np.linspace(1, 3.5, 6)
UNIFORM = 10 ** np.linspace(-3, -0.5, 6)


def identities(key: jax.Array) -> list[Check]:
    """Where the Fisher matrix is diagonal, tasks in turn are learned as if together."""
    random = generator(key)
    tasks = []
    for _ in range(3):
        q = np.linalg.qr(random.normal(size=(8, 3)))[0]
        tasks.append((q * random.uniform(0.5, 2, size=3), random.normal(size=8)))
    alone = [np.linalg.lstsq(a, b, rcond=None)[0] for a, b in tasks]
    parts = (np.concatenate(part) for part in zip(*tasks, strict=True))
    joint = _array(np.linalg.lstsq(*parts, rcond=None)[0])

    def log_likelihood(theta, row):
        # An outcome one standard deviation off: its squared score is the expected one.
        return -0.5 * (row @ theta - jax.lax.stop_gradient(row @ theta) - 1) ** 2

    @jax.jit
    def slope(theta):
        anchors = []
        for (a, _), end in zip(tasks[:2], alone[:2], strict=True):
            fisher = continual.fisher_diagonal(log_likelihood, _array(end), _array(a))
            anchors.append(continual.Anchor(_array(end), fisher))

        def loss(theta):
            a, b = tasks[2]
            new = 0.5 * jnp.mean((_array(a) @ theta - _array(b)) ** 2)
            return new + continual.consolidation_penalty(theta, anchors)

        return jnp.abs(jax.grad(loss)(theta)).max()

    return [
        Check("slope where all three are learned together", float(slope(joint)), "<=", 1e-5),
        Check("slope where the last alone is", float(slope(_array(alone[2]))), ">", 1e-2),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """The diagonal Fisher information of softmax regression against its formula in NumPy."""
    random = generator(key)
    x = _digits.digits()[0][:100]
    kernel = random.normal(size=(64, CLASSES)) / 8
    logits = x.astype(float) @ kernel.astype(np.float32)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    # d log p_y / d K_ic = x_i ([y = c] - p_c), whose variance is x_i² p_c (1 - p_c).
    wanted = np.einsum("ni,nc->ic", x.astype(float) ** 2, p * (1 - p)) / len(x)
    found = jax.jit(
        functools.partial(continual.fisher_diagonal, lambda k, x: jax.nn.log_softmax(x @ k))
    )(_array(kernel), _array(x))
    error = np.abs(np.asarray(found) - wanted).max() / wanted.max()
    return [Check("diagonal Fisher information against NumPy, relative", error, "<=", 1e-4)]


def effects(key: jax.Array) -> list[Check]:
    """Three permutations of the digits' pixels, with springs of two kinds and with none."""
    random = generator(key)
    x, _, test_x, test_y = _digits.digits()
    # For each network and each of the 13 settings: λ F and λ, of which one is 0.
    of_fisher = np.concatenate([[0], ELASTIC, np.zeros(6)])
    of_ones = np.concatenate([[0], np.zeros(6), UNIFORM])
    settings = len(of_fisher)
    start = _digits.mlp(random, (64, HIDDEN, CLASSES), seeds=SEEDS)
    params = jax.tree.map(lambda leaf: jnp.repeat(leaf, settings, axis=0), start)
    scales = [_array(np.tile(scale, SEEDS)) for scale in (of_fisher, of_ones)]
    pixels = np.stack([[random.permutation(64) for _ in range(TASKS)] for _ in range(SEEDS)])
    tests = _array(test_x[:, pixels].transpose(1, 2, 0, 3))
    none = continual.Anchor(params, jax.tree.map(jnp.zeros_like, params))
    anchors, rows = [none] * (TASKS - 1), []
    for task in range(TASKS):
        order = _digits.orders(random, np.arange(len(x)), seeds=SEEDS, steps=STEPS, batch=BATCH)
        shown = np.stack([x[:, pixels[seed, task]] for seed in range(SEEDS)])
        each = [jnp.repeat(a, settings, axis=0) for a in (order, _array(shown), tests)]
        params, fisher, row = _task(params, anchors, scales, *each, test_y)
        if task < TASKS - 1:
            anchors[task] = continual.Anchor(params, fisher)
        rows.append(np.asarray(row).reshape(SEEDS, settings, TASKS))
    accuracy = jnp.asarray(100 * np.stack(rows, axis=-2))
    final = np.nan_to_num(np.asarray(continual.average_accuracy(accuracy)).mean(0))
    lost = np.asarray(continual.forgetting(accuracy)).mean(0)
    best, uniform = 1 + final[1:7].argmax(), 7 + final[7:].argmax()
    return [
        Check("final average accuracy above plain, points", final[best] - final[0], ">=", 10),
        Check("above a uniform penalty, points", final[best] - final[uniform], ">=", 0),
        Check("forgetting, below plain, points", lost[0] - lost[best], ">", 0),
        Check("place of the best λ among six", best, "<", 6),
        Check("place of the best uniform λ among six", uniform - 6, "<", 6),
    ]


def _array(values: np.ndarray) -> jax.Array:
    return jnp.asarray(values, jnp.float32)


@jax.jit
def _task(params, anchors, scales, order, x, tests, test_y):
    """Learn one task with every setting; give weights, springs and accuracy on all tasks."""
    labels = jnp.asarray(_digits.digits()[1])

    def one(params, anchors, order, x, tests):
        def objective(params, index):
            logits = _digits.forward(params, x[index])
            new = optax.softmax_cross_entropy_with_integer_labels(logits, labels[index])
            return jnp.mean(new) + continual.consolidation_penalty(params, anchors)

        params, _ = train(objective, optax.sgd(0.1), params, order)
        logits = _digits.forward(params, tests.reshape(-1, 64)).reshape(TASKS, -1, CLASSES)
        return params, jnp.mean(logits.argmax(-1) == test_y[None], axis=-1)

    def springs(inputs):
        params, x, of_fisher, of_ones = inputs

        def log_probabilities(params, x):
            return jax.nn.log_softmax(_digits.forward(params, x[None])[0])

        fisher = continual.fisher_diagonal(log_probabilities, params, x[:IMAGES])
        return jax.tree.map(lambda leaf: of_fisher * leaf + of_ones, fisher)

    params, accuracy = jax.vmap(one)(params, anchors, order, x, tests)
    return params, jax.lax.map(springs, (params, x, *scales)), accuracy


CLAIM = Claim(
    name="elastic-weight-consolidation",
    title="Overcoming catastrophic forgetting in neural networks",
    year=2017,
    says="weights held by how much they matter to old tasks let a network learn a new one",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
