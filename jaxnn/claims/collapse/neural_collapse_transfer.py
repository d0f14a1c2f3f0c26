"""Neural collapse on classes never seen: variance ratios of networks trained on other classes."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.analysis import collapse
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator, train
from jaxnn.models import MLP

# Planted classes: a point in a few latent dimensions and a spread, folded into many by a fixed
# network that no linear map undoes.
LATENT, INPUTS, SPREAD = 8, 64, 0.5
SOURCES = (2, 5, 10, 20)
TARGETS = 10
SAMPLES, HELD_OUT = 100, 50
SEEDS = 3
STAGES, STEPS, BATCH = 4, 250, 128
SHOTS, EPISODES = 5, 50
MODEL = MLP(features=(128, 128, max(SOURCES)), activation=jax.nn.relu)


def identities(key: jax.Array) -> list[Check]:
    """Isotropic clouds, whose ratio is known, and classes that have collapsed."""
    random = generator(key)
    checks = []
    for units, spread in ((4, 0.5), (30, 1.0), (100, 3.0)):
        means = random.normal(size=(2, units))
        y = np.repeat([0, 1], 5000)
        x = means[y] + spread * random.normal(size=(len(y), units))
        want = units * spread**2 / np.sum((means[0] - means[1]) ** 2)
        got = collapse.class_distance_variance(
            jnp.asarray(x, jnp.float32), jnp.asarray(y), num_classes=2
        )
        name = f"clouds in {units} dimensions: ratio over d s² / D²"
        checks.append(Check(name, got / want, "=", 1.0, 0.03))
    frame = collapse.simplex_etf(5, 7, key=key)
    labels = jnp.arange(20) % 5
    features = 3 * frame[labels] + 1
    statistics = collapse.class_means(features, labels, num_classes=5)
    agreement = collapse.nearest_centre_agreement(features, statistics.means, features @ frame.T)
    return [
        *checks,
        Check(
            "collapsed to a simplex: variance ratio",
            collapse.class_distance_variance(features, labels, num_classes=5),
            "=",
            0.0,
            1e-10,
        ),
        Check(
            "collapsed to a simplex: NC1",
            collapse.within_class_variability(features, labels, num_classes=5),
            "=",
            0.0,
            1e-10,
        ),
        Check("NC2, lengths", collapse.equinorm(statistics.centred), "=", 0.0, 1e-5),
        Check("NC2, angles", collapse.equiangularity(statistics.centred), "=", 0.0, 1e-5),
        Check("NC3", collapse.self_duality(frame, statistics.centred), "=", 0.0, 1e-5),
        Check("NC4", agreement, "=", 1.0),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """The ratio against a loop over pairs, the rule against scikit-learn's."""
    from sklearn.neighbors import NearestCentroid

    random = generator(key)
    y = random.permutation(np.repeat(np.arange(6), (20, 5, 9, 30, 12, 24)))
    x = (random.normal(size=(6, 10))[y] + random.normal(size=(100, 10))).astype(np.float32)
    clouds = [x[y == c].astype(np.float64) for c in range(6)]
    means = [cloud.mean(0) for cloud in clouds]
    spreads = [cloud.var(0).sum() for cloud in clouds]
    ratios = [
        (spreads[a] + spreads[b]) / (2 * np.sum((means[a] - means[b]) ** 2))
        for a in range(6)
        for b in range(a)
    ]
    got = collapse.class_distance_variance(jnp.asarray(x), jnp.asarray(y), num_classes=6)
    centres = collapse.class_means(jnp.asarray(x), jnp.asarray(y), num_classes=6).means
    theirs = NearestCentroid().fit(x, y).predict(x)
    ours = np.asarray(collapse.nearest_centre(jnp.asarray(x), centres))
    return [
        Check("variance ratio over a NumPy loop's", got / np.mean(ratios), "=", 1.0, 1e-5),
        Check("samples that scikit-learn puts elsewhere, of 100", (ours != theirs).sum(), "=", 0),
    ]


def effects(key: jax.Array) -> list[Check]:
    """Networks trained on 2, 5, 10 and 20 planted classes, looked at on ten others.

    In all four, the same number of samples and of steps. The features are those before the last
    layer. Five labelled samples of each new class make its centre; the rank correlation is over
    all numbers of classes and all stages of training, the untrained networks included, averaged
    over seeds.

    That correlation FAILS at this scale: 0.62, 0.48 and 0.56 at seeds 0, 1, 2 where 0.8 was
    asked. The untrained
    networks have the highest ratios, above 2, and yet classify new classes at 60 %, better than
    those trained on two classes. Three settings were tried: Adam with rate 0.001 and 400 steps,
    every number of classes with unseen classes of its own, gave 0.38 (and 4.2 where the training
    ratio was to fall 5 times); the same unseen classes for all and 1000 steps gave 0.57 (and
    4.4); rate 0.003 with weight decay 0.1, which is kept, 0.62 (and 5.7).
    """
    random = generator(key)
    runs = [run for _ in range(SEEDS) for run in _data(random)]
    names = ("x", "y", "rows", "held_out", "held_out_y", "new_x", "new_y", "shots")
    inputs = {name: np.stack([run[name] for run in runs]) for name in names}
    start = _init(random, len(runs))
    measured = jax.jit(jax.vmap(_run))(start, inputs)
    shape = (SEEDS, len(SOURCES), STAGES + 1)
    seen, held_out, new, accuracy, train_accuracy = (
        np.asarray(m, np.float64).reshape(shape) for m in measured
    )
    many = len(SOURCES) - 1
    return [
        Check(
            "20 classes: training accuracy, %", 100 * train_accuracy[:, many, -1].mean(), ">=", 95
        ),
        Check(
            "20 classes: training ratio before over after",
            (seen[:, many, 0] / seen[:, many, -1]).mean(),
            ">=",
            5.0,
        ),
        Check(
            "20 classes: ratio on new samples of them, before over after",
            (held_out[:, many, 0] / held_out[:, many, -1]).mean(),
            ">=",
            1.5,
        ),
        Check(
            "20 classes: ratio on unseen classes, before over after",
            (new[:, many, 0] / new[:, many, -1]).mean(),
            ">=",
            1.5,
        ),
        Check(
            "unseen classes: ratio after training on 2 over after 20",
            (new[:, 0, -1] / new[:, many, -1]).mean(),
            ">",
            1.0,
        ),
        Check(
            "rank correlation of 5-shot accuracy with minus the ratio, unseen classes",
            _spearman(-new.mean(0).ravel(), accuracy.mean(0).ravel()),
            ">=",
            0.8,
        ),
        Check(
            "5-shot accuracy on unseen classes after 20, %, over that at the start",
            accuracy[:, many, -1].mean() / accuracy[:, many, 0].mean(),
            ">",
            1.0,
        ),
    ]


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    from scipy import stats

    return float(np.asarray(stats.spearmanr(a, b))[0])


def _data(random: np.random.Generator) -> list[dict[str, np.ndarray]]:
    """Draw the classes, samples of them, the order of training and few-shot episodes.

    Whatever the number of classes trained on, the unseen ones and their samples are the same.
    """
    first = random.normal(size=(LATENT, INPUTS)) / np.sqrt(LATENT)
    second = random.normal(size=(INPUTS, INPUTS)) / np.sqrt(INPUTS)
    centres = random.normal(size=(TARGETS + max(SOURCES), LATENT))

    def draw(classes: np.ndarray) -> np.ndarray:
        z = centres[classes] + SPREAD * random.normal(size=(len(classes), LATENT))
        return (np.sin(2 * np.sin(2 * z @ first) @ second)).astype(np.float32)

    new_y = np.arange(SAMPLES * TARGETS) % TARGETS
    order = random.permuted(np.tile(np.arange(SAMPLES), (EPISODES, TARGETS, 1)), axis=-1)
    shots = order[..., :SHOTS] * TARGETS + np.arange(TARGETS)[:, None]
    new = {"new_x": draw(new_y), "new_y": new_y, "shots": shots}
    runs = []
    for sources in SOURCES:
        y = np.arange(SAMPLES * max(SOURCES)) % sources
        held_out_y = np.arange(HELD_OUT * max(SOURCES)) % sources
        training = {
            "x": draw(TARGETS + y),
            "y": y,
            "rows": random.integers(0, len(y), (STAGES, STEPS, BATCH)),
            "held_out": draw(TARGETS + held_out_y),
            "held_out_y": held_out_y,
        }
        runs.append(training | new)
    return runs


def _init(random: np.random.Generator, count: int) -> Any:
    """Draw the parameters of several networks in NumPy."""
    shapes = jax.eval_shape(MODEL.init, jax.random.key(0), jnp.zeros((1, INPUTS)))["params"]

    def draw(leaf):
        scale = np.sqrt(2 / leaf.shape[0]) if len(leaf.shape) > 1 else 0.0
        return (scale * random.normal(size=(count, *leaf.shape))).astype(np.float32)

    return jax.tree.map(draw, shapes)


def _features(params: Any, x: jax.Array) -> jax.Array:
    """Give what goes into the last layer."""
    for layer in range(2):
        dense = params[f"dense_{layer}"]
        x = jax.nn.relu(x @ dense["kernel"] + dense["bias"][None])
    return x


def _run(params: Any, run: dict[str, jax.Array]) -> tuple[jax.Array, ...]:
    """Train one network in stages and measure it before and after each."""
    tx = optax.adamw(3e-3, weight_decay=1e-1)

    def loss(params, rows):
        logits = jnp.asarray(MODEL.apply({"params": params}, run["x"][rows]))
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, run["y"][rows]))

    def measure(params):
        seen, held_out, new = (_features(params, run[n]) for n in ("x", "held_out", "new_x"))
        ratio = partial(collapse.class_distance_variance, num_classes=max(SOURCES))
        centres = jnp.mean(new[run["shots"]], axis=2)
        guesses = jax.lax.map(lambda c: collapse.nearest_centre(new, c), centres)
        hits = (guesses == run["new_y"][None]).astype(jnp.float32)
        # The shots themselves do not count.
        shown = jax.vmap(lambda s: jnp.zeros(len(new)).at[s.ravel()].set(1.0))(run["shots"])
        accuracy = jnp.sum(hits * (1 - shown)) / jnp.sum(1 - shown)
        logits = jnp.asarray(MODEL.apply({"params": params}, run["x"]))
        return (
            ratio(seen, run["y"]),
            ratio(held_out, run["held_out_y"]),
            ratio(new, run["new_y"]),
            accuracy,
            jnp.mean(jnp.argmax(logits, -1) == run["y"], dtype=jnp.float32),
        )

    def stage(carry, rows):
        params = train(loss, tx, carry, rows)[0]
        return params, measure(params)

    first = measure(params)
    _, later = jax.lax.scan(stage, params, run["rows"])
    return tuple(jnp.concatenate([a[None], b]) for a, b in zip(first, later, strict=True))


CLAIM = Claim(
    name="neural-collapse-transfer",
    title="On the Role of Neural Collapse in Transfer Learning",
    year=2021,
    says="classes collapse on new samples and on new classes too, the more the more classes were "
    "trained on, which makes a few samples enough",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
