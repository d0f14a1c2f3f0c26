"""CRReLU and the entropy it is derived from: closed forms, the worst activation, digits."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxnn import data
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import train
from jaxnn.layers.activations import CATALOGUE, Adaptive

NETWORKS = 10
STEPS = 400
BATCH = 64
SAMPLE = 20_000
SPACING = 100
crrelu = CATALOGUE["crrelu"]
# Monotone, between 0 and 1, and without a flat part, where the entropy is minus infinity.
BOUNDED = ("sigmoid", "elliott", "log_log", "complementary_log_log", "aranda_ordaz", "step_plus")


def _slope(x: jax.Array, epsilon: float | jax.Array) -> jax.Array:
    return jax.grad(lambda x: jnp.sum(crrelu(x, epsilon=epsilon)))(x)


def identities(key: jax.Array) -> list[Check]:
    """Special case, derivatives, and the entropy's slope along the correction."""
    x = 2 * jax.random.normal(key, (512,))
    bump = jnp.exp(-x * x / 2)
    slope = jnp.where(x > 0, 1.0, 0.0) + 0.3 * (1 - x * x) * bump
    z = jnp.linspace(-8, 8, 4001)
    density = jnp.exp(-z * z / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])

    def entropy(epsilon):
        # That of f(z), less that of z, is the mean of log f'; below zero f' vanishes at ε = 0.
        positive = jnp.where(z > 0, z, 1.0)
        return jnp.sum(jnp.where(z > 0, density * jnp.log(_slope(positive, epsilon)), 0.0))

    by_epsilon = jax.grad(lambda e: jnp.sum(crrelu(z, epsilon=e) * jnp.sign(z) * density))(0.01)
    return [
        Check(
            "distance from ReLU at ε = 0",
            abs(crrelu(x, epsilon=0.0) - jax.nn.relu(x)).max(),
            "=",
            0.0,
        ),
        Check(
            "slope's distance from its closed form", abs(_slope(x, 0.3) - slope).max(), "<=", 1e-6
        ),
        Check(
            "slope at -1/2 at the start",
            _slope(jnp.array([-0.5]), 0.01)[0],
            "=",
            0.0075 * np.exp(-1 / 8),
            1e-6,
        ),
        Check("mean size of the gradient in ε", by_epsilon, "=", 1 / np.sqrt(2 * np.pi), 1e-4),
        Check(
            "slope of the entropy in ε, z > 0",
            jax.grad(entropy)(0.0),
            "=",
            1 / (4 * np.sqrt(2)),
            1e-3,
        ),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """Entropies by spacings: the normal distribution function has the largest that there is."""
    seed = np.asarray(jax.random.key_data(key)).tolist()
    x = np.random.default_rng(seed).standard_normal(SAMPLE)
    worst = _entropy("probit", x)
    others = {name: _entropy(name, x) for name in BOUNDED}
    # H(f(x)) = H(x) + E log f'(x), for the sigmoid by quadrature.
    z = np.linspace(-12, 12, 24001)
    density = np.exp(-z * z / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    sigmoid = (np.log(2 * np.pi) + 1) / 2 - np.sum(density * (2 * np.logaddexp(0, -z) + z))
    return [
        Check("entropy of Φ(x), nats", worst, "=", 0.0, 0.01),
        Check("entropy of σ(x) by spacings, nats", others["sigmoid"], "=", sigmoid, 0.02),
        Check(
            "the largest entropy of six others, less Φ's", max(others.values()) - worst, "<", 0.0
        ),
    ]


def _entropy(name: str, x: np.ndarray) -> float:
    """Estimate a differential entropy from the gaps between order statistics, without bias."""
    from scipy.special import digamma

    y = np.sort(np.asarray(CATALOGUE[name](jnp.asarray(x, jnp.float32)), np.float64))
    gaps = np.maximum(y[SPACING:] - y[:-SPACING], 1e-12)
    return float(np.mean(np.log(gaps)) + digamma(len(y) + 1) - digamma(SPACING))


class _Network(nn.Module):
    """Two hidden layers, each with an activation of its own."""

    activation: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map images to logits."""
        x = x.reshape(x.shape[0], -1)
        for i in range(2):
            x = nn.Dense(64, name=f"dense_{i}")(x)
            x = self.activation(name=f"activation_{i}")(x)
        return nn.Dense(10, name="outputs")(x)


class _ReLU(nn.Module):
    """ReLU as a module, for the slot."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Rectify."""
        return jax.nn.relu(x)


def effects(key: jax.Array) -> list[Check]:
    """Ten networks of each kind on digits, from the same weights, on the same batches."""
    seed = np.asarray(jax.random.key_data(key)).tolist()
    random = np.random.default_rng(seed)
    digits = data.load("digits")
    rows = jnp.asarray(random.integers(0, len(digits.train.x), (NETWORKS, STEPS, BATCH)))
    keys = jax.random.split(key, NETWORKS)
    relu = _results(_Network(_ReLU), keys, rows, digits)
    ours = _results(_Network(functools.partial(Adaptive, "crrelu")), keys, rows, digits)
    return [
        Check("accuracy above ReLU's, mean of 10, points", ours[0] - relu[0], ">=", 0.0),
        Check("training loss over ReLU's, mean of 10", ours[1] / relu[1], "<", 1.0),
        # Two kinds that learned nothing would agree too.
        Check("accuracy of CRReLU, %", ours[0], ">=", 90.0),
    ]


def _results(model: Any, keys: jax.Array, rows: jax.Array, digits: data.Dataset) -> tuple:
    """Train one network from each key; give mean accuracy and mean loss on all training data."""
    x, y = jnp.asarray(digits.train.x), jnp.asarray(digits.train.y)
    test_x, test_y = jnp.asarray(digits.test.x), jnp.asarray(digits.test.y)

    def loss(params, rows):
        logits = model.apply({"params": params}, x[rows])
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, y[rows]))

    def run(key_and_rows):
        key, rows = key_and_rows
        start = model.init(key, x[:1])["params"]
        params, _ = train(loss, optax.adam(2e-3), start, rows)
        hits = jnp.argmax(model.apply({"params": params}, test_x), axis=-1) == test_y
        return 100 * jnp.mean(hits), loss(params, jnp.arange(len(x)))

    accuracy, final = jax.jit(lambda *each: jax.lax.map(run, each))(keys, rows)
    return float(jnp.mean(accuracy)), float(jnp.mean(final))


CLAIM = Claim(
    name="crrelu",
    title="A Method on Searching Better Activation Functions",
    year=2024,
    says="a distribution function is the activation of largest output entropy, and ReLU with the "
    "correction that the entropy asks for trains at least as well as ReLU",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
