"""OPT: positions from the third row on, both orders of normalisation, and ReLU's silent units.

Logits equal to those of the hub's library are held in the presets' tests; here is the paper's
model, that of GPT-3 with ReLU, in NumPy.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.analysis.sparsity import activation_sparsity
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator, rows_of_text, text, train_language_models
from jaxnn.claims.transformer._numpy import (
    affine,
    attend,
    count,
    draw,
    heads,
    layer_norm,
    relative,
    wide,
)
from jaxnn.models.presets import OPT

TIME = 6
TINY = OPT(
    vocab_size=13, hidden_size=16, num_hidden_layers=2, ffn_dim=24, num_attention_heads=4,
    max_position_embeddings=TIME,
)  # fmt: skip
SEEDS, STEPS, DEPTH = 3, 200, 2
SMALL = OPT(
    vocab_size=256, hidden_size=48, num_hidden_layers=DEPTH, ffn_dim=192, num_attention_heads=4,
    max_position_embeddings=64,
)  # fmt: skip


def identities(key: jax.Array) -> list[Check]:
    """Size, which rows of the table are read, and reading token by token."""
    rng = generator(key)
    model = TINY.build()
    params = draw(model, rng)
    tokens = jnp.asarray(rng.integers(13, size=(1, TIME)))

    @jax.jit
    def logits(table):
        return model.apply({"params": {**params, "position": {"embedding": table}}}, tokens)[0]

    @jax.jit
    def step(cache, token):
        return model.apply({"params": params, "cache": cache}, token, mutable=["cache"])

    table = params["position"]["embedding"]
    whole = logits(table)
    empty = functools.partial(model.apply, mutable=["cache"])
    _, made = jax.eval_shape(empty, {"params": params}, tokens)
    cache = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), made["cache"])
    pieces = []
    for t in range(TIME):
        y, state = step(cache, tokens[:, t : t + 1])
        pieces.append(y[0, 0])
        cache = state["cache"]
    first, third = (abs(logits(table.at[row].add(table[-1])) - whole) for row in (1, 2))
    return [
        Check("parameters of the one of 125M, millions", count(OPT().build()) / 1e6, "=", 125, 1),
        Check("logits moved by the table's first rows", first.max(), "=", 0.0),
        Check("logits of the first token, moved by the third", third[0].max(), ">=", 1e-2),
        Check("read token by token, distance", relative(jnp.stack(pieces), whole), "<=", 1e-5),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """Logits of both orders of normalisation beside NumPy's."""
    rng = generator(key)
    tokens = rng.integers(13, size=TIME)
    checks = []
    for before in (True, False):
        config = dataclasses.replace(TINY, do_layer_norm_before=before)
        model = config.build()
        params = draw(model, rng)
        got = jax.jit(model.apply)({"params": params}, jnp.asarray(tokens)[None])[0]
        order = "before" if before else "after"
        distance = relative(got, _logits(wide(params), tokens, before))
        checks.append(Check(f"normalised {order}: distance from NumPy", distance, "<=", 1e-5))
    return checks


def _logits(p: Any, tokens: np.ndarray, before: bool) -> np.ndarray:
    """Follow the paper's model, of 2 blocks and 4 heads."""
    x = p["tokens"]["embedding"][tokens] + p["position"]["embedding"][2 : 2 + len(tokens)]
    for i in range(2):
        block = p[f"blocks_{i}"]
        own = block["attention"]
        for part in ("attention", "feedforward"):
            norm = functools.partial(layer_norm, p=block[f"{part}_norm"])
            y = norm(x) if before else x
            if part == "attention":
                change = attend(*(heads(y, own[name], 4) for name in ("query", "key", "value")))
                change = affine(change, own["out"])
            else:
                hidden = np.maximum(affine(y, block["feedforward"]["up"]), 0)
                change = affine(hidden, block["feedforward"]["down"])
            x = x + change if before else norm(x + change)
    if before:
        x = layer_norm(x, p["norm"])
    return x @ p["tokens"]["embedding"].T


def effects(key: jax.Array) -> list[Check]:
    """Units that are exactly zero on held-out text, before and after training."""
    keys = jax.random.split(key, SEEDS)
    _, held_out = text()
    starts = np.linspace(0, len(held_out) - 65, 64).astype(int)
    rows = jnp.asarray(rows_of_text(held_out, starts, 64))[:, :-1]
    before, after = {}, {}
    for name in ("relu", "gelu"):
        model = dataclasses.replace(SMALL, activation_function=name).build()

        @jax.jit
        def zeros(params, model=model):
            _, sown = model.apply({"params": params}, rows, mutable=["intermediates"])
            blocks: Any = sown["intermediates"]
            hidden = [blocks[f"blocks_{i}"]["feedforward"]["hidden"][0] for i in range(DEPTH)]
            return activation_sparsity(jnp.stack(hidden))

        start = jax.jit(model.init)
        before[name] = [zeros(start(jax.random.split(k)[0], rows)["params"]) for k in keys]
        after[name] = [
            zeros(params) for params in train_language_models(model, keys, steps=STEPS).params
        ]
    risen = np.sum(np.asarray(after["relu"]) > np.asarray(before["relu"]))
    return [
        Check("units of ReLU at exactly zero, least of 3", min(after["relu"]), ">=", 0.55),
        Check("seeds of 3 where training raised that", risen, "=", SEEDS),
        Check("units of GELU at exactly zero, most of 3", max(after["gelu"]), "<", 0.01),
    ]


CLAIM = Claim(
    name="opt",
    title="OPT: Open Pre-trained Transformer Language Models",
    year=2022,
    says="the model of GPT-3 with ReLU, most of whose hidden units training silences",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
