"""Geometry of a hidden layer: tanh units follow the labels, ReLU units keep the inputs' clusters.

Four clusters c1, c2 = ±1 lie at (c1, c2, c1 c2 / 2) in three of 30 dimensions, with Gaussian noise
of deviation 0.1 in all; the label is c1 c2. One hidden layer of 100 units, small to begin with,
learns it by gradient descent on the squared error; then kernels are compared on fresh examples.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.analysis import similarity
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator, train

INPUTS, UNITS, SEEDS, EXAMPLES = 30, 100, 6, 200
SEPARATION, NOISE = 0.5, 0.1
STEPS = 2000
TX = optax.sgd(0.1)


def identities(key: jax.Array) -> list[Check]:
    """What leaves the alignment as it is."""
    random = generator(key)
    x, y = (np.float32(random.normal(size=(60, width))) for width in (8, 5))
    turn = jnp.float32(np.linalg.qr(random.normal(size=(8, 8)))[0])
    cka = jax.jit(similarity.linear_cka)
    return [
        Check("CKA with itself", cka(x, x), "=", 1.0, 1e-5),
        Check(
            "change of CKA by a rotation, a scale and a shift",
            cka((3 * x) @ turn + 1, y) - cka(x, y),
            "=",
            0.0,
            1e-5,
        ),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """CKA as traces of centred Gram matrices in float64."""
    random = generator(key)
    x, y = (random.normal(size=(60, width)) for width in (8, 5))
    y = y + x[:, :5]
    h = np.eye(60) - 1 / 60

    def hsic(x: np.ndarray, y: np.ndarray) -> float:
        return np.trace(x @ x.T @ h @ y @ y.T @ h)

    want = hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y))
    cka = jax.jit(similarity.linear_cka)
    return [
        Check("CKA by traces, in NumPy", cka(np.float32(x), np.float32(y)), "=", want, 1e-6),
    ]


def effects(key: jax.Array) -> list[Check]:
    """Both activations from the same starts on the same tasks."""
    random = generator(key)
    axes = np.stack([np.linalg.qr(random.normal(size=(INPUTS, 3)))[0] for _ in range(SEEDS)])
    signs = random.choice([-1.0, 1.0], (2, SEEDS, EXAMPLES, 2))
    y = np.prod(signs, -1)
    z = np.concatenate([signs, SEPARATION * y[..., None]], -1)
    x = np.einsum("pseq,siq->psei", z, axes)
    x = np.float32(x + NOISE * random.normal(size=x.shape))
    small = 0.1 / np.sqrt(INPUTS)
    params = (
        np.float32(small * random.normal(size=(SEEDS, INPUTS, UNITS))),
        np.zeros((SEEDS, UNITS), np.float32),
        np.float32(0.1 / np.sqrt(UNITS) * random.normal(size=(SEEDS, UNITS))),
    )
    tanh, relu = (
        np.asarray(_learn(params, x, np.float32(y), activation=activation)).mean(1)
        for activation in (jnp.tanh, jax.nn.relu)
    )
    return [
        Check("accuracy on fresh examples, tanh, %", 100 * tanh[2], ">=", 99.0),
        Check("accuracy on fresh examples, ReLU, %", 100 * relu[2], ">=", 99.0),
        Check("CKA with the labels, tanh less ReLU", tanh[0] - relu[0], ">=", 0.15),
        Check("CKA with the inputs, ReLU less tanh", relu[1] - tanh[1], ">=", 0.3),
    ]


@partial(jax.jit, static_argnames="activation")
def _learn(params, x, y, *, activation):
    """Train one network a task; give CKA with labels, with inputs, and accuracy of each."""
    steps = jnp.arange(STEPS)

    def one(params, x, y):
        hidden = lambda p, x: activation(x @ p[0] + p[1][None])  # noqa: E731
        loss = lambda p, _: jnp.mean((hidden(p, x[0]) @ p[2] - y[0]) ** 2)  # noqa: E731
        params, _ = train(loss, TX, params, steps)
        h = hidden(params, x[1])
        correct = jnp.mean(jnp.sign(h @ params[2]) == y[1])
        return similarity.linear_cka(h, y[1][:, None]), similarity.linear_cka(h, x[1]), correct

    return jax.vmap(one, (0, 1, 1))(params, x, y)


CLAIM = Claim(
    name="learned-geometry",
    title="Task structure and nonlinearity jointly determine learned representational geometry",
    year=2024,
    says="tanh layers come to mirror the labels, ReLU layers keep the structure of the inputs",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
