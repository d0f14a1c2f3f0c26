"""Splines on edges: small networks that fit, refine and turn into formulas.

The target of the experiments is the paper's exp(sin πx + y²) on [-1, 1]². Networks of the shape
[2, 5, 1] and, for formulas, [2, 1, 1] are trained by L-BFGS on 1,000 points; the multi-layer
perceptron beside them has more parameters, as many L-BFGS steps in all, and the better of two
activations.
"""

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax.flatten_util import ravel_pytree

from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator
from jaxnn.layers import kan
from jaxnn.models import KAN, MLP

GRIDS = (3, 6, 12)
STEPS = 50  # of L-BFGS on each grid
NETWORKS = 3  # each with a start and data of its own
RESTARTS = 5
FORMULAS = (("layers_0", 0, "sin"), ("layers_0", 1, "x^2"), ("layers_1", 0, "exp"))

Variables = dict[str, Any]
Points = tuple[jax.Array, jax.Array]  # x (n, 2) and y (n,)
KANS = tuple(KAN((5, 1), grid=grid) for grid in GRIDS)


def _points(key: jax.Array) -> Points:
    x = jax.random.uniform(key, (1000, 2), minval=-1.0)
    return x, jnp.exp(jnp.sin(jnp.pi * x[:, 0]) + x[:, 1] ** 2)


def _rms(values: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.mean(values**2))


def _output(model: nn.Module, variables: Variables, x: jax.Array) -> jax.Array:
    return jnp.asarray(model.apply(variables, x))[:, 0]


def _fit(model: nn.Module, variables: Variables, x: jax.Array, y: jax.Array, steps: int):
    """Run L-BFGS on the parameters for a number of steps, as one scan."""
    rest = {name: value for name, value in variables.items() if name != "params"}
    # One vector: the optimiser's program is compiled once, not once per parameter.
    flat, unravel = ravel_pytree(variables["params"])

    def loss(flat: Any) -> jax.Array:
        return jnp.mean((_output(model, {**rest, "params": unravel(flat)}, x) - y) ** 2)

    optimizer = optax.lbfgs()
    value_and_grad = optax.value_and_grad_from_state(loss)

    def step(carry: Any, _: None) -> tuple[Any, None]:
        flat, state = carry
        value, grad = value_and_grad(flat, state=state)
        updates, state = optimizer.update(grad, state, flat, value=value, grad=grad, value_fn=loss)
        return (optax.apply_updates(flat, updates), state), None

    (flat, _), _ = jax.lax.scan(step, (flat, optimizer.init(flat)), length=steps)
    return {**rest, "params": unravel(jnp.asarray(flat))}


def _size(tree: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def identities(key: jax.Array) -> list[Check]:
    """Partition of unity, the closed form, and what an extension to a multiple changes."""
    unity, forms, change = _identities(key)
    return [
        Check("sum of the basis over uneven knots less 1, degrees 2 and 3", unity, "<=", 1e-5),
        Check("closed form less recursion, degrees 2 and 3", forms, "<=", 1e-5),
        Check("change of a random layer from grid 3 to 12, RMS", change, "<=", 1e-5),
    ]


@jax.jit
def _identities(key: jax.Array) -> tuple[jax.Array, ...]:
    knots_key, x_key, layer_key = jax.random.split(key, 3)
    x = jax.random.uniform(x_key, (500, 3), minval=-1.0)
    unity, forms = [], []
    for degree in (2, 3):
        widths = jax.random.uniform(knots_key, (3, 2 * degree + 6), minval=0.2)
        knots = jnp.cumsum(widths, axis=1)
        low, high = knots[None, :, degree], knots[None, :, -degree - 1]
        inside = low + (x + 1) / 2 * (high - low)
        total = kan.bspline_basis(inside, knots, degree=degree).sum(axis=-2)
        unity.append(jnp.max(jnp.abs(total - 1)))
        even = kan.uniform_knots(jnp.array(-1.0), jnp.array(1.0), grid=5, degree=degree)
        fast = kan.uniform_bspline_basis(1.5 * x, grid=5, degree=degree)
        plain = kan.bspline_basis(1.5 * x, even, degree=degree)
        forms.append(jnp.max(jnp.abs(fast - plain)))
    layer = kan.KANLayer(4, grid=3)
    variables = dict(layer.init(layer_key, x))
    extended = kan.extend_grid(layer, variables, x, grid=12)
    outputs = layer.clone(grid=12).apply(extended, x), layer.apply(variables, x)
    change = jnp.subtract(*map(jnp.asarray, outputs))
    return jnp.stack(unity).max(), jnp.stack(forms).max(), _rms(change)


def agreements(key: jax.Array) -> list[Check]:
    """The basis, its derivative and the whole layer against SciPy's splines."""
    from scipy.interpolate import BSpline

    rng = generator(key)
    x = rng.uniform(-1.0, 1.0, (200, 3)).astype(np.float32)
    basis = slope = 0.0
    for degree in range(1, 6):
        knots = np.cumsum(rng.uniform(0.2, 1.0, 2 * degree + 6))
        knots = (4 * (knots - knots[0]) / (knots[-1] - knots[0]) - 2).astype(np.float32)
        arrays = jnp.asarray(x[:, :1]), jnp.asarray(knots)
        values, slopes = jax.jvp(
            lambda x, t=arrays[1], k=degree: kan.bspline_basis(x, t, degree=k),
            arrays[:1],
            (jnp.ones_like(arrays[0]),),
        )
        for b in range(len(knots) - degree - 1):
            one = BSpline.basis_element(knots[b : b + degree + 2].astype(float), extrapolate=False)
            want, rise = np.nan_to_num(one(x[:, 0])), np.nan_to_num(one.derivative()(x[:, 0]))
            basis = max(basis, float(np.abs(values[:, b, 0] - want).max()))
            slope = max(slope, float(np.abs(slopes[:, b, 0] - rise).max()))
    c, w = rng.normal(size=(8, 3, 2)), rng.normal(size=(3, 2))
    knots = -1 + (np.arange(12) - 3) * 0.4
    want = np.zeros((200, 2))
    for i in range(3):
        for j in range(2):
            base = x[:, i] / (1 + np.exp(-x[:, i]))
            want[:, j] += w[i, j] * base + BSpline(knots, c[:, i, j], 3)(x[:, i])
    got = kan.kan_layer(jnp.asarray(x), jnp.asarray(c, jnp.float32), jnp.asarray(w, jnp.float32))
    return [
        Check("basis less SciPy's, degrees 1 to 5", basis, "<=", 1e-5),
        Check("derivative of the basis less SciPy's", slope, "<=", 1e-3),
        Check("layer less a loop over SciPy's splines", np.abs(got - want).max(), "<=", 1e-4),
    ]


def effects(key: jax.Array) -> list[Check]:
    """Fit and refine [2, 5, 1] beside a perceptron, and read the formula off [2, 1, 1]."""
    fit_key, formula_key = jax.random.split(key)
    # Nearly all the time goes into compiling, which threads do side by side.
    with ThreadPoolExecutor(2) as pool:
        networks = pool.submit(_refined, fit_key)
        perceptrons = pool.submit(_perceptrons, fit_key)
        formula = pool.submit(_formula, formula_key)
    errors, change, size = networks.result()
    rivals, rival_size = perceptrons.result()
    coarse, middle, fine = errors
    return [
        Check("change by grid extension, largest RMS", change, "<", 1e-3),
        Check("test RMSE of [2, 5, 1] with 12 intervals", fine, "<", 1e-2),
        Check("test RMSE with 6 intervals over 3", middle / coarse, "<", 1),
        Check("test RMSE with 12 intervals over 6", fine / middle, "<", 1),
        Check("parameters of the perceptron over the KAN's", rival_size / size, ">=", 1),
        Check("test RMSE of the KAN over the better perceptron's", fine / min(rivals), "<", 1),
        *formula.result(),
    ]


def _trials(key: jax.Array) -> Iterator[tuple[jax.Array, Points, Points]]:
    """Give each network's key, training and test data; the same for both kinds."""
    for k in jax.random.split(key, NETWORKS):
        init_key, train_key, test_key = jax.random.split(k, 3)
        yield init_key, _points(train_key), _points(test_key)


@jax.jit
def _start(key: jax.Array, x: jax.Array) -> Variables:
    return dict(KANS[0].init(key, x))


@partial(jax.jit, static_argnums=0)
def _stage(
    model: KAN,
    variables: Variables,
    train: tuple[jax.Array, jax.Array],
    test: tuple[jax.Array, jax.Array],
) -> tuple[Variables, jax.Array]:
    """Train on the present grid; give the variables and the test RMSE."""
    variables = _fit(model, variables, *train, STEPS)
    return variables, _rms(_output(model, variables, test[0]) - test[1])


@partial(jax.jit, static_argnums=(0, 1))
def _refine(
    model: KAN, finer: KAN, variables: Variables, x: jax.Array
) -> tuple[Variables, jax.Array]:
    """Move the grid to the data and refine it; give what the refinement changed, RMS."""
    variables = kan.update_grid(model, variables, x)
    before = _output(model, variables, x)
    variables = kan.extend_grid(model, variables, x, grid=finer.grid)
    return variables, _rms(_output(finer, variables, x) - before)


def _refined(key: jax.Array) -> tuple[np.ndarray, float, int]:
    """Train and refine; give the mean test RMSE on each grid, the largest change and the size."""
    errors, changes, size = [], [], 0
    for init_key, train, test in _trials(key):
        variables, error = _stage(KANS[0], _start(init_key, train[0]), train, test)
        errors.append([error])
        for model, finer in itertools.pairwise(KANS):
            variables, change = _refine(model, finer, variables, train[0])
            variables, error = _stage(finer, variables, train, test)
            changes.append(float(change))
            errors[-1].append(error)
        size = _size(variables["params"])
    return np.asarray(errors, float).mean(axis=0), max(changes), size


def _perceptrons(key: jax.Array) -> tuple[list[float], int]:
    """Train as many tanh and SiLU perceptrons; give the mean test RMSE of each and the size."""
    errors, size = [], 0
    for trial in _trials(key):
        params, error = _train_perceptrons(*trial)
        errors.append(error)
        size = _size(params)
    return np.asarray(errors, float).mean(axis=0).tolist(), size


@jax.jit
def _train_perceptrons(key: jax.Array, train: Points, test: Points) -> tuple[Any, jax.Array]:
    """Train both perceptrons from one start; give parameters of one and both test RMSEs."""

    def fit(smooth: jax.Array) -> tuple[Any, jax.Array]:
        def activation(z: jax.Array) -> jax.Array:
            return jnp.where(smooth, jnp.tanh(z), jax.nn.silu(z))

        model = MLP((14, 14, 1), activation=activation)
        variables = _fit(model, dict(model.init(key, train[0])), *train, STEPS * len(GRIDS))
        return variables["params"], _rms(_output(model, variables, test[0]) - test[1])

    params, errors = jax.lax.map(fit, jnp.array([True, False]))
    return jax.tree.map(lambda leaf: leaf[0], params), errors


@jax.jit
def _train_small(key: jax.Array, x: jax.Array, y: jax.Array) -> tuple[jax.Array, Variables]:
    """Train [2, 1, 1] in stages, moving the grids to the data after each."""
    model = KAN((1, 1), grid=5)
    ends = {"layers_0": jnp.ones(2), "layers_1": jnp.ones(1)}
    grid = {layer: {"knots": kan.uniform_knots(-end, end)} for layer, end in ends.items()}

    def stage(variables: Variables, _: None) -> tuple[Variables, None]:
        return kan.update_grid(model, _fit(model, variables, x, y, STEPS), x), None

    start = {"params": model.init(key, x)["params"], "grid": grid}
    variables, _ = jax.lax.scan(stage, start, length=4)
    return _rms(_output(model, variables, x) - y), variables


def _formula(key: jax.Array) -> list[Check]:
    data_key, *starts = jax.random.split(key, RESTARTS + 1)
    x, y = _points(data_key)
    trained = [_train_small(start, x, y) for start in starts]
    _, variables = min(trained, key=lambda network: float(network[0]))
    found, worst = 0, 1.0
    for layer, edge, name in FORMULAS:
        xs, ys = kan.edge_curves(**variables["params"][layer], **variables["grid"][layer])
        (best, fit), *_ = kan.suggest_symbolic(xs[edge], ys[edge, 0])
        found += best == name
        worst = min(worst, float(fit.r2))
    return [
        Check("edges of [2, 1, 1] named sin, x^2 and exp, of 3", found, "=", 3),
        Check("their lowest R2", worst, ">", 0.99),
    ]


CLAIM = Claim(
    name="kan",
    title="KAN: Kolmogorov-Arnold Networks",
    year=2024,
    says=(
        "networks with splines on their edges fit smooth functions better than perceptrons of "
        "their size, improve when grids are refined, and can be read as formulas"
    ),
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
