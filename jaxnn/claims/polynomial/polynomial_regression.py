r"""Polynomial regression beside a tuned network, networks that are polynomials, and inflation.

Breast cancer and wine (accuracy) and diabetes (error) in ten folds. The polynomial is of degree
2, least squares on one-hot targets for the classes; its ridge is chosen from three, and whether it
is of the inputs or of the principal components that hold 90 % of their variance. The network has
32 hidden ReLU units under AdamW; weight decay and number of steps are chosen from nine pairs.
For each test fold both choose by the loss on one of the other nine and are fitted to the eight that
remain, by which the inputs are standardised.

On breast cancer the polynomial stays 2.1 and 1.6 points below the network (seeds 0 and 1), and on
diabetes its error is 0.4 and 3.0 % above the network's: those checks fail. Tried before, with five
ridges and fifteen pairs: no components, refitted to nine folds (-2.0 points, 2.5 %, seed 0); with
components, refitted (-2.1, 1.5 %, seed 0); with components, not refitted (-1.8, 2.2 %, seed 1). The
last was shortened to three ridges and nine pairs to save time.

Variance inflation is that of the hidden units of a ReLU network of three layers of 32, trained
on digits from ten seeds; units that never change are not counted.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn import data
from jaxnn.analysis.similarity import variance_inflation
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator, train
from jaxnn.layers.polynomial import PolynomialRegression, expand_network, fit_polynomial

FOLDS = 10
RIDGES = (1.0, 30.0, 1000.0)
DECAYS = (1e-2, 1e-1, 1.0)
STEPS = (100, 200, 400)  # the network is looked at after each of these
UNITS = 32
SEEDS, BATCH, DIGIT_STEPS = 10, 64, 300


def identities(key: jax.Array) -> list[Check]:
    """A network of squares is the polynomial of its expansion, of degree 4 for two layers."""
    with jax.enable_x64(True):
        x, kernels, biases = _squares(key)
        params = expand_network([jnp.asarray(k) for k in kernels], [jnp.asarray(b) for b in biases])
        got = PolynomialRegression(2, degree=4).apply({"params": params}, jnp.asarray(x))
        want = _network(x, kernels, biases)
        off = np.abs(np.asarray(got) - want).max() / np.abs(want).max()
    return [Check("network of squares: distance from its polynomial", off, "<=", 1e-6)]


def agreements(key: jax.Array) -> list[Check]:
    """Fits and inflation against scikit-learn's; its features reproduce the network."""
    from sklearn.linear_model import LinearRegression, Ridge
    from sklearn.preprocessing import PolynomialFeatures

    x, kernels, biases = _squares(key)
    y = _network(x, kernels, biases)
    left = []
    for degree in (4, 3):
        values = PolynomialFeatures(degree).fit_transform(x)
        fitted = values @ np.linalg.lstsq(values, y, rcond=None)[0]
        left.append(np.abs(fitted - y).max() / np.abs(y).max())
    y = y / y.std(0)
    params = fit_polynomial(jnp.float32(x), jnp.float32(y), degree=2, ridge=1.0)
    values = PolynomialFeatures(2, include_bias=False).fit_transform(x)
    theirs = Ridge(1.0, solver="svd").fit(values, y)
    off = np.abs(np.asarray(params["kernel"]).T - theirs.coef_).max()
    columns = np.concatenate([x, x[:, :1] + x[:, 1:2] + x @ kernels[0]], axis=1)
    columns += 0.1 * np.random.default_rng(0).normal(size=columns.shape)
    inflation = []
    for j in range(columns.shape[1]):
        others = np.delete(columns, j, 1)
        score = LinearRegression().fit(others, columns[:, j]).score(others, columns[:, j])
        inflation.append(1 / (1 - score))
    ratio = np.asarray(variance_inflation(jnp.float32(columns))) / np.array(inflation)
    return [
        Check("scikit-learn's degree 4: what it leaves of the network", left[0], "<=", 1e-6),
        Check("its degree 3: what it leaves", left[1], ">=", 1e-3),
        Check("ridge: distance from scikit-learn's coefficients", off, "<=", 1e-4),
        Check("inflation over one regression a unit", np.abs(ratio - 1).max(), "<=", 1e-2),
    ]


def _squares(key: jax.Array) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Draw inputs and a network of three inputs, two hidden layers of 4, and two outputs."""
    random = generator(key)
    shapes = [(3, 4), (4, 4), (4, 2)]
    kernels = [random.normal(size=s) / np.sqrt(s[0]) for s in shapes]
    biases = [random.normal(size=s[1]) for s in shapes]
    return random.normal(size=(200, 3)), kernels, biases


def _network(x: np.ndarray, kernels: list[np.ndarray], biases: list[np.ndarray]) -> np.ndarray:
    for layer, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        x = (x**2 if layer else x) @ kernel + bias
    return x


def effects(key: jax.Array) -> list[Check]:
    """Ten folds of three tables, and inflation by layer from ten seeds."""
    checks = []
    for name in ("breast-cancer", "wine", "diabetes"):
        polynomial, network = _compare(key, name)
        if name == "diabetes":
            checks.append(
                Check(f"{name}: error over the network's", polynomial / network, "<=", 1.02)
            )
        else:
            points = 100 * (polynomial - network)
            checks.append(Check(f"{name}: accuracy above the network's, points", points, ">=", -1))
    shares = _shares(key)
    more = int(np.sum(shares[:, 2] > shares[:, 0]))
    checks.append(Check("seeds of 10 with more units inflated in layer 3 than 1", more, ">=", 8))
    return checks


def _compare(key: jax.Array, name: str) -> tuple[float, float]:
    """Give the accuracies, or the root mean squared errors, of polynomial and network."""
    table: Any = data.load(name)
    random = generator(key)
    x = np.concatenate([table.train.x, table.test.x]).astype(np.float32)
    y = np.concatenate([table.train.y, table.test.y])
    classes = table.num_classes if table.task == "classification" else None
    targets = y.reshape(-1, 1) if classes is None else np.eye(classes)[y]
    # Folds of one size, so that all are one program: up to nine examples are left out.
    folds = random.permutation(len(x))[: len(x) // FOLDS * FOLDS].reshape(FOLDS, -1)
    order = np.stack([np.roll(folds, -i, axis=0).ravel() for i in range(FOLDS)])
    size = folds.shape[1]  # test examples come first in each row, then those to choose by
    rows, wanted = jnp.asarray(x[order]), jnp.asarray(targets[order], jnp.float32)
    scores = []
    for outputs in (_polynomials(rows, wanted, size), _networks(key, rows, wanted, size, classes)):
        tested, truth = np.asarray(outputs), np.asarray(wanted[:, :size])
        if classes is None:
            scores.append(float(np.sqrt(np.mean((tested - truth) ** 2))))
        else:
            scores.append(float(np.mean(tested.argmax(-1) == truth.argmax(-1))))
    return scores[0], scores[1]


def _standardised(rows: jax.Array, start: int) -> jax.Array:
    """Scale all rows by those from ``start`` on."""
    fitted = rows[start:]
    return (rows - fitted.mean(0)[None]) / (fitted.std(0) + 1e-6)[None]


def _polynomials(rows: jax.Array, wanted: jax.Array, size: int) -> np.ndarray:
    """Choose ridge and components, fold by fold; give the outputs for the test examples."""
    start = 2 * size

    def fitted(x, y, ridge, components):
        x = _standardised(x, start)
        options = {"degree": 2, "components": components}
        params = fit_polynomial(x[start:], y[start:], ridge=ridge, **options)
        module = PolynomialRegression(wanted.shape[-1], **options)
        return jnp.asarray(module.apply({"params": params}, x[:start]))

    fitted = jax.jit(fitted, static_argnums=3)
    variances = np.linalg.svd(_standardised(rows[0], start), compute_uv=False) ** 2
    enough = int(np.argmax(np.cumsum(variances) >= 0.9 * variances.sum())) + 1
    settings = [(ridge, components) for ridge in RIDGES for components in (enough, None)]
    outputs = []
    for x, y in zip(rows, wanted, strict=True):
        fits = [fitted(x, y, *setting) for setting in settings]
        errors = [float(jnp.mean((fit[size:] - y[size:start]) ** 2)) for fit in fits]
        outputs.append(fits[int(np.argmin(errors))][:size])
    return np.stack(outputs)


def _networks(
    key: jax.Array, rows: jax.Array, wanted: jax.Array, size: int, classes: int | None
) -> np.ndarray:
    """Train all networks of a table at once; give the outputs of those that were chosen."""
    inputs, outputs = rows.shape[-1], wanted.shape[-1]

    def network(params, x):
        hidden = jax.nn.relu(jnp.dot(x, params["in"]) + params["bias"][None])
        return jnp.dot(hidden, params["out"]) + params["offset"][None]

    def losses(logits, y):
        if classes is None:
            return jnp.sum((logits - y) ** 2, -1)
        return optax.softmax_cross_entropy(logits, y)

    start = 2 * size

    def run(key, x, y, decay):
        x = _standardised(x, start)
        into, out = jax.random.split(key)
        params = {
            "in": jax.random.normal(into, (inputs, UNITS)) * (2 / inputs) ** 0.5,
            "bias": jnp.zeros(UNITS),
            "out": jax.random.normal(out, (UNITS, outputs)) * (1 / UNITS) ** 0.5,
            "offset": jnp.zeros(outputs),
        }
        tx = optax.adam(1e-2)

        def loss(params):
            return jnp.mean(losses(network(params, x[start:]), y[start:]))

        def step(carry, _):
            params, state = carry
            updates, state = tx.update(jax.grad(loss)(params), state, params)
            # AdamW's decay, of a rate that differs from network to network.
            updates = jax.tree.map(lambda u, p: u - 1e-2 * decay * p, updates, params)
            return (optax.apply_updates(params, updates), state), None

        carry, seen = (params, tx.init(params)), []
        for length in np.diff((0, *STEPS)):
            carry, _ = jax.lax.scan(step, carry, None, length=int(length))
            logits = network(carry[0], x[:start])
            chosen_by = jnp.mean(losses(logits[size:], y[size:start]))
            seen.append((chosen_by, logits[:size]))
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *seen)

    @jax.jit
    def all_networks(keys, rows, wanted):
        over_decays = jax.vmap(run, in_axes=(None, None, None, 0))
        over_folds = jax.vmap(over_decays, in_axes=(0, 0, 0, None))
        chosen_by, logits = over_folds(keys, rows, wanted, jnp.array(DECAYS))
        best = jnp.argmin(chosen_by.reshape(FOLDS, -1), axis=1)
        flat = logits.reshape(FOLDS, -1, *logits.shape[-2:])
        return jnp.take_along_axis(flat, best[:, None, None, None], 1)[:, 0]

    return np.asarray(all_networks(jax.random.split(key, FOLDS), rows, wanted))


def _shares(key: jax.Array) -> np.ndarray:
    """Give the part of units inflated above 10, ``(seeds, layers)``, after training on digits."""
    digits: Any = data.load("digits")
    x, y = jnp.asarray(digits.train.x).reshape(-1, 64), jnp.asarray(digits.train.y)
    random = generator(key)
    batches = random.integers(0, len(x), (SEEDS, DIGIT_STEPS, BATCH))
    sizes = (64, UNITS, UNITS, UNITS, 10)

    def layers(params, x):
        hidden = []
        for kernel, bias in params:
            x = jnp.dot(x, kernel) + bias[None]
            hidden.append(x := jax.nn.relu(x) if len(hidden) < 3 else x)
        return hidden

    @jax.jit
    @jax.vmap
    def run(key, batches):
        params = [
            (jax.random.normal(k, (i, o)) * (2 / i) ** 0.5, jnp.zeros(o))
            for k, i, o in zip(jax.random.split(key, 4), sizes[:-1], sizes[1:], strict=True)
        ]

        def loss(params, batch):
            logits = layers(params, x[batch])[-1]
            return optax.softmax_cross_entropy_with_integer_labels(logits, y[batch]).mean()

        params, _ = train(loss, optax.adam(3e-3), params, batches)
        return layers(params, x)[:3]

    hidden = run(jax.random.split(key, SEEDS), jnp.asarray(batches))
    shares = np.zeros((SEEDS, 3))
    for layer, values in enumerate(hidden):
        for seed in range(SEEDS):
            alive = np.ptp(values[seed], axis=0) > 0
            inflation = np.asarray(variance_inflation(values[seed]))
            shares[seed, layer] = np.mean(inflation[alive] > 10)
    return shares


CLAIM = Claim(
    name="polynomial-regression",
    title="Polynomial Regression As an Alternative to Neural Nets",
    year=2018,
    says="polynomials of degree 2 do as well as networks, which are polynomials and collinear",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
