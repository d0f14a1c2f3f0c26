"""Self-referential weights: their equations, what a full rate writes, and recall after a remap.

The task: five random keys and a label of four for each are shown, then the keys alone, in
another order, to be labelled; then the same keys are given new labels and asked for again. Keys
and labels are drawn anew for each sequence, so nothing about them can be learned but how to
remember. All networks have the same residual block, and differ in the layer that sees the
past alone; the frozen ones have the same weights, which do not change.

The effect is seen in part: the matrix recalled 76.7 and 77.1 % with seeds 0 and 1, which is 51
points above frozen weights, but 9.8 and 7.4 below an LSTM, and not 85 %. Two settings were tried
before, with seed 0. With two blocks, weights of the usual size at the start, and 500 steps of 64
sequences at a rate of 0.005 it learned nothing, 26.4 %, where the LSTM had 77.6. With one block,
the larger weights of now and 800 steps of 32 at that rate it had 61.0 %, the LSTM 76.2.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator, train
from jaxnn.layers.recurrent import (
    SelfReferential,
    delta_rule,
    self_referential,
    self_referential_step,
)

KEYS, LABELS, SIZE = 5, 4, 8
WIDTH, HEADS, BLOCKS = 32, 2, 1
SEEDS, STEPS, BATCH, RATE = 2, 1200, 32, 1e-2
# φ makes inputs small: from these weights, the first keys and outputs have sizes of about 1.
START = nn.initializers.normal((WIDTH / HEADS) ** 0.5 / 2)


def identities(key: jax.Array) -> list[Check]:
    """A full rate with a key of length 1 writes its value; orthogonal keys are a dictionary."""

    def unit(x):
        return x / jnp.linalg.norm(x, axis=-1, keepdims=True)

    w = jax.random.normal(key, (4 + 2 * 6, 6))
    x = jax.random.normal(jax.random.fold_in(key, 1), (6,))
    sure, never = (jnp.concatenate([w, s * jnp.broadcast_to(x, (4, 6))]) for s in (1e3, -1e3))
    new, _ = self_referential_step(sure, x, feature_map=unit)
    k, q = unit(w[4:10] @ unit(x)), unit(w[10:] @ unit(x))
    kept, _ = self_referential_step(never, x, feature_map=unit)
    # Values written to orthogonal keys, then others over them: the last ones are read exactly.
    basis, _ = jnp.linalg.qr(jax.random.normal(key, (5, 5)))
    keys = jnp.concatenate([basis, basis])[:, None]
    values = jax.random.normal(jax.random.fold_in(key, 2), (10, 1, 3))
    _, memory = delta_rule(keys, values, keys, jnp.ones((10, 1)))
    rewritten = jnp.abs(basis @ memory[0].T - values[5:, 0]).max()
    return [
        Check("W φ(k) from its value, rate 1", jnp.abs(new[:16] @ k - w @ q).max(), "<=", 1e-5),
        Check("change of W, rate 0", jnp.abs(kept - never).max(), "=", 0.0),
        Check("delta rule, values after a rewrite", rewritten, "<=", 1e-5),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """The paper's equations in a NumPy loop in float64."""
    x = jax.random.normal(key, (12, 1, 4))
    w = jax.random.normal(jax.random.fold_in(key, 1), (1, 3 + 8 + 4, 4))
    got, last = self_referential(x, w)
    found, want = np.asarray(w[0], np.float64), []

    def softmax(v):
        e = np.exp(v - v.max())
        return e / e.sum()

    for now in np.asarray(x[:, 0], np.float64):
        out = found @ softmax(now)
        want.append(out[:3])
        k, q = softmax(out[3:7]), softmax(out[7:11])
        rates = np.repeat(1 / (1 + np.exp(-out[11:])), [3, 4, 4, 4])
        found = found + np.outer(rates * (found @ q - found @ k), k)
    want = np.stack(want)
    far = np.abs(got[:, 0] - want).max() / np.abs(want).max()
    moved = np.abs(last[0] - found).max() / np.abs(found).max()
    return [
        Check("outputs from a NumPy loop", far, "<=", 1e-5),
        Check("weights after 12 steps", moved, "<=", 1e-5),
    ]


class Frozen(nn.Module):
    """The same matrix, each of whose heads maps its part of the input and stays as it is."""

    features: int
    num_heads: int

    @nn.compact
    def __call__(self, x):
        """Map each step by itself."""
        heads, width = self.num_heads, x.shape[-1] // self.num_heads
        shape = (heads, width, self.features // heads)
        w = self.param("weights", START, shape)
        seen = jax.nn.softmax(x.reshape(*x.shape[:-1], heads, width))
        return jnp.einsum("...hi,hio->...ho", seen, w).reshape(*x.shape[:-1], self.features), None


class Network(nn.Module):
    """A layer that sees the past and one that sees a step, each residual."""

    layer: Callable[[], nn.Module]

    @nn.compact
    def __call__(self, x):
        """Give the logits of every step."""
        x = nn.Dense(WIDTH)(x)
        for _ in range(BLOCKS):
            y = self.layer()(nn.LayerNorm()(x))
            x = x + nn.Dense(WIDTH)(y[0] if isinstance(y, tuple) else y)
            x = x + nn.Dense(WIDTH)(nn.gelu(nn.Dense(2 * WIDTH)(nn.LayerNorm()(x))))
        return nn.Dense(LABELS)(nn.LayerNorm()(x))


def effects(key: jax.Array) -> list[Check]:
    """Accuracy at the questions, of three networks each, after as many steps on the same data."""
    random = generator(key)
    rows, test = _sequences(random, STEPS, BATCH), _sequences(random, 1, 1024)
    keys = jax.random.split(key, SEEDS)
    ours, frozen, lstm = (
        100 * _accuracy(Network(layer), keys, rows, test).mean(axis=0)
        for layer in (
            lambda: SelfReferential(WIDTH, num_heads=HEADS, weights_init=START),
            lambda: Frozen(WIDTH, HEADS),
            lambda: nn.RNN(nn.OptimizedLSTMCell(WIDTH)),
        )
    )
    return [
        Check("accuracy, %", ours.mean(), ">=", 85.0),
        Check("accuracy after the remap, %", ours[1], ">=", 85.0),
        Check("accuracy above frozen weights', points", (ours - frozen).mean(), ">=", 40.0),
        Check("accuracy above the LSTM's, points", (ours - lstm).mean(), ">=", 0.0),
    ]


def _sequences(random: np.random.Generator, steps: int, batch: int) -> tuple[jax.Array, ...]:
    """Draw inputs ``(steps, batch, 4 KEYS, ...)``: shown, asked, shown anew, asked anew."""
    shape = (steps, batch, KEYS)
    keys = random.normal(size=(*shape, SIZE))
    inputs, labels = [], []
    for _ in range(2):
        label = random.integers(0, LABELS, shape)
        for asked in (False, True):
            order = random.permuted(np.broadcast_to(np.arange(KEYS), shape), axis=-1)
            now = np.take_along_axis(label, order, axis=-1)
            hot = np.eye(LABELS)[now] * (not asked)
            seen = np.take_along_axis(keys, order[..., None], axis=-2)
            inputs.append(np.concatenate([seen, hot], axis=-1))
            labels.append(now)
    x, y = np.concatenate(inputs, axis=-2), np.concatenate(labels, axis=-1)
    return jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.int32)


def _accuracy(model: nn.Module, keys: Any, rows: Any, test: Any) -> np.ndarray:
    """Train a network from each key; give its accuracy before and after the remap."""
    asked = (np.arange(4 * KEYS) // KEYS) % 2 == 1
    schedule = optax.warmup_cosine_decay_schedule(0.0, RATE, STEPS // 10, STEPS)
    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))

    def logits(params, x):
        return jnp.asarray(model.apply({"params": params}, x))[:, asked]

    def loss(params, batch):
        x, y = batch
        values = optax.softmax_cross_entropy_with_integer_labels(logits(params, x), y[:, asked])
        return values.mean()

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(0, None, None))
    def run(key, rows, test):
        params, _ = train(loss, tx, model.init(key, rows[0][0])["params"], rows)
        right = jnp.argmax(logits(params, test[0][0]), axis=-1) == test[1][0][:, asked]
        return jnp.mean(right.reshape(-1, 2, KEYS), axis=(0, 2))

    return np.asarray(run(keys, rows, test))


CLAIM = Claim(
    name="self-referential-weight-matrix",
    title="A Modern Self-Referential Weight Matrix That Learns to Modify Itself",
    year=2022,
    says="a matrix that changes itself by the delta rule learns to remember, and to forget",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
