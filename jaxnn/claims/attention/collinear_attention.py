"""Collinear attention: its logits plane by plane, the best distance, and longer text."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import next_byte_loss, rows_of_text, text, train_language_models
from jaxnn.layers.attention import CollinearAttention, collinear_query_key
from jaxnn.layers.position import rotary_embedding
from jaxnn.models import Transformer, TransformerBlock

WIDTH, LENGTH = 16, 64
TRAINED, LONG = 64, 512
SEEDS, STEPS = 5, 200


def _logits(query, key):
    """Give the logits of one head, turned by rotary positions."""
    steps = jnp.arange(query.shape[0])
    return rotary_embedding(query, steps)[:, 0] @ rotary_embedding(key, steps)[:, 0].T


def _planes(query, key):
    """Give what each plane adds to a pair's logit, the query 0 ... 63 steps after the key."""

    def pair(query, key):
        steps = jnp.arange(LENGTH)
        turned = rotary_embedding(jnp.broadcast_to(query[None], (LENGTH, 1, WIDTH)), steps)
        return jnp.sum((turned[:, 0] * key).reshape(LENGTH, 2, -1), axis=1)

    return jax.vmap(pair)(query, key)


def identities(key: jax.Array) -> list[Check]:
    """The closed form of the logits, plane by plane, and the distance that each plane likes best.

    In one plane rotary positions turn a query and a key by an angle for each step between them.
    From random starting directions some later distance is often better than none; from collinear
    ones none can be.
    """
    query_key, scale_key, other_key = jax.random.split(key, 3)
    query = jax.random.normal(query_key, (LENGTH, 1, WIDTH))
    scale = jax.random.uniform(scale_key, (LENGTH, 1, WIDTH // 2))
    got = np.asarray(_logits(*collinear_query_key(query, scale)))
    q, t = np.asarray(query[:, 0], np.float64), np.asarray(scale[:, 0], np.float64)
    length = q[:, : WIDTH // 2] ** 2 + q[:, WIDTH // 2 :] ** 2
    angles = 10_000.0 ** (-np.arange(WIDTH // 2) / (WIDTH // 2))
    distance = np.arange(LENGTH)[:, None] - np.arange(LENGTH)[None]
    turns = np.cos(distance[..., None] * angles)
    want = np.einsum("mj,nj,mnj->mn", length, t, turns)

    # 1,000 queries and keys, each pair at 64 distances.
    pairs = jax.random.normal(other_key, (2, 1000, 1, WIDTH))
    sizes = jnp.abs(pairs[1, ..., : WIDTH // 2])
    upset = [
        (np.asarray(_planes(*pair)).argmax(1) != 0).mean()
        for pair in (collinear_query_key(pairs[0], sizes), pairs)
    ]
    return [
        Check("distance from the closed form", abs(got - want).max(), "<=", 1e-4),
        Check("planes in which some distance beats none, collinear", upset[0], "=", 0.0),
        Check("the same for a random query and key", upset[1], ">=", 0.25),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """A key made anew for every pair, as the paper defines it, turned by rotary positions."""
    query_key, scale_key = jax.random.split(key)
    query = jax.random.normal(query_key, (LENGTH, 1, WIDTH))
    scale = jax.random.uniform(scale_key, (LENGTH, 1, WIDTH // 2))
    got = _logits(*collinear_query_key(query, scale))
    # For pair (m, n) the key is q of m times t of n, alike in both halves of a plane.
    keys = query * jnp.concatenate([scale, scale], axis=-1)[:, 0][None]
    steps = jnp.arange(LENGTH)
    turned = jax.vmap(lambda row: rotary_embedding(row[:, None], steps)[:, 0])(keys)
    want = jnp.einsum("md,mnd->mn", rotary_embedding(query, steps)[:, 0], turned)
    return [Check("distance from a key made for each pair", abs(got - want).max(), "<=", 1e-4)]


def effects(key: jax.Array) -> list[Check]:
    """Loss on text eight times as long as in training, over that on text as long."""
    keys = jax.random.split(key, SEEDS)
    ratios = {name: _ratios(mixer, keys) for name, mixer in _mixers().items()}
    better = np.sum(ratios["collinear"] < ratios["rotary"])
    return [
        Check("collinear below rotary, networks of five", better, ">=", 4),
        Check(
            f"loss at {LONG} over loss at {TRAINED}, collinear over rotary",
            ratios["collinear"].mean() / ratios["rotary"].mean(),
            "<",
            1.0,
        ),
    ]


def _mixers() -> dict[str, Any]:
    return {"rotary": None, "collinear": CollinearAttention}


def _ratios(mixer: Any, keys: jax.Array) -> np.ndarray:
    block = functools.partial(TransformerBlock, 4, rotary=rotary_embedding, mixer=mixer)
    model = Transformer(256, features=48, block=block)
    trained = train_language_models(model, keys, steps=STEPS, length=TRAINED)
    held_out = text()[1]
    losses = []
    for length in (TRAINED, LONG):
        starts = np.arange(0, len(held_out) - LONG - 1, LONG * 2)
        rows = jnp.asarray(rows_of_text(held_out, starts, length))
        measure = jax.jit(lambda params, rows=rows: next_byte_loss(model, params, rows))
        losses.append([float(measure(params)) for params in trained.params])
    short, long = np.asarray(losses)
    return long / short


CLAIM = Claim(
    name="collinear-attention",
    title="Cure the headache of Transformers via Collinear Constrained Attention",
    year=2023,
    says="with collinear queries and keys, rotary positions reach beyond the trained length",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
