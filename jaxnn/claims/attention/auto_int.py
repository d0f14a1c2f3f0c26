"""AutoInt: interacting layers by hand, and planted products of fields, found and pointed out."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import train
from jaxnn.layers.attention import InteractingLayer
from jaxnn.models import AutoInt

FIELDS, ROWS, STEPS, BATCH = 10, 6000, 1200, 128
PAIRS = ((1, 4), (2, 7))
PLANTED = (3.0, 2.0)


def identities(key: jax.Array) -> list[Check]:
    """Without layers the second derivatives of the logit are zero; with one they are not."""
    x = jax.random.normal(key, (FIELDS,))
    curved = []
    for depth in (0, 1):
        model = AutoInt((0,) * FIELDS, features=4, depth=depth, layer_features=8)

        def logit(x, params, model=model):
            return model.apply({"params": params}, x)[0]

        @jax.jit
        def largest(key, x, model=model, logit=logit):
            params = model.init(key, x)["params"]
            return jnp.abs(jax.hessian(logit)(x, params)).max()

        curved.append(float(largest(key, x)))
    return [
        Check("largest second derivative without layers", curved[0], "=", 0.0),
        Check("the same with one", curved[1], ">", 1e-6),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """One layer, field by field and head by head."""
    x = jax.random.normal(key, (5, 6))
    module = InteractingLayer(2, 8)
    params = jax.jit(module.init)(key, x)["params"]
    got = np.asarray(jax.jit(module.apply)({"params": params}, x))
    e = np.asarray(x, np.float64)
    w = {name: np.asarray(value["kernel"], np.float64) for name, value in params.items()}
    want = e @ w["residual"]
    for m, h in np.ndindex(5, 2):
        part = slice(4 * h, 4 * h + 4)
        query = e[m] @ w["query"][:, part]
        powers = np.exp([query @ (e[k] @ w["key"][:, part]) for k in range(5)])
        for k in range(5):
            want[m, part] += powers[k] / powers.sum() * (e[k] @ w["value"][:, part])
    return [Check("distance from NumPy", abs(got - np.maximum(want, 0)).max(), "<=", 1e-5)]


def effects(key: jax.Array) -> list[Check]:
    """Planted: the log-odds of a click are 3 x₁x₄ + 2 x₂x₇ and noise, ten fields in all."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score

    x_key, noise_key, click_key, fit_key = jax.random.split(key, 4)
    x = jax.random.normal(x_key, (ROWS, FIELDS))
    odds = sum(size * x[:, i] * x[:, j] for size, (i, j) in zip(PLANTED, PAIRS, strict=True))
    odds = odds + 0.5 * jax.random.normal(noise_key, (ROWS,))
    clicks = jax.random.bernoulli(click_key, jax.nn.sigmoid(odds)).astype(jnp.float32)
    half = ROWS * 2 // 3

    def score(logits):
        return roc_auc_score(np.asarray(clicks[half:]), np.asarray(logits))

    ours, ranks = _fit(3, fit_key, x, clicks, half)
    without, _ = _fit(0, fit_key, x, clicks, half)
    logistic = LogisticRegression().fit(np.asarray(x[:half]), np.asarray(clicks[:half]))
    linear = score(logistic.decision_function(np.asarray(x[half:])))
    return [
        Check("area under the curve above logistic regression's", score(ours) - linear, ">=", 0.03),
        Check("the same above no interacting layer's", score(ours) - score(without), ">=", 0.03),
        Check("mean rank of the planted pairs among 45", np.mean(ranks), "<=", 3.0),
    ]


def _fit(depth, key, x, clicks, half):
    """Train on the first rows; give test logits and the ranks of the planted pairs."""
    model = AutoInt((0,) * FIELDS, features=8, depth=depth, layer_features=16)

    def logits(params, x):
        return jnp.asarray(model.apply({"params": params}, x))[..., 0]

    def loss(params, rows):
        return jnp.mean(optax.sigmoid_binary_cross_entropy(logits(params, x[rows]), clicks[rows]))

    @jax.jit
    def run(key):
        init_key, rows_key = jax.random.split(key)
        params = model.init(init_key, x[:1])["params"]
        rows = jax.random.randint(rows_key, (STEPS, BATCH), 0, half)
        tx = optax.adamw(optax.cosine_decay_schedule(1e-2, STEPS), weight_decay=1e-3)
        params, _ = train(loss, tx, params, rows)
        return logits(params, x[half:]), _interactions(params, logits, x[half : half + 512])

    test, strength = run(key)
    strength = np.asarray(strength)
    above = np.triu_indices(FIELDS, 1)
    order = np.argsort(-strength[above])
    listed = list(zip(above[0][order].tolist(), above[1][order].tolist(), strict=True))
    return test, [1 + listed.index(pair) for pair in PAIRS]


def _interactions(params, logits, x):
    """Give how far from additive the logit is in each pair of fields, ``(fields, fields)``.

    Two fields of a row take another row's values, alone and together; what both together change
    beyond the sum of each alone is their interaction.
    """
    other = jnp.roll(x, 1, axis=0)

    def swapped(*fields):
        return logits(params, x.at[:, jnp.stack(fields)].set(other[:, jnp.stack(fields)]))

    def pair(i, j):
        mixed = swapped(i, j) - swapped(i) - swapped(j) + logits(params, x)
        return jnp.mean(jnp.abs(mixed))

    every = jnp.arange(FIELDS)
    return jax.vmap(jax.vmap(pair, (None, 0)), (0, None))(every, every)


CLAIM = Claim(
    name="auto-int",
    title="AutoInt: Automatic Feature Interaction Learning via Self-Attentive Neural Networks",
    year=2018,
    says="self-attention among the fields of a row finds which of them multiply",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
