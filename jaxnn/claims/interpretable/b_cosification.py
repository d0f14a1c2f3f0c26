"""B-cosification: explanations that add up, point at their object, and cost a short training.

Networks of three 3x3 convolutions, each with a normalisation that centres nothing, on digits;
standard ones with softmax cross-entropy, B-cos ones (B = 2, no biases) with a binary one for
each class. Twins and networks from scratch are of one architecture and see the same batches.

It fails in part. Third of three settings, seed 0: twins point with a share of 0.44 (0.6 wanted,
0.25 is chance; 0.19 above the network's) and need 95 steps of 300. Before, without the 3x3 mean of
contributions and after 100 steps only: 0.21, 220 steps; with digits anywhere on a black square of
16 x 16 and batches of half the size (seed 2): 0.29, 175 steps. The bounds were set beforehand.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name

from jaxnn import data
from jaxnn.analysis import attribution
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator
from jaxnn.layers import interpretable

NETWORKS = 2
STEPS, EVERY, BATCH = 300, 10, 64
MOSAICS = 60
ADAM = optax.adam(3e-3)


class Network(nn.Module):
    """Images ``(batch, height, width, channels)`` of any size to logits, by a mean over places.

    Attributes:
      power: B of B-cos units; ``None`` for standard layers.
      widths: of the convolutions.
    """

    power: float | None = None
    widths: tuple[int, ...] = (16, 32, 32)

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Give the logits of ten classes."""
        for i, width in enumerate(self.widths):
            x = self._conv(width, (3, 3), 2 if i == 1 else 1, f"conv_{i}")(x)
            square = jnp.mean(x**2, axis=-1, keepdims=True)
            x = checkpoint_name(jax.lax.rsqrt(square + 1e-6), "dynamic") * x
            x = jax.nn.relu(x)
        x = self._conv(10, (1, 1), 1, "head")(x)
        return jnp.mean(x, axis=(1, 2))

    def _conv(self, width: int, size: tuple[int, int], stride: int, name: str) -> nn.Module:
        if self.power is None:
            return nn.Conv(width, size, stride, name=name)
        return interpretable.BcosConv(
            width, size, stride, power=self.power, normalize=False, name=name
        )


STANDARD, BCOS = Network(), Network(2.0)
encode = interpretable.complement_encoding


def identities(key: jax.Array) -> list[Check]:
    """Completeness, and what is left of a unit at B = 1."""
    random = generator(key)
    x = jnp.asarray(random.uniform(size=(20, 6, 6, 1)), jnp.float32)
    model = Network(2.0, (6, 6))
    params = jax.jit(model.init)(key, encode(x))["params"]

    @jax.jit
    def gap(x: jax.Array, digit: jax.Array) -> jax.Array:
        f = lambda x: _logits(model, params, x[None])[0, digit]  # noqa: E731
        return jnp.abs(jnp.sum(x * attribution.dynamic_weights(f, x)) - f(x))

    gaps = jax.vmap(gap)(encode(x), jnp.asarray(random.integers(10, size=20)))
    rows, kernel = (jnp.asarray(random.normal(size=s), jnp.float32) for s in ((20, 7), (7, 5)))
    linear = rows @ (kernel / jnp.linalg.norm(kernel, axis=0, keepdims=True))
    distance = jnp.abs(interpretable.bcos(rows, kernel, power=1.0) - linear).max()
    return [
        Check("|sum of contributions - logit|, worst of 20 images", gaps.max(), "<", 1e-5),
        Check("B = 1: worst distance from unit weights", distance, "=", 0.0, 1e-5),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """A convolution by a loop over patches; the twin at B = 1 against the network."""
    random = generator(key)
    x, kernel = random.uniform(size=(5, 5, 2)), random.normal(size=(3, 3, 2, 4))
    conv = interpretable.BcosConv(4, (3, 3), padding="VALID")
    params = {"params": {"kernel": jnp.asarray(kernel, jnp.float32)}}
    got = np.asarray(conv.apply(params, jnp.asarray(x, jnp.float32)))
    worst = 0.0
    for i, j, unit in np.ndindex(3, 3, 4):
        patch, weight = x[i : i + 3, j : j + 3].ravel(), kernel[..., unit].ravel()
        cosine = patch @ weight / np.linalg.norm(patch) / np.linalg.norm(weight)
        want = np.linalg.norm(patch) * cosine**2 * np.sign(cosine)
        worst = max(worst, abs(got[i, j, unit] - want))
    standard = {"a": {"kernel": jnp.asarray(kernel, jnp.float32), "bias": jnp.ones(4)}}
    twin = interpretable.bcosify(standard, "a", keep_bias=True)["a"]
    layer = interpretable.BcosConv(
        4, (3, 3), padding="VALID", power=1.0, normalize=False, use_bias=True
    )
    image = jnp.asarray(x[None], jnp.float32)
    plain = nn.Conv(4, (3, 3), padding="VALID").apply({"params": standard["a"]}, image)
    ours = layer.apply({"params": twin}, encode(image))
    distance = np.abs(np.asarray(ours) - np.asarray(plain)).max()
    return [
        Check("B = 2: worst distance from a loop over patches", worst, "=", 0.0, 1e-5),
        Check("twin at B = 1: worst distance from the layer", distance, "=", 0.0, 1e-5),
    ]


def effects(key: jax.Array) -> list[Check]:
    """Pointing on mosaics, and the steps that a twin needs, over two networks."""
    random = generator(key)
    digits = data.load("digits")
    x, y = digits.train.x[..., None], digits.train.y
    classes = np.asarray(digits.test.y)
    held = jnp.asarray(digits.test.x[..., None])
    point = jax.jit(_localisation, static_argnums=0)
    shares, first, accuracies = [], [], []
    for one in jax.random.split(key, NETWORKS):
        init_key, scratch_key = jax.random.split(one)
        rows = random.integers(len(x), size=(2, STEPS, BATCH))
        before, after = (
            (jnp.asarray(x[r], jnp.float32), jnp.asarray(y[r], jnp.int32)) for r in rows
        )
        start = jax.jit(STANDARD.init)(init_key, before[0][0])["params"]
        standard, _ = _train(STANDARD, start, before, held, jnp.asarray(classes))
        encoded = (encode(after[0]), after[1])
        fresh = jax.jit(BCOS.init)(scratch_key, encoded[0][0])["params"]
        test = (encode(held), jnp.asarray(classes))
        _, scratch = _train(BCOS, fresh, encoded, *test)
        twin = interpretable.bcosify(standard, "conv_0")
        twin, tuned = _train(BCOS, twin, encoded, *test)
        reached = np.flatnonzero(tuned >= scratch[-1])
        first.append((1 + reached[0]) * EVERY if len(reached) else STEPS)
        accuracies.append((scratch[-1], tuned[STEPS // EVERY // 3 - 1]))
        mosaics, targets = _mosaics(random, digits.test.x[..., None], classes)
        shares.append(
            (
                point(BCOS, twin, encode(mosaics), targets).mean(),
                point(STANDARD, standard, mosaics, targets).mean(),
            )
        )
    bcos, plain = np.mean(shares, axis=0)
    scratch, tuned = 100 * np.mean(accuracies, axis=0)
    return [
        Check("share of the twin's positive contributions in the digit's cell", bcos, ">=", 0.6),
        Check("and above input times gradient of the network", bcos - plain, ">=", 0.1),
        Check(
            "steps to the accuracy of 300 from scratch, mean of 2",
            np.mean(first),
            "<=",
            STEPS / 3,
        ),
        Check("accuracy after 100 steps minus 300 from scratch, %", tuned - scratch, ">=", -1.0),
    ]


def _logits(model: Network, params: Any, x: jax.Array) -> jax.Array:
    return jnp.asarray(model.apply({"params": params}, x))


@functools.partial(jax.jit, static_argnums=0)
def _step(model: Network, carry: Any, batch: Any) -> Any:
    """Take a step of Adam."""

    def loss(params: Any) -> jax.Array:
        logits = _logits(model, params, batch[0])
        if model.power is None:
            return optax.softmax_cross_entropy_with_integer_labels(logits, batch[1]).mean()
        return optax.sigmoid_binary_cross_entropy(logits, jax.nn.one_hot(batch[1], 10)).mean()

    params, state = carry
    updates, state = ADAM.update(jax.grad(loss)(params), state, params)
    return optax.apply_updates(params, updates), state


@functools.partial(jax.jit, static_argnums=0)
def _accuracy(model: Network, params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.mean(_logits(model, params, x).argmax(1) == y)


def _train(
    model: Network, params: Any, batches: Any, x: jax.Array, y: jax.Array
) -> tuple[Any, np.ndarray]:
    """Train; give the parameters, and the held-out accuracy after every tenth step.

    Step by step: on a CPU, convolutions in a compiled loop are tens of times slower.
    """
    carry, accuracies = (params, ADAM.init(params)), []
    for step in range(1, 1 + len(batches[1])):
        carry = _step(model, carry, (batches[0][step - 1], batches[1][step - 1]))
        if step % EVERY == 0:
            accuracies.append(float(_accuracy(model, carry[0], x, y)))
    return carry[0], np.asarray(accuracies)


def _mosaics(
    random: np.random.Generator, x: np.ndarray, y: np.ndarray
) -> tuple[jax.Array, jax.Array]:
    """Lay four images of four classes out in a square; give the classes cell by cell."""
    chosen = []
    for _ in range(MOSAICS):
        digits = random.choice(10, 4, replace=False)
        chosen.append([random.choice(np.flatnonzero(y == digit)) for digit in digits])
    cells = x[np.asarray(chosen)].reshape(MOSAICS, 2, 2, 8, 8, 1)
    images = cells.transpose(0, 1, 3, 2, 4, 5).reshape(MOSAICS, 16, 16, 1)
    return jnp.asarray(images), jnp.asarray(y[np.asarray(chosen)])


def _localisation(model: Network, params: Any, images: jax.Array, targets: jax.Array) -> jax.Array:
    """Give the share of each target's positive contributions that lies in its cell."""
    if model.power is None:
        method = attribution.input_x_gradient
    else:
        method = lambda f, x: x * attribution.dynamic_weights(f, x)  # noqa: E731

    def share(image: jax.Array, target: jax.Array, cell: jax.Array) -> jax.Array:
        f = lambda x: _logits(model, params, x[None])[0, target]  # noqa: E731
        found = jnp.sum(method(f, image), axis=-1)
        spread = (1, 1), (1, 1)
        found = jax.nn.relu(jax.lax.reduce_window(found, 0.0, jax.lax.add, (3, 3), (1, 1), spread))
        cells = found.reshape(2, 8, 2, 8).sum((1, 3)).ravel()
        return cells[cell] / jnp.maximum(cells.sum(), 1e-12)

    def one(image: jax.Array, targets: jax.Array) -> jax.Array:
        return jax.vmap(functools.partial(share, image))(targets, jnp.arange(4))

    return jax.vmap(one)(images, targets)


CLAIM = Claim(
    name="b-cosification",
    title="B-cosification: Transforming Deep Neural Networks to be Inherently Interpretable",
    year=2024,
    says="a trained network turned into a B-cos one is as good as one trained so from scratch, "
    "in a fraction of the steps, and its explanations add up and point at their object",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
