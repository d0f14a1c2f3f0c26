"""Gemma 2: windows in every other block, capped logits, norms around each part, distillation.

Logits equal to those of the hub's library are held in the presets' tests; here is the paper's
model in NumPy. The teacher of the last checks is a wider model of the same family, trained longer
on the same source.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator, next_byte_loss, train_language_models
from jaxnn.claims.transformer._numpy import (
    affine,
    attend,
    count,
    draw,
    heads,
    relative,
    rms_norm,
    turn,
    wide,
)
from jaxnn.models import Transformer
from jaxnn.models.presets import Gemma2
from jaxnn.train.losses import distillation

TIME, WINDOW = 7, 3
TINY = Gemma2(
    vocab_size=13, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, head_dim=6, query_pre_attn_scalar=10,
    sliding_window=WINDOW, attn_logit_softcapping=1.0, final_logit_softcapping=2.0,
)  # fmt: skip
SEEDS, STEPS, BATCH = 5, 150, 8
TEACHER_STEPS = 500


def identities(key: jax.Array) -> list[Check]:
    """Size, who sees whom, bounds of the logits, and what the two norms take away."""
    rng = generator(key)
    model = TINY.build()
    params = draw(model, rng)
    tokens = jnp.asarray(rng.integers(13, size=(1, TIME)))

    @jax.jit
    def run(params):
        logits, sown = model.apply({"params": params}, tokens, mutable=["intermediates"])
        blocks = [sown["intermediates"][f"blocks_{i}"]["attention"] for i in range(2)]
        return logits, [block["attention_weights"][0] for block in blocks]

    logits, weights = run(params)
    seen = np.stack([np.asarray(each)[0] > 0 for each in weights])
    wrong = 0
    for h, i, j in np.ndindex(4, TIME, TIME):
        wrong += seen[0, h, i, j] != (j <= i and i - j < WINDOW)
        wrong += seen[1, h, i, j] != (j <= i)
    # Logits of at most one before the softmax: no weight is e² times another's.
    least = np.where(seen[1, 0], np.asarray(weights[1])[0], np.inf).min(-1)
    most = np.asarray(weights[1])[0].max(-1)

    def scaled(part, last, factor):
        """Multiply a part's last map in all blocks."""
        changed = dict(params)
        for i in range(2):
            block = dict(params[f"blocks_{i}"])
            larger = jax.tree.map(lambda leaf: factor * leaf, block[part][last])
            changed[f"blocks_{i}"] = {**block, part: {**block[part], last: larger}}
        return changed

    after = [
        run(scaled(*each, 1000.0))[0] for each in (("attention", "out"), ("feedforward", "down"))
    ]
    table = params["tokens"]["embedding"]
    large = run({**params, "tokens": {"embedding": 1000 * table}})[0]
    # A file's scale w stands for a factor of 1 + w.
    entry = next(each for each in TINY.table().entries if "norm/scale" in each.params)
    w = rng.normal(size=16).astype(np.float32)
    loaded = entry.load(w)[0]
    full = Gemma2()
    return [
        Check(
            "parameters of the 2B outside the embedding, billions",
            (count(full.build()) - full.vocab_size * full.hidden_size) / 1e9,
            "=",
            2.024517888,
            1e-9,
        ),
        Check("pairs seen against a window of 3, then all before", wrong, "=", 0),
        Check(
            "attention weights at a cap of 1, most over least",
            (most / least).max(),
            "<=",
            np.exp(2),
        ),
        Check(
            "largest logit, embedding times 1000, at a cap of 2", abs(large).max(), "=", 2.0, 1e-6
        ),
        Check(
            "a part 1000 times as large: change of the logits",
            max(relative(y, logits) for y in after),
            "<=",
            1e-4,
        ),
        Check("a file's scales w, distance from 1 + w", np.abs(loaded - (1 + w)).max(), "=", 0.0),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """Logits beside NumPy's."""
    rng = generator(key)
    model = TINY.build()
    params = draw(model, rng)
    tokens = rng.integers(13, size=TIME)
    got = jax.jit(model.apply)({"params": params}, jnp.asarray(tokens)[None])[0]
    p = wide(params)
    x = 4 * p["tokens"]["embedding"][tokens]
    for i in range(2):
        block = p[f"blocks_{i}"]
        y, own = rms_norm(x, block["attention_norm"]), block["attention"]
        q, k, v = (heads(y, own[name], 6) for name in ("query", "key", "value"))
        q, k = turn(q, 1e4, 6), turn(k, 1e4, 6)
        y = attend(q, k, v, scale=10**-0.5, cap=1.0, window=None if i else WINDOW)
        x = x + rms_norm(affine(y, own["out"]), block["attention_out_norm"])
        y, network = rms_norm(x, block["feedforward_norm"]), block["feedforward"]
        gate = affine(y, network["gate"])
        gate = gate * (1 + np.tanh(np.sqrt(2 / np.pi) * (gate + 0.044715 * gate**3))) / 2
        y = affine(gate * affine(y, network["up"]), network["down"])
        x = x + rms_norm(y, block["feedforward_out_norm"])
    want = 2 * np.tanh(rms_norm(x, p["norm"]) @ p["tokens"]["embedding"].T / 2)
    return [Check("distance from NumPy", relative(got, want), "<=", 1e-5)]


def _model(width: int) -> Transformer:
    return Gemma2(
        vocab_size=256, hidden_size=width, intermediate_size=4 * width, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=16, query_pre_attn_scalar=16,
        sliding_window=16,
    ).build()  # fmt: skip


def effects(key: jax.Array) -> list[Check]:
    """Loss on held-out source code of students of a teacher, and of the text alone."""
    teacher_key, key = jax.random.split(key)
    keys = jax.random.split(key, SEEDS)
    teacher, student = _model(64), _model(32)
    taught = train_language_models(teacher, teacher_key[None], steps=TEACHER_STEPS)

    def loss(model, params, rows):
        logits, targets = (
            jnp.asarray(each.apply({"params": p}, rows[:, :-1]))
            for each, p in ((model, params), (teacher, taught.params[0]))
        )
        return jnp.mean(distillation(logits, targets))

    alone, distilled = (
        train_language_models(student, keys, steps=STEPS, batch=BATCH, loss=each).validation
        for each in (next_byte_loss, loss)
    )
    return [
        Check(
            "seeds of 5 where the distilled student's loss is lower",
            np.sum(distilled < alone),
            ">=",
            4,
        ),
        # Nothing is to be learned from a teacher that is no better.
        Check(
            "teacher's loss over that of the best student alone",
            taught.validation[0] / alone.min(),
            "<=",
            0.9,
        ),
    ]


CLAIM = Claim(
    name="gemma-2",
    title="Gemma 2: Improving Open Language Models at a Practical Size",
    year=2024,
    says="a small model learns more from a teacher's probabilities than from the same tokens alone",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
