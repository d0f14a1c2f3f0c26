"""Integrated gradients: axioms on closed forms, quadrature on its own, completeness on digits."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn import data
from jaxnn.analysis import attribution, faithfulness
from jaxnn.claims import Check, Claim
from jaxnn.models import MLP

NETWORKS = 3
IMAGES = 100
ORDERS = 10
MODEL = MLP(features=(64, 64, 10), activation=jax.nn.relu)


def identities(key: jax.Array) -> list[Check]:
    """The axioms, where the answer is known."""
    cut = lambda x: 1 - jax.nn.relu(1 - x)  # noqa: E731
    two = jnp.asarray(2.0)
    x_key, baseline_key, weights_key = jax.random.split(key, 3)
    x, baseline = (jax.random.normal(k, (100, 2)) for k in (x_key, baseline_key))
    weights = jax.random.normal(weights_key, (2,))

    def worst(f, want, baseline):
        method = jax.vmap(lambda x, b: attribution.integrated_gradients(f, x, b))
        return jnp.abs(jax.jit(method)(x, baseline) - want).max()

    halves = jnp.repeat(x.prod(1, keepdims=True) / 2, 2, axis=1)
    linear = weights[None, :] * (x - baseline)
    unused = jnp.stack([jnp.expm1(x[:, 0]), jnp.zeros(len(x))], 1)
    return [
        Check("gradient of 1 - relu(1 - x) at 2", attribution.gradient(cut, two), "=", 0.0),
        Check(
            "integrated gradient of it from 0 to 2 (it changes by 1)",
            attribution.integrated_gradients(cut, two),
            "=",
            1.0,
            1e-6,
        ),
        Check(
            "x1 x2 from 0: worst distance from equal halves",
            worst(lambda x: x[0] * x[1], halves, jnp.zeros_like(x)),
            "=",
            0.0,
            1e-5,
        ),
        Check(
            "linear model: worst distance from w (x - x')",
            worst(lambda x: x @ weights + 3.0, linear, baseline),
            "=",
            0.0,
            1e-5,
        ),
        Check(
            "exp(x1): worst distance from its change to x1, nothing to x2",
            worst(lambda x: jnp.exp(x[0]), unused, jnp.zeros_like(x)) / jnp.abs(unused).max(),
            "=",
            0.0,
            1e-5,
        ),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """The integral against SciPy's adaptive quadrature and the paper's sum, gradient by hand."""
    from scipy import integrate

    inputs, hidden = 6, 8
    keys = jax.random.split(key, 4)
    shapes = ((inputs, hidden), (hidden,), (inputs,), (inputs,))
    first, last, x, baseline = (jax.random.normal(k, s) for k, s in zip(keys, shapes, strict=True))

    def f(x: jax.Array) -> jax.Array:
        return jnp.tanh(x @ first) @ last

    wide = [np.asarray(array, np.float64) for array in (first, last, x, baseline)]
    first64, last64, x64, baseline64 = wide
    path = x64 - baseline64

    def slope(point: float) -> np.ndarray:
        """The gradient on the path, written out."""
        h = np.tanh((baseline64 + point * path) @ first64)
        return first64 @ (last64 * (1 - h**2))

    exact = path * integrate.quad_vec(slope, 0, 1, epsabs=1e-12)[0]
    steps = 50
    paper = path * sum(slope(k / steps) for k in range(1, steps + 1)) / steps
    gauss = attribution.integrated_gradients(f, x, baseline)
    right = attribution.integrated_gradients(f, x, baseline, steps=steps, method="riemann_right")
    scale = max(1.0, np.abs(exact).max())
    return [
        Check(
            "smooth network, 50 Gauss-Legendre points: worst distance from the integral",
            np.abs(np.asarray(gauss) - exact).max() / scale,
            "=",
            0.0,
            1e-5,
        ),
        Check(
            "equation 3 with m = 50: worst distance from a NumPy loop",
            np.abs(np.asarray(right) - paper).max() / scale,
            "=",
            0.0,
            1e-5,
        ),
    ]


def effects(key: jax.Array) -> list[Check]:
    """Completeness and deletion on networks trained on digits."""
    digits = data.load("digits")
    train_key, image_key, order_key = jax.random.split(key, 3)
    x, y = jnp.asarray(digits.train.x), jnp.asarray(digits.train.y)
    params = jax.jit(jax.vmap(functools.partial(_train, x=x, y=y)))(
        jax.random.split(train_key, NETWORKS)
    )
    images = jax.random.choice(image_key, jnp.asarray(digits.test.x), (IMAGES,), replace=False)
    order_keys = jax.random.split(order_key, IMAGES)
    rows = jax.vmap(_measure, (None, 0, 0))
    measured = jax.jit(jax.vmap(rows, (0, None, None)))(params, images, order_keys)
    gap, early, late, deletion, chance, ink = map(np.asarray, measured)
    return [
        Check("completeness gap at m = 300, worst image, %", 100 * gap.max(), "<", 1.0),
        Check(
            "right sums: mean gap at m = 20 over that at m = 300 (15 by their order)",
            early.mean() / late.mean(),
            ">=",
            5.0,
        ),
        Check(
            "images whose deletion area is below a random order's, %",
            100 * (deletion < chance).mean(),
            ">=",
            90.0,
        ),
        Check(
            "and below a random order's of the pixels that are not blank, %",
            100 * (deletion < ink).mean(),
            ">=",
            90.0,
        ),
    ]


def _logits(params: Any, x: jax.Array) -> jax.Array:
    return jnp.asarray(MODEL.apply({"params": params}, x))


def _train(key: jax.Array, x: jax.Array, y: jax.Array):
    """Train one network with Adam."""
    init_key, batch_key = jax.random.split(key)
    params = MODEL.init(init_key, x[:1])["params"]
    tx = optax.adam(3e-3)

    def loss(params, rows):
        logits = _logits(params, x[rows])
        return optax.softmax_cross_entropy_with_integer_labels(logits, y[rows]).mean()

    def step(carry, key):
        params, state = carry
        rows = jax.random.randint(key, (128,), 0, len(x))
        updates, state = tx.update(jax.grad(loss)(params, rows), state, params)
        return (optax.apply_updates(params, updates), state), None

    keys = jax.random.split(batch_key, 500)
    return jax.lax.scan(step, (params, tx.init(params)), keys)[0][0]


def _measure(params, image: jax.Array, key: jax.Array) -> tuple[jax.Array, ...]:
    """Measure one network on one image, from a black baseline."""
    logits = lambda x: _logits(params, x[None])[0]  # noqa: E731
    digit = jnp.argmax(logits(image))
    f = lambda x: jax.nn.softmax(logits(x))[digit]  # noqa: E731
    change = jnp.abs(f(image) - f(jnp.zeros_like(image)))

    def gap(a):
        return jnp.abs(attribution.completeness_residual(f, image, a)) / change

    def area(order):
        curve = faithfulness.deletion_curve(f, image, order, steps=image.size)
        return jnp.trapezoid(curve, dx=1 / image.size)

    fine = attribution.integrated_gradients(f, image, steps=300)
    right = functools.partial(attribution.integrated_gradients, f, image, method="riemann_right")
    noise = jax.random.uniform(key, (ORDERS, *image.shape))
    on_ink = noise + (image > 0)[None]
    areas = jax.vmap(area)(jnp.concatenate([fine[None], noise, on_ink]))
    chance, ink = areas[1:].reshape(2, ORDERS).mean(1)
    return gap(fine), gap(right(steps=20)), gap(right(steps=300)), areas[0], chance, ink


CLAIM = Claim(
    name="integrated-gradients",
    title="Axiomatic Attribution for Deep Networks",
    year=2017,
    says="gradients summed along the line from a baseline attribute the whole change in output",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
