"""Sigmoid attention: row sums in closed form, keys in any order, accuracy beside softmax's."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn import data
from jaxnn.claims import Check, Claim
from jaxnn.layers.attention import (
    MultiHeadAttention,
    dot_product_attention,
    sigmoid_attention,
)
from jaxnn.models import VisionTransformer

LENGTH = 128
NETWORKS = 4
STEPS = 250
BATCH = 32
unbiased = functools.partial(sigmoid_attention, logit_bias=0.0)


def identities(key: jax.Array) -> list[Check]:
    """Row sums where every logit is zero: σ(b) for each of n keys."""
    shape = (LENGTH, 1, 8)
    key_ = value = jax.random.normal(key, shape)
    query = jnp.zeros(shape)

    def row_sums(attention):
        _, weights = attention(query, key_, value, return_weights=True)
        return jnp.sum(weights, axis=-1)

    default, plain = row_sums(sigmoid_attention), row_sums(unbiased)
    closed = LENGTH / (LENGTH + 1)
    return [
        Check("row sums at zero logits, 128 keys, b = -log n", default.mean(), "=", closed, 1e-6),
        Check("the same, distance of the worst row", abs(default - closed).max(), "=", 0.0, 1e-6),
        Check("row sums at zero logits, 128 keys, b = 0", plain.mean(), "=", LENGTH / 2, 1e-4),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """The paper's equation in a NumPy loop, and keys summed in pieces, in reverse order."""
    keys = jax.random.split(key, 3)
    query, key_, value = (2 * jax.random.normal(k, (LENGTH, 2, 8)) for k in keys)
    got = np.asarray(sigmoid_attention(query, key_, value))
    q, k, v = (np.asarray(array, np.float64) for array in (query, key_, value))
    want = np.zeros(got.shape)
    for i, j, h in np.ndindex(LENGTH, LENGTH, 2):
        logit = q[i, h] @ k[j, h] / np.sqrt(8) - np.log(LENGTH)
        want[i, h] += v[j, h] / (1 + np.exp(-logit))
    # Only a running sum is kept: no maximum, and no sum of the weights to divide by.
    pieces = np.zeros(got.shape, np.float32)
    for start in reversed(range(0, LENGTH, 16)):
        part = slice(start, start + 16)
        pieces += sigmoid_attention(query, key_[part], value[part], logit_bias=-np.log(LENGTH))
    softmax = dot_product_attention(query, key_, value)
    theirs = jax.nn.dot_product_attention(query, key_, value)
    scale = np.abs(want).max()
    return [
        Check("distance from a NumPy loop", np.abs(got - want).max() / scale, "<=", 1e-5),
        Check(
            "distance when keys come 16 at a time", np.abs(pieces - want).max() / scale, "<=", 1e-5
        ),
        Check(
            "the softmax baseline's distance from jax.nn's", abs(softmax - theirs).max(), "<=", 1e-5
        ),
    ]


def effects(key: jax.Array) -> list[Check]:
    """Accuracy on digits as sequences of 16 patches, and the size of the first output."""
    init_key, rows_key, norm_key = jax.random.split(key, 3)
    digits = data.load("digits")
    # Both kinds of attention start from the same parameters and see the same batches.
    start = jax.jit(jax.vmap(_network(sigmoid_attention).init, in_axes=(0, None)))(
        jax.random.split(init_key, NETWORKS), jnp.asarray(digits.train.x[:1])
    )
    rows = jax.random.randint(rows_key, (NETWORKS, STEPS, BATCH), 0, len(digits.train.x))
    softmax, sigmoid = (
        100 * _accuracy(attention, start["params"], rows, digits)
        for attention in (dot_product_attention, sigmoid_attention)
    )
    return [
        Check("accuracy below softmax's, points", softmax - sigmoid, "<=", 2.0),
        # Two networks that learned nothing would agree too.
        Check("accuracy of sigmoid attention, %", sigmoid, ">=", 90.0),
        Check(
            "output norm at init, 128 keys, b = 0 over b = -log n",
            _first_norm(norm_key, unbiased) / _first_norm(norm_key, sigmoid_attention),
            ">=",
            10.0,
        ),
    ]


def _first_norm(key: jax.Array, attention: Any) -> jax.Array:
    """Measure what an untrained layer gives on random tokens."""
    module = MultiHeadAttention(4, attention=attention)
    x = jax.random.normal(key, (8, LENGTH, 64))
    return jnp.linalg.norm(jnp.asarray(module.apply(module.init(key, x), x)))


def _network(attention: Any) -> VisionTransformer:
    return VisionTransformer(outputs=10, features=32, depth=2, num_heads=4, attention=attention)


def _accuracy(attention: Any, start: Any, rows: jax.Array, digits: data.Dataset) -> float:
    """Train one network after the other; give their mean accuracy on the test images."""
    model = _network(attention)
    tx = optax.adamw(optax.warmup_cosine_decay_schedule(0.0, 5e-3, STEPS // 10, STEPS))
    x, y = jnp.asarray(digits.train.x), jnp.asarray(digits.train.y)
    test_x, test_y = jnp.asarray(digits.test.x), jnp.asarray(digits.test.y)

    def logits(params, x):
        return jnp.asarray(model.apply({"params": params}, x))

    def loss(params, rows):
        values = optax.softmax_cross_entropy_with_integer_labels(logits(params, x[rows]), y[rows])
        return jnp.mean(values)

    def step(carry, rows):
        params, state = carry
        updates, state = tx.update(jax.grad(loss)(params, rows), state, params)
        return (optax.apply_updates(params, updates), state), None

    def train(start_and_rows):
        params, rows = start_and_rows
        (params, _), _ = jax.lax.scan(step, (params, tx.init(params)), rows)
        return jnp.mean(jnp.argmax(logits(params, test_x), axis=-1) == test_y)

    # A loop and not vmap: stacked matrix products are slower on a processor.
    return float(jnp.mean(jax.jit(lambda *each: jax.lax.map(train, each))(start, rows)))


CLAIM = Claim(
    name="sigmoid-attention",
    title="Theory, Analysis, and Best Practices for Sigmoid Self-Attention",
    year=2024,
    says="with bias -log n, sigmoid attention trains as well as softmax attention",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
