"""The deconvolution: layer by layer in NumPy, and on digits pasted into noise.

Canvases of 16 x 16 pixels hold a digit of 8 x 8 at a random place, and all over the rest noise,
uniform up to 0.6 and so of a digit's mean brightness; small convolutional networks are trained
to name the digit. The tenth of the pixels with the largest attributions should lie in the
digit's box, a quarter of the canvas: the share of their mass that does is averaged over images.

What is projected is, as in the paper, one unit: the most active of the last convolution. The
setting tried first projected the class's score, of two networks trained for 300 steps: 48 % of
the mass lay in the box (and 49 % after 800 steps, where the unit has 85 %), far from the bound.
A score draws on all units, and the deconvolution passes what it gives to those that are not
active, so that noise is shown as well: of class scores the claim does not hold here.

Of units it holds at some seeds and not at others: at seeds 0, 1 and 2 the strongest unit's share
is 85, 75 and 81 %, with accuracies of 84, 81 and 77 % against a bound of 80; occlusion's share is
92, 87 and 90 %.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxnn import data
from jaxnn.analysis import attribution
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator, train

SIZE, DIGIT, NOISE = 16, 8, 0.6
NETWORKS, STEPS, BATCH, IMAGES = 1, 800, 64, 100
TOP = SIZE * SIZE // 10


class Network(nn.Module):
    """Two convolutions with max pooling, and a dense layer."""

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Map images ``(batch, rows, columns, 1)`` to logits and the last convolution's maps."""
        x = nn.max_pool(nn.relu(nn.Conv(8, (3, 3))(x)), (2, 2), (2, 2))
        maps = nn.relu(nn.Conv(16, (3, 3))(x))
        x = nn.max_pool(maps, (2, 2), (2, 2))
        return nn.Dense(10)(x.reshape(x.shape[0], -1)), maps


def identities(key: jax.Array) -> list[Check]:
    """A ReLU passes back what is positive, whatever its own sign."""
    x, last = jnp.asarray(generator(key).normal(size=(2, 20)), jnp.float32)
    f = lambda x: jax.nn.relu(x) @ last  # noqa: E731
    deconvolved = attribution.deconvolution(f, x)
    guided = attribution.guided_backpropagation(f, x)
    return [
        Check(
            "one layer: worst distance from max(R, 0)",
            jnp.abs(deconvolved - jnp.maximum(last, 0)).max(),
            "=",
            0.0,
        ),
        Check(
            "guided: worst distance from it at positive units alone",
            jnp.abs(guided - deconvolved * (x > 0)).max(),
            "=",
            0.0,
        ),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """Switches, positive parts and transposed filters, written out in NumPy."""
    random = generator(key)
    image, kernel = random.uniform(size=(8, 8, 1)), random.normal(size=(3, 3, 1, 4))
    last = random.normal(size=(3, 3, 4))

    def f(x: jax.Array) -> jax.Array:
        convolution = nn.Conv(4, (3, 3), padding="VALID", use_bias=False)
        weights = {"kernel": jnp.asarray(kernel, jnp.float32)}
        z = jnp.asarray(convolution.apply({"params": weights}, x))
        return jnp.sum(nn.max_pool(jax.nn.relu(z), (2, 2), (2, 2)) * jnp.asarray(last, jnp.float32))

    h = np.zeros((6, 6, 4))
    for i, j in np.ndindex(6, 6):
        h[i, j] = np.maximum(np.tensordot(image[i : i + 3, j : j + 3], kernel, 3), 0)
    back = np.zeros_like(h)
    for i, j, c in np.ndindex(last.shape):
        switch = h[2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c].argmax()
        back[2 * i + switch // 2, 2 * j + switch % 2, c] = last[i, j, c]
    want = np.zeros_like(image)
    for i, j in np.ndindex(6, 6):
        want[i : i + 3, j : j + 3] += kernel @ np.maximum(back[i, j], 0)
    got = attribution.deconvolution(f, jnp.asarray(image, jnp.float32))
    return [
        Check(
            "a convolutional network: worst distance from a NumPy loop",
            np.abs(np.asarray(got) - want).max() / np.abs(want).max(),
            "=",
            0.0,
            1e-5,
        )
    ]


def effects(key: jax.Array) -> list[Check]:
    """Where the largest values of the deconvolution and of occlusion lie."""
    random = generator(key)
    digits = data.load("digits")
    model = Network()

    def logits(params: Any, x: jax.Array) -> jax.Array:
        return model.apply({"params": params}, x)[0]

    def loss(params: Any, batch: Any) -> jax.Array:
        x, y = batch
        return optax.softmax_cross_entropy_with_integer_labels(logits(params, x), y).mean()

    @jax.jit
    def run(key, batches, images):
        params = model.init(key, images[:1])["params"]
        params = train(loss, optax.adam(3e-3), params, batches)[0]

        def maps(image: jax.Array) -> tuple[jax.Array, ...]:
            digit = jnp.argmax(logits(params, image[None])[0])
            probability = lambda x: jax.nn.softmax(logits(params, x[None])[0])[digit]  # noqa: E731
            fall = attribution.occlusion(probability, image, window=(3, 3, 1), baseline=NOISE / 2)
            strongest = lambda x: jnp.asarray(model.apply({"params": params}, x[None])[1]).max()  # noqa: E731
            return digit, attribution.deconvolution(strongest, image), fall

        return jax.lax.map(maps, images, batch_size=10)

    shares = []
    for seed in jax.random.split(key, NETWORKS):
        x, y, _ = _paste(random, digits.train, STEPS * BATCH)
        batches = (x.reshape(STEPS, BATCH, SIZE, SIZE, 1), y.reshape(STEPS, BATCH))
        x, y, boxes = _paste(random, digits.test, IMAGES)
        guess, *found = run(seed, batches, x)
        noise = random.uniform(size=x.shape)
        parts = [_inside(np.asarray(a), boxes) for a in (*found, noise)]
        shares.append([np.mean(np.asarray(guess) == y), *parts])
    accuracy, unit, fall, chance = 100 * np.mean(shares, 0)
    return [
        Check("accuracy on the canvases, %", accuracy, ">=", 80.0),
        Check("strongest unit: mass of its top tenth in the digit's box, %", unit, ">=", 80.0),
        Check("occlusion: likewise, %", fall, ">=", 80.0),
        Check("noise: likewise, % (25 by area)", chance, "=", 25.0, 5.0),
    ]


def _paste(
    random: np.random.Generator, split: Any, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw canvases, their digits, and the boxes that hold them."""
    rows = random.integers(len(split.x), size=count)
    corners = random.integers(SIZE - DIGIT + 1, size=(count, 2))
    x = NOISE * random.uniform(size=(count, SIZE, SIZE, 1)).astype(np.float32)
    boxes = np.zeros(x.shape, bool)
    for i, (row, (a, b)) in enumerate(zip(rows, corners, strict=True)):
        x[i, a : a + DIGIT, b : b + DIGIT, 0] = split.x[row]
        boxes[i, a : a + DIGIT, b : b + DIGIT] = True
    return x.astype(np.float32), np.asarray(split.y)[rows], boxes


def _inside(maps: np.ndarray, boxes: np.ndarray) -> float:
    """Average over images the share of the largest values' mass that lies in the box."""
    values, inside = (a.reshape(len(a), -1) for a in (np.maximum(maps, 0), boxes))
    top = np.argsort(-values, axis=1)[:, :TOP]
    mass, held = (np.take_along_axis(a, top, 1) for a in (values, inside))
    return float(np.mean((mass * held).sum(1) / np.maximum(mass.sum(1), 1e-12)))


CLAIM = Claim(
    name="deconvnet",
    title="Visualizing and Understanding Convolutional Networks",
    year=2014,
    says="projected back through switches, positive parts and transposed filters, a unit shows "
    "the pixels that it comes from",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
