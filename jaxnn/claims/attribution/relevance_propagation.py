"""Relevance propagation: conserved, input times gradient in the limit, continuous, selective.

Networks of three dense layers of ReLUs without biases, on digits. Selectivity is the area under
the probability of the digit named as pixels are blackened, most relevant first, for relevance
by the αβ rule (2, 1), for sensitivity, and for random orders. Continuity is the largest change
of a map, in the sum of magnitudes, over the length of a small change of the image, for deep
Taylor decomposition (z+ and, at the pixels, zB) and sensitivity; maps are scaled to a sum of
magnitudes of one, for their units differ.
"""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxnn import data
from jaxnn.analysis import attribution, faithfulness
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator, train

NETWORKS, STEPS, BATCH, IMAGES, NEIGHBOURS, STEP = 2, 300, 64, 100, 5, 0.02
MODEL = nn.Sequential(
    [
        nn.Dense(64, use_bias=False),
        nn.relu,
        nn.Dense(64, use_bias=False),
        nn.relu,
        nn.Dense(10, use_bias=False),
    ]
)
ALPHA_BETA = (("", attribution.AlphaBetaRule(2.0, 1.0)),)
DEEP_TAYLOR = (("layers_0", attribution.ZBoxRule(0.0, 1.0)), ("", attribution.ZPlusRule()))


def identities(key: jax.Array) -> list[Check]:
    """Conservation by every rule, and the limit of a small ε."""
    random = generator(key)
    params, x = _draw(random), jnp.asarray(random.uniform(size=64), jnp.float32)
    f = lambda x: _logits(params, x)[0]  # noqa: E731
    tables = {
        "z+": (("", attribution.ZPlusRule()),),
        "αβ (2, 1)": ALPHA_BETA,
        "zB at the pixels, z+ behind": DEEP_TAYLOR,
    }

    def measure(x: jax.Array) -> tuple[list[jax.Array], jax.Array]:
        maps = [attribution.layerwise_relevance(f, x, table) for table in tables.values()]
        lost = [jnp.abs(m.sum() - f(x)) / jnp.abs(m).sum() for m in maps]
        product = attribution.input_x_gradient(f, x)
        limit = attribution.layerwise_relevance(f, x, epsilon=1e-9)
        return lost, jnp.abs(limit - product).max() / jnp.abs(product).max()

    lost, limit = jax.jit(measure)(x)
    return [
        *(
            Check(f"{name}: sum minus output, of the sum of magnitudes", value, "=", 0.0, 1e-4)
            for name, value in zip(tables, lost, strict=True)
        ),
        Check("ε to 0: worst distance from input times gradient", limit, "=", 0.0, 1e-5),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """The αβ rule, layer by layer in NumPy."""
    random = generator(key)
    params, x = _draw(random), random.uniform(size=64)
    weights = [np.float64(params[f"layers_{i}"]["kernel"]) for i in (0, 2, 4)]
    inputs = [x]
    for w in weights[:-1]:
        inputs.append(np.maximum(inputs[-1] @ w, 0))
    r = (inputs[-1] @ weights[-1]) * (np.arange(10) == 0)
    for a, w in zip(reversed(inputs), reversed(weights), strict=True):
        up, down = a[:, None] * np.maximum(w, 0), a[:, None] * np.minimum(w, 0)
        r = (2 * up / (up.sum(0) + 1e-9) - down / (down.sum(0) - 1e-9)) @ r
    got = attribution.layerwise_relevance(
        lambda x: _logits(params, x)[0], jnp.asarray(x, jnp.float32), ALPHA_BETA
    )
    distance = np.abs(np.asarray(got) - r).max() / np.abs(r).max()
    return [Check("αβ (2, 1): worst distance from a NumPy loop", distance, "=", 0.0, 1e-4)]


def effects(key: jax.Array) -> list[Check]:
    """Selectivity and continuity on networks trained on digits."""
    random = generator(key)
    digits = data.load("digits")
    x, y = digits.train.x.reshape(-1, 64), digits.train.y
    run = jax.jit(_run)
    rows = []
    for _ in range(NETWORKS):
        chosen = random.integers(len(x), size=(STEPS, BATCH))
        images = digits.test.x.reshape(-1, 64)[random.permutation(len(digits.test.x))[:IMAGES]]
        order = random.uniform(size=images.shape).astype(np.float32)
        noise = random.normal(size=(IMAGES, NEIGHBOURS, 64)).astype(np.float32)
        batches = (x[chosen], np.asarray(y)[chosen])
        rows.append([np.mean(v) for v in run(_draw(random), batches, images, order, noise)])
    relevance, sensitivity, chance, continuous, rough = np.mean(rows, 0)
    return [
        Check("area of relevance over that of sensitivity", relevance / sensitivity, "<", 1.0),
        Check("area of sensitivity over that of random orders", sensitivity / chance, "<", 1.0),
        Check("largest change of deep Taylor over sensitivity's", continuous / rough, "<=", 1.0),
    ]


def _logits(params: Any, x: jax.Array) -> jax.Array:
    return jnp.asarray(MODEL.apply({"params": params}, x))


def _draw(random: np.random.Generator) -> dict[str, Any]:
    """Draw weights, of variance two over the number of inputs."""
    sizes = (64, 64, 64, 10)
    kernels = [random.normal(size=s) * np.sqrt(2 / s[0]) for s in itertools.pairwise(sizes)]
    return {
        f"layers_{2 * i}": {"kernel": jnp.asarray(kernel, jnp.float32)}
        for i, kernel in enumerate(kernels)
    }


def _run(params: Any, batches: Any, images: Any, order: Any, noise: Any) -> tuple[jax.Array, ...]:
    """Train a network, then measure it on each image."""

    def loss(params: Any, batch: Any) -> jax.Array:
        logits = _logits(params, batch[0])
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch[1]).mean()

    params = train(loss, optax.adam(3e-3), params, batches)[0]

    def measure(inputs: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, ...]:
        image, order, noise = inputs
        digit = jnp.argmax(_logits(params, image))
        score = lambda x: _logits(params, x)[digit]  # noqa: E731
        probability = lambda x: jax.nn.softmax(_logits(params, x))[digit]  # noqa: E731
        first = attribution.layerwise_relevance(score, image, ALPHA_BETA)
        orders = (first, attribution.sensitivity(score, image), order)
        curves = [faithfulness.deletion_curve(probability, image, a, steps=32) for a in orders]
        areas = [jnp.mean((curve[1:] + curve[:-1]) / 2) for curve in curves]

        def change(method: Any) -> jax.Array:
            def scaled(x: jax.Array) -> jax.Array:
                values = method(x)
                return values / jnp.abs(values).sum()

            steps = STEP * noise / jnp.linalg.norm(noise, axis=1, keepdims=True)
            moved = jax.vmap(scaled)(image[None, :] + steps) - scaled(image)[None, :]
            return jnp.abs(moved).sum(1).max() / STEP

        deep = change(lambda x: attribution.layerwise_relevance(score, x, DEEP_TAYLOR))
        return *areas, deep, change(lambda x: attribution.sensitivity(score, x))

    return jax.lax.map(measure, (images, order, noise), batch_size=20)


CLAIM = Claim(
    name="relevance-propagation",
    title="Methods for Interpreting and Understanding Deep Neural Networks",
    year=2018,
    says="relevance is conserved from layer to layer, and is more selective and more continuous "
    "than sensitivity",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
