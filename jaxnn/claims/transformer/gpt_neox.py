r"""GPT-NeoX: parts side by side, positions in a quarter of each head, and its initial weights.

All maps start at N(0, 2/5d), but those whose results are added to the stream at 2/(L √d), for L
blocks of width d. A stream of variance 1 then hardly grows on its way through the blocks. (The
model's own embedding starts at the small size too, far below 1, and the stream does grow from
there.) Logits equal to those of the hub's library are held in the presets' tests.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator
from jaxnn.claims.transformer._numpy import (
    affine,
    attend,
    count,
    draw,
    heads,
    layer_norm,
    relative,
    turn,
    wide,
)
from jaxnn.layers.feedforward import Dense
from jaxnn.layers.position import rotary_embedding
from jaxnn.models import TransformerBlock, TransformerStack
from jaxnn.models.presets import GPTNeoX

TIME = 6
TINY = GPTNeoX(
    vocab_size=13, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
    intermediate_size=24, rotary_pct=0.25,
)  # fmt: skip
WIDTH, DEPTH = 128, 24


def identities(key: jax.Array) -> list[Check]:
    """What turned heads see, what parts side by side add, the size, and how streams start."""
    rng = generator(key)
    # One query and one key, at 32 positions each; a quarter of 32 features is turned.
    query, key_ = (jnp.asarray(rng.normal(size=32), jnp.float32) for _ in range(2))
    place = jax.jit(
        lambda x: rotary_embedding(jnp.broadcast_to(x, (32, 1, 32)), jnp.arange(32), fraction=0.25)[
            :, 0
        ]
    )
    turned, others = place(query), place(key_)
    products = np.asarray(turned[:, :8] @ others[:, :8].T)
    slid = np.abs(products[1:, 1:] - products[:-1, :-1]).max()

    block = TransformerBlock(4, parallel=True)
    x = jnp.asarray(rng.normal(size=(1, TIME, 16)), jnp.float32)
    params = draw(block, rng, x)
    whole, in_turn = _changes(block, params, x), _changes(block.clone(parallel=False), params, x)

    growth = _growth(scaled_init, jax.random.normal(key, (512, 1, WIDTH)), key)
    return [
        Check("q_m · k_n over the turned features, m and n one on", slid, "<=", 1e-5),
        Check("the same, m alone one on", np.abs(np.diff(products, axis=0)).max(), ">=", 0.1),
        Check("change of the other features", abs(turned[:, 8:] - query[None, 8:]).max(), "=", 0.0),
        Check("side by side: distance from the sum of both parts", whole, "<=", 1e-5),
        Check("one after the other: the same", in_turn, ">=", 1e-2),
        Check(
            "parameters of the large one, billions",
            count(GPTNeoX().build(scan=True)) / 1e9,
            "=",
            20.554567680,
            1e-9,
        ),
        Check(
            "growth of the stream over its closed form, sequences of one",
            growth / _predicted(),
            "=",
            1.0,
            0.03,  # seven standard errors
        ),
    ]


def _changes(block: nn.Module, params: Any, x: jax.Array) -> float:
    """Compare what a block adds with the sum of what it adds with either part silenced."""

    def silenced(part, last):
        quiet = jax.tree.map(jnp.zeros_like, params[part][last])
        return {**params, part: {**params[part], last: quiet}}

    @jax.jit
    def change(params):
        return jnp.asarray(block.apply({"params": params}, x, is_causal=True)) - x

    parts = change(silenced("attention", "out")) + change(silenced("feedforward", "down"))
    return relative(change(params), parts)


def scaled_init(features: int, *, name: str, **options: Any) -> Dense:
    """Make a map that starts as the paper's do in a stack of ``DEPTH`` blocks."""
    small, last = math.sqrt(2 / (5 * WIDTH)), 2 / (DEPTH * math.sqrt(WIDTH))
    init = nn.initializers.normal(last if name in ("out", "down") else small)
    return Dense(features, name=name, kernel_init=init, **options)


def small_init(features: int, **options: Any) -> Dense:
    """Make a map that starts small, whatever its result is added to."""
    return Dense(
        features, kernel_init=nn.initializers.normal(math.sqrt(2 / (5 * WIDTH))), **options
    )


def _growth(dense: Any, x: jax.Array, key: jax.Array) -> float:
    """Give the mean square of a stream after the blocks over that before."""
    block = functools.partial(
        TransformerBlock,
        4,
        parallel=True,
        dense=dense,
        rotary=functools.partial(rotary_embedding, fraction=0.25),
    )
    stack = TransformerStack(DEPTH, block, is_causal=True, norm=None, scan=True)

    @jax.jit
    def run(key, x):
        y, _ = stack.init_with_output(key, x)
        return jnp.mean(jnp.square(jnp.asarray(y))) / jnp.mean(x**2)

    return float(run(key, x))


def _predicted() -> float:
    """Add up what the parts add, each independent of the rest, where a query sees itself only.

    A normalised row has d entries of variance 1: values have variance 2/5, and their map to the
    stream multiplies that by d · 4/(L² d); hidden units are GELU of N(0, 2/5), 4d of them.
    """
    points, weights = np.polynomial.hermite_e.hermegauss(60)
    z = points * math.sqrt(0.4)
    gelu = z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))) / 2
    hidden = weights @ gelu**2 / weights.sum()
    return 1 + (4 * 0.4 + 16 * hidden) / DEPTH


def agreements(key: jax.Array) -> list[Check]:
    """Logits beside NumPy's, with parts side by side and one after the other."""
    rng = generator(key)
    tokens = rng.integers(13, size=TIME)
    checks = []
    for parallel in (True, False):
        config = dataclasses.replace(TINY, use_parallel_residual=parallel)
        model = config.build()
        params = draw(model, rng)
        got = jax.jit(model.apply)({"params": params}, jnp.asarray(tokens)[None])[0]
        order = "side by side" if parallel else "one after the other"
        distance = relative(got, _logits(wide(params), tokens, parallel))
        checks.append(Check(f"{order}: distance from NumPy", distance, "<=", 1e-5))
    return checks


def _logits(p: Any, tokens: np.ndarray, parallel: bool) -> np.ndarray:
    """Follow the paper's model, of 2 blocks and heads of width 8, of which 2 are turned."""
    x = p["tokens"]["embedding"][tokens]
    for i in range(2):
        block = p[f"blocks_{i}"]
        y, own = layer_norm(x, block["attention_norm"]), block["attention"]
        q, k, v = (heads(y, own[name], 8) for name in ("query", "key", "value"))
        mixed = affine(attend(turn(q, 1e4, 2), turn(k, 1e4, 2), v), own["out"])
        y = layer_norm(x if parallel else x + mixed, block["feedforward_norm"])
        hidden = affine(y, block["feedforward"]["up"])
        erf = np.vectorize(math.erf)(hidden / math.sqrt(2))
        x = x + mixed + affine(hidden * (1 + erf) / 2, block["feedforward"]["down"])
    return affine(layer_norm(x, p["norm"]), p["head"])


def effects(key: jax.Array) -> list[Check]:
    """Variance of a stream after 24 untrained blocks over that before, 64 tokens."""
    key, x_key = jax.random.split(key)
    x = jax.random.normal(x_key, (4, 64, WIDTH))
    return [
        Check(
            "variance after 24 blocks over before, scaled", _growth(scaled_init, x, key), "<=", 2.0
        ),
        Check("the same, all maps small", _growth(small_init, x, key), ">", 2.0),
        Check("the same, all maps at 1 / fan-in", _growth(Dense, x, key), ">", 2.0),
    ]


CLAIM = Claim(
    name="gpt-neox",
    title="GPT-NeoX-20B: An Open-Source Autoregressive Language Model",
    year=2022,
    says="parts side by side, positions in a quarter of each head and scaled initial weights",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
