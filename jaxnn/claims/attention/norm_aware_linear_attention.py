"""Norm-aware linear attention: sharper for longer queries, never negative, linear cost."""

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import train_language_models
from jaxnn.layers.attention import (
    LinearAttention,
    NormAwareAttention,
    dot_product_attention,
    linear_attention,
    norm_aware_attention,
)
from jaxnn.models import Transformer

KEYS, QUERIES, WIDTH = 64, 256, 8
NORMS = (0.5, 1.0, 2.0, 4.0, 8.0)
MODELS, STEPS = 2, 200


def identities(key: jax.Array) -> list[Check]:
    """Signs and sums of the weights, and their entropy as queries of one direction grow."""
    query, key_, _ = _arrays(key)
    direction = query / jnp.linalg.norm(query, axis=-1, keepdims=True)

    @jax.jit
    def entropies(size):
        """Give the mean entropy of each kind of weights, for queries of this norm."""
        kinds = (
            _weights(norm_aware_attention, size * direction, key_),
            _weights(dot_product_attention, size * direction, key_),
            _weights(linear_attention, size * direction, key_, feature_map=jax.nn.relu),
        )
        logs = (jnp.log(jnp.where(w > 0, w, 1)) for w in kinds)
        return jnp.stack(
            [-jnp.mean(jnp.sum(w * log, -1)) for w, log in zip(kinds, logs, strict=True)]
        )

    rows = np.stack([entropies(size) for size in NORMS])
    ours, softmax, plain = rows.T
    steepest = [max(b - a for a, b in itertools.pairwise(kind)) for kind in (ours, softmax)]
    weights = jax.jit(lambda q, k: _weights(norm_aware_attention, q, k))(query, key_)
    return [
        Check("least weight", weights.min(), ">=", 0.0),
        Check("worst row sum", abs(weights.sum(-1) - 1).max(), "<=", 1e-5),
        Check(
            "least fall of entropy from norm 0.5 to 8, per doubling, nats", -steepest[0], ">", 0.0
        ),
        Check("the same of softmax attention", -steepest[1], ">", 0.0),
        Check("change of linear attention's with a ReLU map", np.ptp(plain), "<=", 1e-5),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """The n by n matrix of the paper's scores in NumPy, in any order and causally."""
    query, key_, value = _arrays(key)
    q, k, v = (np.asarray(x, np.float64)[:, 0] for x in (query, key_, value))
    norm = np.linalg.norm(q, axis=-1, keepdims=True)
    dq, dk = q / norm, k / np.linalg.norm(k, axis=-1, keepdims=True)
    sizes = np.abs(dq)[:, None] ** (3 * (0.5 + np.tanh(norm)))[:, None] * np.abs(k)[None] ** 3
    scores = (sizes * np.cos(math.pi / 4 * (dq[:, None] - dk[None]))).sum(-1)
    run = jax.jit(norm_aware_attention, static_argnames="is_causal")
    checks = []
    for is_causal, name in ((False, "any order"), (True, "causal")):
        seen = scores * np.tri(QUERIES, KEYS) if is_causal else scores
        want = seen / seen.sum(-1, keepdims=True) @ v
        got = np.asarray(run(query, key_, value, is_causal=is_causal))[:, 0]
        off = np.abs(got - want).max() / np.abs(want).max()
        checks.append(Check(f"distance from the explicit weights, {name}", off, "<=", 1e-5))
    return checks


def effects(key: jax.Array) -> list[Check]:
    """Small language models on real text, with either linear attention in the same slot."""
    keys = jax.random.split(key, MODELS)
    losses = [
        train_language_models(_model(kind), keys, steps=STEPS).validation.mean()
        for kind in (LinearAttention(), NormAwareAttention())
    ]
    return [
        Check("loss of linear attention above ours, nats a byte", losses[0] - losses[1], ">", 0.0),
        # A model that learned nothing but the bytes' frequencies has a loss above 3.
        Check("loss of norm-aware attention, nats a byte", losses[1], "<=", 2.5),
    ]


def _model(attention: Any) -> Transformer:
    return Transformer(vocabulary=256, features=64, depth=2, num_heads=4, attention=attention)


def _arrays(key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    keys = jax.random.split(key, 3)
    shapes = (QUERIES, 1, WIDTH), (KEYS, 1, WIDTH), (KEYS, 1, WIDTH)
    query, key_, value = (jax.random.normal(k, s) for k, s in zip(keys, shapes, strict=True))
    return query, key_, value


def _weights(attention: Any, query: jax.Array, key_: jax.Array, **options: Any) -> jax.Array:
    """Read weights off values that are one-hot, ``(queries, keys)``."""
    return attention(query, key_, jnp.eye(len(key_))[:, None], **options)[:, 0]


CLAIM = Claim(
    name="norm-aware-linear-attention",
    title="NaLaFormer: Norm-Aware Linear Attention for Transformer Models",
    year=2025,
    says="a power set by the query's norm makes linear attention sharper for longer queries",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
