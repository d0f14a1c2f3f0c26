"""Examples in which a network finds little weigh less, and mislead it less.

A network of two 3x3 convolutions, 16 and 32 wide with 2x2 means between, and a head on the mean of
its last features, on the library's digits: 300 steps of Adam at 2e-3 in batches of 64, ten starts;
the cross-entropy and the bias loss share starts and batches. Near blank images are every second
training image, its contrast cut to a twentieth; with random labels they are noise to learn from.

That training profits from near blank images weighing less does not hold: it ends 0.33 points below
the cross-entropy at seed 0 (p = 0.86), 0.06 and 0.36 above at seeds 1 and 2 (0.39 and 0.19). On all
images as they are it is 0.58, 0.08 and 0.31 below. The weights lie between 0.7 and 1.05. Tried at
seed 0: 600 steps, 0.17 points above (0.20) and 0.25 below; the weights of the authors' code, from
0.3 to 0.65, 0.14 below (0.66) and 0.78 below.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator, train
from jaxnn.claims.training import _digits
from jaxnn.train import losses

SEEDS, STEPS, BATCH = 10, 300, 64


def identities(key: jax.Array) -> list[Check]:
    """Features of one variance weigh alike, and weights have no gradient."""
    random = generator(key)
    z = jnp.asarray(random.normal(size=(16, 5)), jnp.float32)
    y = jnp.asarray(random.integers(0, 5, 16))
    t = jnp.asarray(random.normal(size=(16, 9)), jnp.float32)
    same = jnp.asarray(np.stack([np.roll(t[0], i) for i in range(16)]))

    @jax.jit
    def values():
        pull = jax.grad(lambda t: jnp.sum(losses.bias_loss((z, t), y)))(t)
        alike, plain = losses.bias_loss((z, same), y), losses.cross_entropy(z, y)
        return jnp.abs(alike - 0.7 * plain).max(), jnp.abs(pull).max()

    away, pull = map(float, values())
    return [
        Check(
            "one variance: distance from 0.7 of the cross-entropy",
            away,
            "<",
            1e-5,
        ),
        Check("largest gradient for features", pull, "=", 0),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """Values and gradients against NumPy."""
    random = generator(key)
    z, y, t = random.normal(size=(16, 5)), random.integers(0, 5, 16), random.normal(size=(16, 9))
    loss = jax.jit(
        jax.value_and_grad(lambda z, t: jnp.sum(losses.bias_loss((z, t), jnp.asarray(y))) / 16)
    )
    value, pull = loss(jnp.asarray(z, jnp.float32), jnp.asarray(t, jnp.float32))
    spread = t.var(1, ddof=1)
    w = np.exp(0.3 * (spread - spread.min()) / (spread.max() - spread.min())) - 0.3
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    want = np.mean(-w * np.log(p[np.arange(16), y]))
    slope = w[:, None] * (p - np.eye(5)[y]) / 16
    return [
        Check("value against NumPy", abs(float(value) - want), "<", 1e-5),
        Check("gradients against NumPy", np.abs(np.asarray(pull) - slope).max(), "<", 1e-6),
    ]


def effects(key: jax.Array) -> list[Check]:
    """Digits, and digits of which half are near blank with random labels."""
    from scipy import stats

    random = generator(key)
    x, y, test_x, test_y = _digits.digits()
    faint = np.arange(len(x)) % 2 == 0
    blank = np.where(faint[:, None], 0.05 * x, x)
    noise = np.where(faint, random.integers(0, 10, len(y)), y)
    starts = _starts(random)
    order = _digits.orders(random, np.arange(len(y)), seeds=SEEDS, steps=STEPS, batch=BATCH)
    found, params = {}, starts
    for biased in (False, True):
        run = _trainer(biased)
        for name, (images, labels) in {"clean": (x, y), "blank": (blank, noise)}.items():
            params = run(starts, order, jnp.asarray(images), jnp.asarray(labels))
            logits, _ = _outputs(params, jnp.asarray(test_x))
            found[name, biased] = 100 * np.mean(np.asarray(logits).argmax(-1) == test_y, axis=-1)
    features = np.asarray(_outputs(params, jnp.asarray(blank))[1])
    spread = features.reshape(SEEDS, len(x), -1).var(-1)
    auc = [
        stats.mannwhitneyu(s[~faint], s[faint])[0] / (faint.sum() * (~faint).sum()) for s in spread
    ]
    gain = found["blank", True] - found["blank", False]
    p = stats.ttest_rel(found["blank", True], found["blank", False], alternative="greater").pvalue
    return [
        Check("near blank weigh less: area under the curve", float(np.mean(auc)), ">", 0.9),
        Check(
            "clean: below the cross-entropy, points",
            float(np.mean(found["clean", False] - found["clean", True])),
            "<=",
            0.5,
        ),
        Check("near blank: above the cross-entropy, points", float(np.mean(gain)), ">", 0),
        Check("near blank: p of a paired test", float(p), "<", 0.1),
    ]


def _starts(random: np.random.Generator) -> list[jax.Array]:
    shapes = ((9, 16), (9 * 16, 32), (32, 10))
    return [
        jnp.asarray(random.normal(size=(SEEDS, *s)) * (2 / s[0]) ** 0.5, jnp.float32)
        for s in shapes
    ]


def _network(params: list[jax.Array], x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Give logits and the features of the last convolution, ``(batch, 4, 4, 32)``."""
    h = _convolve(x.reshape(-1, 8, 8, 1), params[0])
    h = h.reshape(-1, 4, 2, 4, 2, 16).mean((2, 4))
    features = _convolve(h, params[1])
    return features.mean((1, 2)) @ params[2], features


def _convolve(x: jax.Array, kernel: jax.Array) -> jax.Array:
    size = x.shape[1]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifted = [padded[:, i : i + size, j : j + size] for i in range(3) for j in range(3)]
    rows = jnp.concatenate(shifted, axis=-1)
    return jax.nn.relu(jnp.dot(rows.reshape(-1, rows.shape[-1]), kernel)).reshape(
        *x.shape[:-1], kernel.shape[-1]
    )


_outputs = jax.jit(jax.vmap(_network, (0, None)))


def _trainer(biased: bool):
    def one(params, order, x, y):
        def objective(params, index):
            outputs = _network(params, x[index])
            if biased:
                return jnp.mean(losses.bias_loss(outputs, y[index]))
            return jnp.mean(losses.cross_entropy(outputs[0], y[index]))

        return train(objective, optax.adam(2e-3), params, order)[0]

    return jax.jit(jax.vmap(one, (0, 0, None, None)))


CLAIM = Claim(
    name="bias-loss",
    title="Bias Loss for Mobile Neural Networks",
    year=2021,
    says="examples with features of little variance weigh less, which helps where they mislead",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
