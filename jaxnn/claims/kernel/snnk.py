r"""Scalable neural network kernels: unbiased features, a small adapter, an explicit optimum.

The estimates are of f(w·x) for the sine, the cosine and the exponential function, and of the
arc-cosine kernel for ReLU features, all from the same pool of directions. The adapter stands
behind the second hidden layer of a network of 128 units trained on digits lying on their side,
and learns upright ones: its 24 random features have less than a fifth of the parameters of that
layer, which is trained in full beside it. Both also train the readout.

The adapter stays well below the full layer, and that check fails: by 7.1 to 7.8 points (seeds 0 to
2). Adam's step of 1e-2 in place of 3e-3 for all was tried too: 7.0 and 10.7 points (seeds 0 and 1),
and there the adapter is no better than the readout alone.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn import data
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator, train
from jaxnn.layers import kernel

POOL, INPUTS = 2**18, 4
SIZES = (16, 128, 1024)
UNITS, FEATURES = 128, 24
SEEDS, STEPS, BATCH = 3, 300, 64


def identities(key: jax.Array) -> list[Check]:
    """Means over a pool of directions, in standard errors; bundled layers are the layers."""
    checks = []
    for name, exact, products, _ in _estimates(key):
        errors = (products.mean() - exact) / (products.std() / np.sqrt(POOL))
        checks.append(Check(f"{name}: bias in standard errors", abs(errors), "<=", 5))
    layers = [
        {"kernel": jax.random.normal(k, shape), "bias": jax.random.normal(k, shape[1:])}
        for k, shape in zip(jax.random.split(key), [(32, 8), (8, 4)], strict=True)
    ]
    x = jax.random.normal(key, (20, 32))
    merged = kernel.bundle(*layers)
    values = [x @ merged["kernel"] + merged["bias"][None]]
    for layer in layers:
        x = x @ layer["kernel"] + layer["bias"][None]
    off = np.abs(values[0] - x).max() / np.abs(x).max()
    return [*checks, Check("bundled layers: distance from the two", off, "<=", 1e-5)]


def _estimates(key: jax.Array):
    """Give name, exact value, products of single features, and mean squares for sizes."""
    random = generator(key)
    # Lengths of 0.7: a wave's features grow as the exponential of the square.
    x, w = (v / np.linalg.norm(v) * 0.7 for v in random.normal(size=(2, INPUTS)))
    w = w if w @ x > 0 else -w
    z, angle = w @ x, np.arccos(w @ x / 0.49)
    arc = 0.49 * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / np.pi
    directions = kernel.random_directions(key, INPUTS, POOL)
    point, weights = jnp.float32(x), jnp.float32(w)
    for name, exact, spectrum in (
        ("sine", np.sin(z), kernel.sine_spectrum),
        ("cosine", np.cos(z), kernel.cosine_spectrum),
        ("exponential", np.exp(z), kernel.exponential_spectrum),
        ("ReLU", arc, None),
    ):
        if spectrum is None:
            left, right = (kernel.relu_features(v, directions) for v in (point, weights))
        else:
            left = kernel.universal_phi(point, directions, spectrum(key, POOL))
            right = kernel.universal_psi(weights, directions)
        products = POOL * np.asarray(left, float) * np.asarray(right, float)
        squares = [np.mean((products.reshape(-1, m).mean(1) - exact) ** 2) for m in SIZES]
        yield name, exact, products, squares


def agreements(key: jax.Array) -> list[Check]:
    """The fully bundled network's explicit optimum, against scikit-learn and against descent."""
    from sklearn.linear_model import Ridge

    digits: Any = data.load("digits")
    x = digits.train.x.reshape(-1, 64).astype(np.float32)
    y = np.eye(10, dtype=np.float32)[digits.train.y]
    seed = int(np.asarray(jax.random.key_data(key))[-1] % 2**31)
    module = kernel.BundledSNNK(10, (128, 32), seed=seed)
    values = jax.jit(lambda x: jnp.asarray(module.apply({}, x, method="embed")))(jnp.asarray(x))
    params = kernel.fit_readout(jnp.asarray(values), jnp.asarray(y), ridge=10.0)
    rows = np.asarray(values, float)
    theirs = Ridge(10.0, solver="svd").fit(rows, y)
    centred, targets = rows - rows.mean(0), y - y.mean(0)
    gram = centred.T @ centred + 10.0 * np.eye(32)
    step, weights = 1 / np.linalg.eigvalsh(gram)[-1], np.zeros((32, 10))
    for _ in range(20_000):
        weights = weights - step * (gram @ weights - centred.T @ targets)
    found = np.asarray(params["kernel"], float)
    off = np.abs(found - theirs.coef_.T).max()
    return [
        Check("explicit optimum: distance from scikit-learn's", off, "<=", 1e-3),
        Check("and from descent's", np.abs(found - weights).max(), "<=", 1e-3),
    ]


def effects(key: jax.Array) -> list[Check]:
    """Slopes of the error against the features, and an adapter against its full layer."""
    checks = []
    for name, _, _, squares in _estimates(key):
        slope = np.polyfit(np.log(SIZES), np.log(squares), 1)[0]
        checks.append(Check(f"{name}: slope of the squared error", slope, "=", -1, tolerance=0.15))
    full, adapted, head = 100 * _adapt(key).mean(0)
    parameters = (FEATURES + 1) * UNITS / ((UNITS + 1) * UNITS)
    return [
        *checks,
        Check("adapter's parameters over the layer's", parameters, "<=", 0.2),
        Check("adapter's accuracy below the layer's, points", full - adapted, "<=", 2),
        Check("adapter's accuracy above the readout's alone, points", adapted - head, ">", 0),
    ]


def _adapt(key: jax.Array) -> np.ndarray:
    """Give test accuracies, ``(seeds, 3)``: the layer trained in full, the adapter, the readout."""
    digits: Any = data.load("digits")
    x, y = jnp.asarray(digits.train.x), jnp.asarray(digits.train.y)
    test, truth = jnp.asarray(digits.test.x).reshape(-1, 64), jnp.asarray(digits.test.y)
    upright, lying = x.reshape(-1, 64), x.transpose(0, 2, 1).reshape(-1, 64)
    adapter, tx = kernel.SNNKAdapter(FEATURES), optax.adam(3e-3)
    random = generator(key)
    batches = random.integers(0, len(x), (SEEDS, 2, STEPS, BATCH))

    def logits(params, x):
        for name in ("first", "second"):
            layer = params[name]
            x = jax.nn.relu(jnp.dot(x, layer["kernel"]) + layer["bias"][None])
        if "adapter" in params:
            x = jnp.asarray(adapter.apply({"params": params["adapter"]}, x))
        return jnp.dot(x, params["out"]["kernel"]) + params["out"]["bias"][None]

    def fit(trained, frozen, inputs, batches):
        def loss(params, batch):
            values = logits({**frozen, **params}, inputs[batch])
            return optax.softmax_cross_entropy_with_integer_labels(values, y[batch]).mean()

        return {**frozen, **train(loss, tx, trained, batches)[0]}

    @jax.jit
    @jax.vmap
    def run(key, batches):
        sizes = {"first": (64, UNITS), "second": (UNITS, UNITS), "out": (UNITS, 10)}
        params: dict[str, Any] = {
            name: {
                "kernel": jax.random.normal(k, size) * (2 / size[0]) ** 0.5,
                "bias": jnp.zeros(size[1]),
            }
            for k, (name, size) in zip(jax.random.split(key, 3), sizes.items(), strict=True)
        }
        params = fit(params, {}, lying, batches[0])
        small = adapter.init(key, jnp.zeros((1, UNITS)))["params"]
        accuracies = []
        for trained in (
            {"second": params["second"], "out": params["out"]},
            {"adapter": small, "out": params["out"]},
            {"out": params["out"]},
        ):
            tuned = fit(trained, params, upright, batches[1])
            accuracies.append(jnp.mean(logits(tuned, test).argmax(-1) == truth))
        return jnp.stack(accuracies)

    return np.asarray(run(jax.random.split(key, SEEDS), jnp.asarray(batches)))


CLAIM = Claim(
    name="scalable-neural-network-kernels",
    title="Scalable Neural Network Kernels",
    year=2024,
    says="layers as products of random features need fewer parameters and have explicit optima",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
