"""Views of attention: true to the model, and the head that the summaries point at matters.

Two causal transformers of two blocks learn to continue a random segment that repeats at a lag of
its own, which takes a head that looks at the previous token and one that looks for the same.

The last two checks fail. At seed 0 the loss on repeats is still 0.34 of a guess's (0.2 wanted), so
that the two heads have hardly formed, and in neither model is the head with the highest
previous-token score the one missed most. Of 1500 steps of half the batch there is no result: they
take longer than a claim may.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.analysis import activations, attribution, visualization
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator, train
from jaxnn.claims.transformer._numpy import affine, draw, layer_norm, wide
from jaxnn.layers.position import PositionEmbedding
from jaxnn.models import Transformer

MODELS, STEPS, BATCH = 2, 600, 32
LAYERS, HEADS, WORDS, TIME = 2, 4, 16, 28
LAGS = (6, 12)


def _fixed() -> Transformer:
    """Give a model whose captured queries and keys are those that meet."""
    position: Any = lambda **names: PositionEmbedding(6, **names)  # noqa: E731
    return Transformer(
        vocabulary=11, features=8, depth=LAYERS, num_heads=2, rotary=None, position=position
    )


def identities(key: jax.Array) -> list[Check]:
    """The neuron view's last column against the row of weights that was captured."""
    random = generator(key)
    model = _fixed()
    tokens = jnp.asarray(random.integers(11, size=(1, 6)), jnp.int32)
    _, values = activations.capture(model, {"params": draw(model, random)}, tokens)
    worst = 0.0
    for layer, head, place in ((0, 1, 5), (1, 0, 3)):
        at = f"blocks_{layer}/attention"
        query, keys = (
            np.asarray(values[f"{at}/{name}"][0]).reshape(6, 2, 4)[:, head]
            for name in ("query", "key")
        )
        words = [str(j) for j in range(place + 1)]
        view = visualization.attention_neurons(query[place], keys[: place + 1], words)
        shown = np.asarray(view.axes[0].images[-1].get_array())[:, 0]
        row = np.asarray(values[f"{at}/attention_weights"])[0, head, place]
        worst = max(worst, np.abs(shown - row[: place + 1]).max())
    weights = jnp.asarray(np.eye(5, k=-1) + np.eye(5)[:1].T @ np.eye(5)[:1], jnp.float32)
    summary = attribution.head_summary(weights)
    return [
        Check("softmax(q k / sqrt d): worst distance from captured weights", worst, "=", 0, 1e-6),
        Check("previous-token score of a previous-token head", summary.previous_token, "=", 1.0),
        Check("its entropy", summary.entropy, "=", 0.0),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """Captured attention of every layer and head against a transformer in NumPy."""
    random = generator(key)
    model = _fixed()
    params = draw(model, random)
    tokens = random.integers(11, size=6)
    _, values = activations.capture(model, {"params": params}, jnp.asarray(tokens[None], jnp.int32))
    p = wide(params)
    x = p["tokens"]["embedding"][tokens] + p["position"]["embedding"][:6]
    worst = 0.0
    for layer in range(LAYERS):
        block = p[f"blocks_{layer}"]
        h = layer_norm(x, block["attention_norm"], 1e-6)
        q, k, v = (
            affine(h, block["attention"][name]).reshape(6, 2, 4)
            for name in ("query", "key", "value")
        )
        mixed = np.zeros((6, 2, 4))
        got = np.asarray(values[f"blocks_{layer}/attention/attention_weights"])[0]
        for head, i in np.ndindex(2, 6):
            raised = np.exp([q[i, head] @ k[j, head] / 2 for j in range(i + 1)])
            row = raised / raised.sum()
            mixed[i, head] = row @ v[: i + 1, head]
            worst = max(worst, np.abs(got[head, i, : i + 1] - row).max())
            worst = max(worst, np.abs(got[head, i, i + 1 :]).max(initial=0.0))
        x = x + affine(mixed.reshape(6, 8), block["attention"]["out"])
        h = layer_norm(x, block["feedforward_norm"], 1e-6)
        hidden = affine(h, block["feedforward"]["up"])
        hidden = np.asarray(jax.nn.gelu(jnp.asarray(hidden, jnp.float32)), np.float64)
        x = x + affine(hidden, block["feedforward"]["down"])
    return [Check("captured attention: worst distance from NumPy's", worst, "=", 0.0, 1e-5)]


def effects(key: jax.Array) -> list[Check]:
    """Whether the head with the highest previous-token score is the one missed most."""
    random = generator(key)
    model = Transformer(vocabulary=WORDS, features=64, depth=LAYERS, num_heads=HEADS)
    run, look = jax.jit(lambda *args: _train(model, *args)), jax.jit(lambda *a: _look(model, *a))
    held, counted = _rows(random, 256)
    losses, top = [], 0
    for one in jax.random.split(key, MODELS):
        rows, weights = _rows(random, STEPS * BATCH)
        batches = (
            jnp.asarray(rows.reshape(STEPS, BATCH, -1)),
            jnp.asarray(weights.reshape(STEPS, BATCH, -1)),
        )
        params = run(one, batches)
        loss, scores, without = look(params, jnp.asarray(held), jnp.asarray(counted))
        losses.append(float(loss))
        top += int(np.argmax(scores) == np.argmax(without))
    return [
        Check("loss on repeats, over that of a guess", max(losses) / np.log(WORDS), "<=", 0.2),
        Check("models of 2 whose top previous-token head is the one missed most", top, "=", MODELS),
    ]


def _rows(random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Repeat segments of random lengths; count the tokens after the first period."""
    lags = random.integers(*LAGS, size=(count, 1))
    segments = random.integers(WORDS, size=(count, LAGS[1]))
    places = np.arange(TIME + 1)[None]
    rows = np.take_along_axis(segments, places % lags, 1).astype(np.int32)
    return rows, (places[:, 1:] > lags).astype(np.float32)


def _loss(logits: jax.Array, rows: jax.Array, counted: jax.Array) -> jax.Array:
    values = optax.softmax_cross_entropy_with_integer_labels(logits, rows[:, 1:])
    return jnp.sum(values * counted) / jnp.sum(counted)


def _train(model: Transformer, key: jax.Array, batches: Any) -> Any:
    def loss(params: Any, batch: Any) -> jax.Array:
        logits = jnp.asarray(model.apply({"params": params}, batch[0][:, :-1]))
        return _loss(logits, *batch)

    start = model.init(key, batches[0][0, :, :-1])["params"]
    tx = optax.adam(optax.warmup_cosine_decay_schedule(0.0, 3e-3, 50, STEPS))
    return train(loss, tx, start, batches)[0]


def _look(
    model: Transformer, params: Any, rows: jax.Array, counted: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Give the loss, each head's previous-token score, and the loss without it."""
    variables, tokens = {"params": params}, rows[:, :-1]
    logits, values = activations.capture(model, variables, tokens)
    weights = jnp.stack(
        [values[f"blocks_{i}/attention/attention_weights"] for i in range(LAYERS)], axis=1
    )
    scores = attribution.head_summary(weights).previous_token.mean(0).ravel()

    def without(layer: int, keep: jax.Array) -> jax.Array:
        """Zero the values that a head mixes."""
        width = jnp.repeat(keep, 64 // HEADS)
        change = lambda v: v * width[None, None]  # noqa: E731
        path = f"blocks_{layer}/attention/value"
        return _loss(
            activations.patch(model, variables, tokens, patches={path: change}), rows, counted
        )

    keeps = 1 - jnp.eye(HEADS)
    ablated = [jax.lax.map(lambda keep: without(i, keep), keeps) for i in range(LAYERS)]  # noqa: B023
    return _loss(logits, rows, counted), scores, jnp.concatenate(ablated)


CLAIM = Claim(
    name="attention-views",
    title="A Multiscale Visualization of Attention in the Transformer Model",
    year=2019,
    says="views of heads and neurons show the model's attention as it is, and lead to the heads "
    "that matter",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
