"""BLOOM's choices: linear biases by their formula, its size, and texts longer than trained on.

Head h of n lowers the logit of query i and key j by 2^{-8h/n} |i - j|, and the embedded tokens
are normalised. Logits equal to those of the hub's library are held in the presets' tests.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import (
    generator,
    next_byte_loss,
    rows_of_text,
    text,
    train_language_models,
)
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
from jaxnn.layers.position import alibi_bias, alibi_slopes
from jaxnn.models._transformer import SinusoidalPosition
from jaxnn.models.presets import Bloom

TIME = 7
TINY = Bloom(vocab_size=13, hidden_size=16, n_layer=2, n_head=4)
SEEDS, STEPS, LENGTH, LONGER = 5, 150, 64, 256


def identities(key: jax.Array) -> list[Check]:
    """The slopes and biases, the published size, and what cannot change the logits."""
    rng = generator(key)
    wrong = max(
        np.abs(np.asarray(alibi_slopes(n)) - 2.0 ** (-8 * np.arange(1, n + 1) / n)).max()
        for n in (4, 16, 64)
    )
    # 112 heads: those of 64, then every other one of 128.
    many = [2.0 ** (-8 * h / 64) for h in range(1, 65)]
    many += [2.0 ** (-8 * h / 128) for h in range(1, 97, 2)]
    bias = np.asarray(alibi_bias(jnp.arange(TIME), jnp.arange(TIME), alibi_slopes(8)))
    loop = np.zeros(bias.shape)
    for h, i, j in np.ndindex(loop.shape):
        loop[h, i, j] = -(2.0 ** -(h + 1)) * abs(i - j)
    model = TINY.build()
    params = draw(model, rng)
    tokens = jnp.asarray(rng.integers(13, size=(1, TIME)))
    vectors = TINY.build(head=False)

    @jax.jit
    def run(table, positions):
        return vectors.apply(
            {"params": {**params, "tokens": {"embedding": table}}}, tokens, positions=positions
        )

    table, steps = params["tokens"]["embedding"], jnp.arange(TIME)
    want = run(table, steps)
    large = Bloom(hidden_size=14336, n_layer=70, n_head=112).build(scan=True)
    return [
        Check("slopes of 4, 16 and 64 heads, distance from 2^(-8h/n)", wrong, "<=", 1e-7),
        Check(
            "slopes of BLOOM's 112 heads, distance",
            np.abs(np.asarray(alibi_slopes(112)) - many).max(),
            "<=",
            1e-7,
        ),
        Check("biases of 8 heads, distance from a loop", np.abs(bias - loop).max(), "=", 0.0),
        Check(
            "positions from 100 on, distance", abs(run(table, steps + 100) - want).max(), "<=", 1e-4
        ),
        Check(
            "positions twice as far apart, distance",
            abs(run(table, 2 * steps) - want).max(),
            ">=",
            1e-2,
        ),
        Check(
            "embedding ten times as large, distance",
            abs(run(10 * table, steps) - want).max(),
            "<=",
            1e-3,
        ),
        Check(
            "parameters of the large one, billions", count(large) / 1e9, "=", 176.247271424, 1e-9
        ),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """Logits beside NumPy's."""
    rng = generator(key)
    model = TINY.build()
    params = draw(model, rng)
    tokens = rng.integers(13, size=TIME)
    got = jax.jit(model.apply)({"params": params}, jnp.asarray(tokens)[None])[0]
    p = wide(params)
    x = layer_norm(p["tokens"]["embedding"][tokens], p["embedding_norm"])
    for i in range(TINY.n_layer):
        block = p[f"blocks_{i}"]
        y, own = layer_norm(x, block["attention_norm"]), block["attention"]
        three = (heads(y, own[name], 4) for name in ("query", "key", "value"))
        x = x + affine(attend(*three, slopes=2.0 ** -np.arange(2, 9, 2)), own["out"])
        hidden = affine(layer_norm(x, block["feedforward_norm"]), block["feedforward"]["up"])
        cubic = np.sqrt(2 / np.pi) * (hidden + 0.044715 * hidden**3)
        x = x + affine(hidden * (1 + np.tanh(cubic)) / 2, block["feedforward"]["down"])
    want = layer_norm(x, p["norm"]) @ p["tokens"]["embedding"].T
    return [Check("distance from NumPy", relative(got, want), "<=", 1e-5)]


def effects(key: jax.Array) -> list[Check]:
    """Loss on texts four times as long as those trained on, beside sinusoidal positions.

    The other model differs in nothing but its positions; tokens start as large as sinusoids are,
    and have a head of their own, so that both positions are as easy to see.
    """
    config = Bloom(vocab_size=256, hidden_size=32, n_layer=2, n_head=4, tie_word_embeddings=False)
    linear = config.build().clone(embedding_init=nn.initializers.normal(1.0))
    models = {
        "linear": linear,
        "sinusoidal": linear.clone(position_bias=None, position=SinusoidalPosition),
    }
    _, held_out = text()
    starts = np.linspace(0, len(held_out) - LONGER - 1, 64).astype(int)
    long = jnp.asarray(rows_of_text(held_out, starts, LONGER))
    # The same bytes in pieces of the length that was trained on.
    places = (starts[:, None] + np.arange(0, LONGER, LENGTH)).reshape(-1)
    short = jnp.asarray(rows_of_text(held_out, places, LENGTH))
    keys = jax.random.split(key, SEEDS)
    ratios, losses = {}, {}
    for name, model in models.items():
        both = jax.jit(
            lambda params, model=model: jnp.stack(
                [next_byte_loss(model, params, rows) for rows in (long, short)]
            )
        )
        trained = train_language_models(model, keys, steps=STEPS, length=LENGTH)
        found = np.stack([both(params) for params in trained.params])
        ratios[name], losses[name] = found[:, 0] / found[:, 1], found[:, 1]
    p = np.bincount(np.asarray(short[:, 1:]).reshape(-1)) / short[:, 1:].size
    frequencies = -np.sum(p[p > 0] * np.log(p[p > 0]))
    return [
        Check(
            "seeds of 5 with NLL(256) / NLL(64) below 1.1", np.sum(ratios["linear"] < 1.1), ">=", 4
        ),
        Check(
            "seeds of 5 with a ratio below that of sinusoids",
            np.sum(ratios["linear"] < ratios["sinusoidal"]),
            ">=",
            4,
        ),
        # A model that knows nothing is as good at any length.
        Check(
            "NLL(64) over that of byte frequencies, worst",
            losses["linear"].max() / frequencies,
            "<=",
            0.9,
        ),
        Check("the same of sinusoids", losses["sinusoidal"].max() / frequencies, "<=", 0.9),
    ]


CLAIM = Claim(
    name="bloom",
    title="What Language Model to Train if You Have One Million GPU Hours?",
    year=2022,
    says="attention biases linear in the distance serve texts longer than those trained on",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
