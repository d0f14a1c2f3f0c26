"""Cauchy activations: the integral formula as a network, gradients, and two regressions.

One check fails on the seed it was run with, 0. On the smooth function of two variables no network
of 5 reaches 0.3 of ReLU's error, where ReLU has 112 units to Cauchy's 64, for equal parameters;
all 5 are below tanh's. On sin 4πx with a step both bounds hold for all 5. No other setting was run.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import train
from jaxnn.layers.activations import CATALOGUE, Adaptive
from jaxnn.models import MLP

UNITS = 64
STEPS = 4000
SEEDS = 5
POINTS = 512
cauchy = CATALOGUE["cauchy"]


def identities(key: jax.Array) -> list[Check]:
    """Cauchy's integral over a circle, in 32 nodes, is 16 Cauchy units without training."""
    x = jax.random.uniform(key, (64,), minval=-1.0)
    angles = (np.arange(16) + 0.5) * 2 * np.pi / 32
    nodes = 2 * np.exp(1j * angles)
    errors = {}
    for name, f in (("exp", np.exp), ("sin", np.sin)):
        weights = f(nodes) * nodes / 32
        # A node ξ and its conjugate: 2 Re[w / (ξ - x)], a real quotient with d = Im ξ.
        total = sum(
            cauchy(x - n.real, lambda1=-2 * w.real, lambda2=2 * w.imag * n.imag, d=n.imag)
            for n, w in zip(nodes, weights, strict=True)
        )
        errors[name] = np.max(np.abs(np.asarray(total) - f(np.asarray(x))))
    far = jnp.array([1e4, -1e4])
    tails = cauchy(far, lambda1=2.0, lambda2=3.0, d=0.5) * far
    return [
        Check("exp by 16 untrained units on [-1, 1], worst error", errors["exp"], "<=", 1e-5),
        Check("sin by 16 untrained units on [-1, 1], worst error", errors["sin"], "<=", 1e-5),
        Check("x φ(x) far out, worst distance from λ1 = 2", abs(tails - 2).max(), "<=", 1e-3),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """Gradients of the three parameters against differences of the formula in float64."""
    x = np.asarray(3 * jax.random.normal(key, (64,)), np.float64)
    start = np.array([0.7, -1.3, 0.9])

    def total(lambda1, lambda2, d):
        return np.sum(np.sin(x) * (lambda1 * x / (x**2 + d**2) + lambda2 / (x**2 + d**2)))

    def ours(parameters):
        names = ("lambda1", "lambda2", "d")
        each = {name: parameters[i] for i, name in enumerate(names)}
        low = jnp.asarray(x, jnp.float32)
        return jnp.sum(jnp.sin(low) * cauchy(low, **each))

    got = np.asarray(jax.grad(ours)(jnp.asarray(start, jnp.float32)))
    steps = 1e-6 * np.eye(3)
    want = np.array([(total(*(start + s)) - total(*(start - s))) / 2e-6 for s in steps])
    scale = np.max(np.abs(want))
    return [
        Check("gradients of λ1, λ2, d, distance", np.max(np.abs(got - want)) / scale, "<=", 1e-4)
    ]


def effects(key: jax.Array) -> list[Check]:
    """One hidden layer on two functions; ReLU and tanh have more units, for as many parameters."""
    seed = np.asarray(jax.random.key_data(key)).tolist()
    random = np.random.default_rng(seed)
    keys = jax.random.split(key, SEEDS)
    checks = []
    targets: tuple[tuple[str, int, Callable[..., Any]], ...] = (
        ("sin 4πx + step", 1, lambda x: np.sin(4 * np.pi * x[:, 0]) + 0.5 * (x[:, 0] > 0)),
        ("exp(sin πx + y²)", 2, lambda x: np.exp(np.sin(np.pi * x[:, 0]) + x[:, 1] ** 2)),
    )
    for name, inputs, f in targets:
        x = random.uniform(-1, 1, (2, POINTS, inputs)).astype(np.float32)
        y = np.stack([f(half) for half in x]).astype(np.float32)
        # A Cauchy unit has three parameters beside its weights: 64 * 6 = 128 * 3 for one input.
        more = UNITS * (inputs + 5) // (inputs + 2)
        errors = {
            kind: _test_errors(MLP((units, 1), activation=activation), keys, x, y)
            for kind, units, activation in (
                ("cauchy", UNITS, Adaptive("cauchy", per="unit")),
                ("relu", more, jax.nn.relu),
                ("tanh", more, jnp.tanh),
            )
        }
        below = errors["cauchy"] <= 0.3 * errors["relu"]
        checks += [
            Check(f"{name}: seeds of 5 with MSE <= 0.3 ReLU's", below.sum(), ">=", 4),
            Check(
                f"{name}: seeds of 5 with MSE <= tanh's",
                (errors["cauchy"] <= errors["tanh"]).sum(),
                ">=",
                4,
            ),
        ]
    return checks


def _test_errors(model: MLP, keys: jax.Array, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Fit one network from each key on all points at once; give errors on the other points."""
    tx = optax.adam(optax.cosine_decay_schedule(1e-2, STEPS))
    train_x, test_x = jnp.asarray(x[0]), jnp.asarray(x[1])
    train_y, test_y = jnp.asarray(y[0]), jnp.asarray(y[1])

    def error(params, x, y):
        return jnp.mean((jnp.asarray(model.apply({"params": params}, x))[:, 0] - y) ** 2)

    def run(key):
        start = model.init(key, train_x)["params"]
        params, _ = train(lambda p, _: error(p, train_x, train_y), tx, start, jnp.arange(STEPS))
        return error(params, test_x, test_y)

    return np.asarray(jax.jit(jax.vmap(run))(keys))


CLAIM = Claim(
    name="cauchy-activation",
    title="Cauchy activation function and XNet",
    year=2024,
    says="one hidden layer of units from Cauchy's integral formula fits functions better than "
    "ReLU and tanh of as many parameters",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
