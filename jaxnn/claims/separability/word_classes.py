"""Word classes inside a network that only predicts the next word, on a planted grammar."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.analysis import separability
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator, train

# Determiner, adjective, noun, verb, preposition.
CLASSES, WORDS = 5, 8
VOCABULARY = CLASSES * WORDS
CONTEXT, EMBEDDING, WIDTH, HIDDEN = 9, 16, 64, 3
TRAINING, TEST = 20_000, 800
STEPS, BATCH, SEEDS = 400, 128, 3


def identities(key: jax.Array) -> list[Check]:
    """What leaves the value unchanged, and where it is known."""
    random = generator(key)
    y = np.arange(500) % CLASSES
    x = random.normal(size=(CLASSES, 12))[y] + random.normal(size=(500, 12))
    value = jax.jit(lambda x, y: _value(jnp.asarray(x), jnp.asarray(y)))

    def of(x, y=y):
        return float(value(np.asarray(x, np.float32), y))

    want = of(x)
    order = random.permutation(12)
    points = np.where(np.arange(500)[:, None] % 2 == 0, 1.0, -1.0) * np.ones((1, 12))
    noise = random.normal(size=(500, 12))
    return [
        Check("change when units are shifted", of(x + 5 * random.normal(size=12)), "=", want, 1e-5),
        Check("scaled", of(x * np.exp(random.normal(size=12))), "=", want, 1e-5),
        Check("permuted", of(x[:, order]), "=", want, 1e-5),
        Check("two classes that are points", of(points, np.arange(500) % 2), "=", -1.0, 1e-5),
        Check("labels at random", of(noise, random.permutation(y)), "=", 0.0, 0.02),
        Check(
            "every unit twice",
            _value(jnp.asarray(np.repeat(x, 2, axis=1), jnp.float32), jnp.asarray(y)),
            "=",
            want,
            1e-5,
        ),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """The value against scikit-learn's distances; the silhouette against scikit-learn's own."""
    from sklearn.metrics import pairwise_distances, silhouette_score

    random = generator(key)
    y = random.integers(0, CLASSES, 200)
    x = random.normal(size=(CLASSES, 12))[y] + random.normal(size=(200, 12))
    apart = pairwise_distances(0.5 * (x - x.mean(0)) / x.std(0))
    clouds = [np.flatnonzero(y == c) for c in range(CLASSES)]
    within = [apart[np.ix_(c, c)].sum() / (len(c) * (len(c) - 1)) for c in clouds]
    between = [apart[np.ix_(c, d)].mean() for i, c in enumerate(clouds) for d in clouds[:i]]
    want = (np.mean(within) - np.mean(between)) / np.sqrt(x.shape[1])
    h, labels = jnp.asarray(x, jnp.float32), jnp.asarray(y)
    score = separability.silhouette(h, labels, num_classes=CLASSES)
    return [
        Check("value less that of a loop", _value(h, labels) - want, "=", 0.0, 1e-5),
        Check("silhouette less scikit-learn's", score - silhouette_score(x, y), "=", 0.0, 1e-5),
    ]


def effects(key: jax.Array) -> list[Check]:
    """Networks that see nine words and predict the tenth, of text and of shuffled text.

    Activations of held-out text are labelled by the class of the tenth word, which the network
    does not see, and no class is ever told. The shuffled control is trained on the same words in
    random order and measured on the same text, as are the networks before training.
    """
    random = generator(key)
    text = [_text(random, TRAINING) for _ in range(SEEDS)]
    shuffled = [random.permutation(words) for words in text]
    corpora = np.stack(text + shuffled)
    rows = random.integers(0, TRAINING - CONTEXT - 1, (2 * SEEDS, STEPS, BATCH))
    windows = np.stack(
        [c[r[..., None] + np.arange(CONTEXT + 1)] for c, r in zip(corpora, rows, strict=True)]
    )
    held_out = _text(random, TEST + CONTEXT)
    test = held_out[np.arange(TEST)[:, None] + np.arange(CONTEXT + 1)]
    measured = jax.jit(jax.vmap(_run, (0, 0, None)))(_init(random), windows, test)
    before, after, accuracy = (np.asarray(m) for m in measured)
    trained, control = after[:SEEDS].mean(0), after[SEEDS:].mean(0)
    untrained = before[:SEEDS].mean(0)
    return [
        Check("value of the last hidden layer", trained[-1], "<=", -0.15),
        Check("below that of the untrained networks, by", untrained[-1] - trained[-1], ">=", 0.1),
        Check("below those trained on shuffled text, by", control[-1] - trained[-1], ">=", 0.1),
        Check("below that of the first hidden layer, by", trained[0] - trained[-1], ">", 0.0),
        Check(
            "least step down from layer to layer",
            -np.diff(trained).max(),
            ">",
            0.0,
        ),
        Check(
            "words foretold, over those foretold after shuffled text",
            accuracy[:SEEDS].mean() / accuracy[SEEDS:].mean(),
            ">",
            1.0,
        ),
    ]


def _value(features: jax.Array, labels: jax.Array) -> jax.Array:
    return separability.generalized_discrimination_value(features, labels, num_classes=CLASSES)


def _text(random: np.random.Generator, length: int) -> np.ndarray:
    """Write sentences of the grammar, words drawn evenly within their class.

    S → NP Verb NP, NP Verb NP Preposition NP; NP → Determiner Noun, Determiner Adjective Noun.
    """
    determiner, adjective, noun, verb, preposition = range(CLASSES)

    def phrase() -> list[int]:
        return [determiner, *([adjective] * int(random.random() < 0.4)), noun]

    classes: list[int] = []
    while len(classes) < length + 1:
        classes += [*phrase(), verb, *phrase()]
        if random.random() < 0.5:
            classes += [preposition, *phrase()]
    return np.asarray(classes[: length + 1]) * WORDS + random.integers(0, WORDS, length + 1)


def _init(random: np.random.Generator) -> dict[str, Any]:
    """Draw the same start for the network on text and its control."""
    sizes = [CONTEXT * EMBEDDING, *[WIDTH] * HIDDEN]

    def draw(*shape, scale):
        return np.tile(random.normal(size=(SEEDS, *shape)) * scale, (2, *[1] * len(shape)))

    params = {
        "embedding": draw(VOCABULARY, EMBEDDING, scale=1.0),
        "hidden": [draw(a, b, scale=np.sqrt(2 / a)) for a, b in itertools.pairwise(sizes)],
        "output": draw(WIDTH, VOCABULARY, scale=np.sqrt(1 / WIDTH)),
    }
    return jax.tree.map(lambda leaf: leaf.astype(np.float32), params)


def _layers(params: dict[str, Any], words: jax.Array) -> list[jax.Array]:
    """Give the hidden layers and the logits."""
    h = params["embedding"][words].reshape(len(words), -1)
    hidden = []
    for kernel in params["hidden"]:
        h = jax.nn.relu(h @ kernel)
        hidden.append(h)
    return [*hidden, h @ params["output"]]


def _run(params: dict[str, Any], windows: jax.Array, test: jax.Array) -> tuple[jax.Array, ...]:
    """Train one network; measure its hidden layers before and after, and its accuracy."""

    def loss(params, rows):
        logits = _layers(params, rows[:, :-1])[-1]
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, rows[:, -1]))

    trained, _ = train(loss, optax.adam(2e-3), params, windows)

    def values(params):
        return jnp.stack(
            [_value(h, test[:, -1] // WORDS) for h in _layers(params, test[:, :-1])[:-1]]
        )

    hits = jnp.argmax(_layers(trained, test[:, :-1])[-1], -1) == test[:, -1]
    return values(params), values(trained), jnp.mean(hits, dtype=jnp.float32)


CLAIM = Claim(
    name="word-classes",
    title="Word class representations spontaneously emerge in a deep neural network trained on "
    "next word prediction",
    year=2023,
    says="a network that predicts the next word groups its activations by the class of the word "
    "to come, of which it was never told",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
