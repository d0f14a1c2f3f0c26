"""DiffROAR on blocks: what input gradients of standard and of robust networks highlight.

An image is two blocks, one above the other in random order: an 8 x 8 digit, whose kind is the
class, and the mean of all digits, which is the same in every image. Networks are MLPs 128-64-10
with ReLUs; robust ones are trained on projected gradient steps within an L2 ball (radius 0.5, 4
steps of 0.25; digits have a length of about 4 and a half). DiffROAR keeps a quarter of the
entries, largest or smallest, and trains the same MLP anew on them; its predictive power is the
accuracy on test images unmasked alike. Random attributions are drawn once for each image; the
oracle's are one on the digit's block and zero elsewhere, plus noise below one. All are means over
three networks.

An attribution is the length of an entry's gradient over all logits. That of the label's logit
alone, tried first, leaks: which entries it keeps tells the label, so that networks were right
about every image from the largest and from the smallest quarter alike, and DiffROAR was 0. Radii
of 1 and 2 were tried with it, at one seed: robust accuracy was 64 % at 1.

The paper's sign holds: DiffROAR of robust gradients is 61, 63 and 66 points at seeds 0, 1 and 2,
of standard ones 31, 28 and 29. Two checks fail. Robust gradients do not lie more on the digit's
block (by -0.1, -0.3 and -0.2 % of their magnitude, where 15 were asked): with the null block
equal in all images networks put their gradients on both alike, and the robust ones differ within
the block. And the oracle, which keeps a random half of the digit's block, is beaten by robust
gradients, which keep its better half (by 1, 3 and 9 points).

Bounds are the paper's signs and the plan's margins, written before measuring; that on the robust
networks' accuracy was added when radius 2 left too little of it.
"""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn import data
from jaxnn.analysis import attribution, faithfulness
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator, train

NETWORKS, STEPS, BATCH, HIDDEN = 3, 400, 64, 64
RADIUS, ATTACKS, STRIDE = 0.5, 4, 0.25
FRACTION = 0.25


def identities(key: jax.Array) -> list[Check]:
    """Two halves share nothing; DiffROAR of a known predictor is known."""
    x = jnp.asarray(generator(key).normal(size=(20, 12)), jnp.float32)
    keep = functools.partial(faithfulness.keep_ranked, fraction=0.5)
    top, bottom = (
        jax.vmap(lambda x, largest=largest: keep(x, x, largest=largest))(x)
        for largest in (True, False)
    )
    ordered = np.sort(np.asarray(x, np.float64), 1)
    want = ordered[:, 6:].sum() - ordered[:, :6].sum()
    got = faithfulness.diff_roar(jnp.sum, x, x, fraction=0.5)
    back = faithfulness.diff_roar(jnp.sum, x, -x, fraction=0.5)
    return [
        Check("top and bottom half add up to the example", jnp.abs(top + bottom - x).max(), "=", 0),
        Check("power = sum of entries: DiffROAR less its value", got - want, "=", 0.0, 1e-3),
        Check("the attribution reversed: DiffROAR changes sign", got + back, "=", 0.0, 1e-3),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """Which entries are kept, against NumPy; the gradient, written out."""
    random = generator(key)
    x, a = random.normal(size=(2, 30, 10)).astype(np.float32)
    got = faithfulness.diff_roar(
        lambda x: jnp.tanh(x[:, 0] * x[:, 1]).sum(), jnp.asarray(x), jnp.asarray(a), fraction=0.3
    )
    powers = []
    for sign in (-1, 1):
        kept = np.zeros_like(x)
        rows = np.argsort(sign * a, 1)[:, :3]
        np.put_along_axis(kept, rows, np.take_along_axis(x, rows, 1), 1)
        powers.append(np.tanh(kept[:, 0] * kept[:, 1]).sum())
    first, last = random.normal(size=(10, 7)), random.normal(size=7)
    want = first @ (last * (x[0] @ first > 0))
    network = lambda x: jax.nn.relu(x @ first) @ last  # noqa: E731
    first, last = jnp.asarray(first, jnp.float32), jnp.asarray(last, jnp.float32)
    slope = attribution.gradient(network, jnp.asarray(x[0]))
    return [
        Check("DiffROAR less a loop's", got - (powers[0] - powers[1]), "=", 0.0, 1e-4),
        Check(
            "gradient of a ReLU network less its formula", np.abs(slope - want).max(), "=", 0, 1e-4
        ),
    ]


def effects(key: jax.Array) -> list[Check]:
    """Where the gradients of standard and robust networks lie, and what is learned from it."""
    random = generator(key)
    digits = data.load("digits")
    null = np.asarray(digits.train.x).mean(0)

    def blocks(split: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x, above = np.asarray(split.x), random.random(len(split.x)) < 0.5
        pairs = np.stack([x, np.broadcast_to(null, x.shape)], 1)
        pairs = np.where(above[:, None, None, None], pairs, pairs[:, ::-1])
        signal = np.stack([above, ~above], 1)[:, :, None, None] & np.ones(pairs.shape, bool)
        flat = (len(x), -1)
        return pairs.reshape(flat).astype(np.float32), np.asarray(split.y), signal.reshape(flat)

    x, y, signal = blocks(digits.train)
    test_x, test_y, test_signal = blocks(digits.test)
    x_all, y_all = (
        jnp.asarray(np.concatenate([x, test_x])),
        jnp.asarray(np.concatenate([y, test_y])),
    )
    signal = jnp.asarray(np.concatenate([signal, test_signal]))
    count = len(x)

    def draw() -> tuple[Any, jax.Array]:
        """Draw parameters and batches of every network."""
        sizes = (x.shape[1], HIDDEN, 10)
        layers = [
            (
                random.normal(size=(NETWORKS, n, m)) * np.sqrt(2 / n),
                np.zeros((NETWORKS, m)),
            )
            for n, m in itertools.pairwise(sizes)
        ]
        params = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), layers)
        return params, jnp.asarray(random.integers(0, count, (NETWORKS, STEPS, BATCH)))

    # One program for training: the radius is data, and zero leaves the examples as they are.
    fit = jax.jit(jax.vmap(_train, (0, 0, 0, None, None)))
    explain = jax.jit(jax.vmap(_magnitudes, (0, None)))
    accuracy = jax.jit(jax.vmap(_accuracy, (0, 0, None)))

    def power(images: jax.Array) -> jax.Array:
        """Train anew on images (networks, examples, entries), test on those at their end."""
        params = fit(*draw(), images[:, :count], y_all[:count], 0.0)
        return accuracy(params, images[:, count:], y_all[count:]).mean()

    same = jnp.broadcast_to(x_all[None], (NETWORKS, *x_all.shape))
    standard = fit(*draw(), same[:, :count], y_all[:count], 0.0)
    robust = fit(*draw(), same[:, :count], y_all[:count], RADIUS)
    noise = jnp.asarray(random.random(same.shape), jnp.float32)
    maps = {
        "standard": explain(standard, x_all),
        "robust": explain(robust, x_all),
        "random": noise,
        "oracle": noise + signal[None],
    }
    shares = {
        name: float(
            jnp.mean(
                jax.vmap(jax.vmap(faithfulness.relevance_mass_accuracy), (0, None))(
                    maps[name][:, count:], signal[count:]
                )
            )
        )
        for name in ("standard", "robust")
    }

    def score(maps: jax.Array) -> float:
        entries = maps.reshape(-1, maps.shape[-1])
        scored = faithfulness.diff_roar(
            lambda images: power(images.reshape(same.shape)),
            same.reshape(entries.shape),
            entries,
            fraction=FRACTION,
        )
        return 100 * float(scored)

    scores = {name: score(values) for name, values in maps.items()}
    exact, wary = (
        100 * float(accuracy(params, same[:, count:], y_all[count:]).mean())
        for params in (standard, robust)
    )
    return [
        Check("standard networks' test accuracy, %", exact, ">=", 90.0),
        Check("robust networks' test accuracy, %", wary, ">=", 70.0),
        Check(
            "share of |gradient| on the digit's block: robust less standard, %",
            100 * (shares["robust"] - shares["standard"]),
            ">=",
            15.0,
        ),
        Check("DiffROAR of robust gradients, points", scores["robust"], ">", 0.0),
        Check(
            "DiffROAR of robust less standard gradients, points",
            scores["robust"] - scores["standard"],
            ">",
            0.0,
        ),
        Check("DiffROAR of random attributions, points", scores["random"], "=", 0.0, 3.0),
        Check(
            "DiffROAR of the oracle less the best of the others, points",
            scores["oracle"] - max(scores[name] for name in ("standard", "robust", "random")),
            ">=",
            0.0,
        ),
    ]


def _logits(params: Any, x: jax.Array) -> jax.Array:
    (first, bias), (last, shift) = params
    return jax.nn.relu(x @ first + bias[None]) @ last + shift[None]


def _loss(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(_logits(params, x), y).mean()


def _attack(params: Any, x: jax.Array, y: jax.Array, radius: jax.Array) -> jax.Array:
    """Climb the loss by normalised steps, projected into the ball."""

    def step(moved: jax.Array, _: None) -> tuple[jax.Array, None]:
        slope = jax.grad(_loss, argnums=1)(params, x + moved, y)
        length = jnp.linalg.norm(slope, axis=1, keepdims=True)
        moved += STRIDE * slope / jnp.maximum(length, 1e-12)
        length = jnp.linalg.norm(moved, axis=1, keepdims=True)
        return moved * jnp.minimum(1.0, radius / jnp.maximum(length, 1e-12)), None

    return x + jax.lax.scan(step, jnp.zeros_like(x), length=ATTACKS)[0]


def _train(params: Any, rows: jax.Array, x: jax.Array, y: jax.Array, radius: jax.Array) -> Any:
    """Train one network on the worst examples within the radius."""

    def loss(params: Any, batch: tuple[jax.Array, jax.Array]) -> jax.Array:
        images, labels = batch
        worst = jax.lax.stop_gradient(_attack(params, images, labels, radius))
        return _loss(params, worst, labels)

    return train(loss, optax.adam(3e-3), params, (x[rows], y[rows]))[0]


def _magnitudes(params: Any, x: jax.Array) -> jax.Array:
    """Give the length of each entry's gradient, over all logits: it knows no label."""
    return jax.vmap(
        lambda x: jnp.linalg.norm(jax.jacrev(lambda x: _logits(params, x[None])[0])(x), axis=0)
    )(x)


def _accuracy(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.mean(jnp.argmax(_logits(params, x), 1) == y)


CLAIM = Claim(
    name="diffroar",
    title="Do Input Gradients Highlight Discriminative Features?",
    year=2021,
    says="gradients of standard networks need not highlight what tells classes apart; robust do",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
