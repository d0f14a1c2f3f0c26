r"""Forward-forward trains layers that share no gradient.

Two layers of 300 rectified units and the library's digits, flattened, with the label before the
pixels: 1400 steps of Adam at rate 0.001 in batches of 64, threshold 0.1 a unit, wrong labels drawn
uniformly. Figures are means of three networks, that for shuffled labels one network's. The
baseline of equal size is a logistic regression of both layers' activities with the weights left as
drawn, on pixels without labels.

The comparison with random features fails for some keys, as 600 of them already separate these
digits: at seed 0 forward-forward is 0.7 points below (97.6 points). At seeds 1 and 2 everything
holds; at seed 2 it is 0.3 above (98.5 points). Tried before: threshold 1 a unit, rate 0.003 and
wrong labels from the current predictions (``hardness=1``), 0.7 below at seeds 0 and 1 both; there
the area under the curve of an untrained second layer that sees lengths was 0.08 to 0.09 below the
first layer's, against 0.02 here.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator
from jaxnn.claims.training import _local
from jaxnn.train import local_learning

UNITS, CLASSES, STEPS, SEEDS = 300, 10, 1400, 3


def identities(key: jax.Array) -> list[Check]:
    """No layer's loss depends on another layer's parameters, nor a layer on its input's length."""
    random, network, params, x, y, wrong = _small(key)

    @jax.jit
    def slopes(params):
        def losses(params):
            pairs = (
                _local.apply(network, params, x, labels, method="activities")
                for labels in (y, wrong)
            )
            return jnp.sum(local_learning.goodness_loss(*pairs), axis=0)

        return jax.jacrev(losses)(params)

    found = jax.tree.map(np.asarray, slopes(params))
    sizes = [
        [
            max(np.abs(leaf[loss]).max() for leaf in jax.tree.leaves(found[f"layers_{layer}"]))
            for layer in range(3)
        ]
        for loss in range(3)
    ]
    own, other = np.diag(sizes), np.asarray(sizes)[~np.eye(3, dtype=bool)]
    h = jnp.asarray(random.normal(size=(4, 7)), jnp.float32)
    short, long = (local_learning.length_normalize(scale * h) for scale in (1.0, 50.0))
    return [
        Check("largest slope of a layer's loss in another layer", other.max(), "=", 0),
        Check("smallest of the largest slopes in its own", own.min(), ">", 1e-3),
        Check(
            "change of a normalised input 50 times as long",
            float(jnp.abs(long - short).max()),
            "<=",
            1e-5,
        ),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """Gradients and predictions against the paper's formulas in NumPy, one example at a time."""
    _, network, params, x, y, _ = _small(key)
    found, _ = jax.jit(local_learning.forward_forward(network))(params, (x, y), key)
    wrong = np.asarray(local_learning.draw_wrong_labels(key, y, 3))
    kernels = [np.asarray(params[f"layers_{i}"]["layers_0"]["kernel"], float) for i in range(3)]
    images, labels = np.asarray(x, float), np.asarray(y)
    wanted = [np.zeros_like(w) for w in kernels]
    for image, right, other in zip(images, labels.tolist(), wrong.tolist(), strict=True):
        for label, sign in ((right, -1), (other, 1)):
            for i, (h, out) in enumerate(_by_hand(kernels, image, label)):
                slope = sign / (1 + np.exp(-sign * ((out**2).sum() - len(out))))
                wanted[i] += slope * np.outer(h, 2 * out) / len(images)
    errors = [
        np.abs(np.asarray(found[f"layers_{i}"]["layers_0"]["kernel"]) - wanted[i]).max()
        / np.abs(wanted[i]).max()
        for i in range(3)
    ]
    scores = [
        [sum((out**2).sum() for _, out in _by_hand(kernels, image, c)[1:]) for c in range(3)]
        for image in images
    ]
    tried = np.asarray(_local.apply(network, params, x))
    return [
        Check("gradients against NumPy, relative", max(errors), "<=", 1e-4),
        Check(
            "goodness of all labels against NumPy, relative",
            np.abs(tried - scores).max() / np.abs(scores).max(),
            "<=",
            1e-5,
        ),
    ]


def effects(key: jax.Array) -> list[Check]:
    """Digits against random features, shuffled labels and layers without normalisation."""
    random = generator(key)
    x, y, test_x, test_y = _local.digits()
    network = local_learning.ForwardForward([_layer(UNITS) for _ in range(2)], CLASSES)
    loss = functools.partial(local_learning.goodness_loss, threshold=0.1)
    gradients = local_learning.forward_forward(network, loss=loss)
    run = _local.trainer(gradients, optax.adam(1e-3))
    predict = jax.jit(lambda params: _local.apply(network, params, test_x).argmax(-1))
    rows, chance = [], np.nan
    for seed in range(SEEDS):
        start = _local.initialise(random, network, jnp.asarray(x[:2]))
        # Once is enough to see whether a label can be told from pixels that it does not go with.
        given = (y, random.permutation(y)) if seed == 0 else (y,)
        trained, *confused = (
            run(
                start,
                _local.shuffled(random, x, labels, steps=STEPS),
                jax.random.fold_in(key, seed),
            )
            for labels in given
        )
        accuracy = 100 * np.mean(np.asarray(predict(trained)) == test_y)
        if confused:
            chance = 100 * np.mean(np.asarray(predict(confused[0])) == test_y)
        fresh = _local.initialise(random, network, jnp.asarray(x[:2]))
        halfway = {"layers_0": trained["layers_0"], "layers_1": fresh["layers_1"]}
        wrong = (test_y + random.integers(1, CLASSES, len(test_y))) % CLASSES
        first, normalised = _areas(network, halfway, test_x, test_y, wrong)
        _, plain = _areas(network.clone(normalize=None), halfway, test_x, test_y, wrong)
        rows.append(
            [accuracy, _random_features(start, x, y, test_x, test_y), first, normalised, plain]
        )
    trained, features, first, normalised, plain = np.mean(rows, axis=0)
    return [
        Check("accuracy, points", trained, ">=", 94),
        Check("above logistic regression on random features, points", trained - features, ">", 0),
        Check("accuracy after training on shuffled labels, points", chance, "<=", 20),
        Check(
            "untrained second layer, lengths kept: area under the curve below the first's",
            abs(first - plain),
            "<=",
            0.05,
        ),
        Check(
            "untrained second layer, lengths normalised: area's distance from 1/2",
            abs(normalised - 0.5),
            "<=",
            0.1,
        ),
    ]


def _layer(units: int, *, use_bias: bool = True) -> nn.Module:
    return nn.Sequential([nn.Dense(units, use_bias=use_bias), nn.relu])


def _small(key: jax.Array):
    random = generator(key)
    network = local_learning.ForwardForward([_layer(n, use_bias=False) for n in (8, 7, 6)], 3)
    x = jnp.asarray(random.uniform(size=(6, 4)), jnp.float32)
    y = random.integers(0, 3, 6)
    wrong = (y + 1) % 3
    params = _local.initialise(random, network, x)
    return random, network, params, x, jnp.asarray(y), jnp.asarray(wrong)


def _by_hand(kernels: list[np.ndarray], image: np.ndarray, label: int) -> list[tuple]:
    """Give each layer's input and activities."""
    h = np.concatenate([np.eye(3)[label] * image.max(), image])
    found = []
    for w in kernels:
        out = np.maximum(h @ w, 0)
        found.append((h, out))
        h = out * np.sqrt(len(out)) / (np.linalg.norm(out) + 1e-6)
    return found


def _goodness(network, params, x, labels):
    activities = _local.apply(network, params, x, labels, method="activities")
    return [local_learning.goodness(y) for y in activities]


def _areas(network, params, x, right, wrong) -> list[float]:
    """Give how often a right label's goodness exceeds a wrong label's, layer by layer."""
    pairs = (_goodness(network, params, x, labels) for labels in (right, wrong))
    return [
        float(np.mean(np.asarray(a)[:, None] > np.asarray(b)[None]))
        for a, b in zip(*pairs, strict=True)
    ]


def _random_features(params, x, y, test_x, test_y) -> float:
    from sklearn.linear_model import LogisticRegression

    def features(x):
        outputs = []
        for i in range(2):
            kernel = np.asarray(params[f"layers_{i}"]["layers_0"]["kernel"])
            x = np.maximum(x @ (kernel[CLASSES:] if i == 0 else kernel), 0)
            x = x * np.sqrt(x.shape[-1]) / (np.linalg.norm(x, axis=-1, keepdims=True) + 1e-6)
            outputs.append(x)
        return np.concatenate(outputs, axis=-1)

    model = LogisticRegression(max_iter=300).fit(features(x), y)
    return 100 * model.score(features(test_x), test_y)


CLAIM = Claim(
    name="forward-forward",
    title="The Forward-Forward Algorithm: Some Preliminary Investigations",
    year=2022,
    says="layers that each tell right labels from wrong ones learn without back-propagation",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
