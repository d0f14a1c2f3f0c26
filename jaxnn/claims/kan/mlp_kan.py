"""Perceptron and Kolmogorov-Arnold experts in one mixture: its gates, and its function experts.

Identities and agreements alone: the paper's comparison of mixtures of both kinds with those of
one kind, on pictures and on formulas, is not made here.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator
from jaxnn.layers import kan


def identities(key: jax.Array) -> list[Check]:
    """Gates of two experts that sum to 1."""
    gates = jax.jit(kan.top_k_gates)(jax.random.normal(key, (200, 8)))
    worst = np.abs(np.sum(gates, axis=-1) - 1).max()
    counts = np.sum(np.asarray(gates) > 0, axis=-1)
    return [
        Check("sum of the gates of a token less 1", worst, "<=", 1e-6),
        Check("experts of a token, fewest", counts.min(), "=", 2),
        Check("experts of a token, most", counts.max(), "=", 2),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """The reflectional switches, and an expert of them, against NumPy in float64."""
    rng = generator(key)
    x = rng.normal(size=(100, 4))
    centres, step = np.linspace(-2, 2, 8), 4 / 7
    basis = functools.partial(kan.switch_basis, grid=8, low=-2.0, high=2.0)

    def switches(x: np.ndarray) -> np.ndarray:
        return 1 - np.tanh((x[:, None, :] - centres[None, :, None]) / step) ** 2

    def layer(x: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        x = x - x.mean(axis=1, keepdims=True)
        x = x / np.sqrt((x * x).mean(axis=1, keepdims=True) + 1e-5)
        return np.einsum("nbi,bio->no", switches(x), coefficients)

    inner, outer = 0.1 * rng.normal(size=(8, 4, 6)), 0.1 * rng.normal(size=(8, 6, 3))
    arrays = [jnp.asarray(value, jnp.float32) for value in (x, inner, outer)]
    exact = np.asarray(arrays[0], np.float64)
    formula = np.abs(jax.jit(basis)(arrays[0]) - switches(exact)).max()
    got = jax.jit(functools.partial(kan.switch_kan, basis=basis))(*arrays)
    expert = np.abs(got - layer(layer(x, inner), outer)).max()
    return [
        Check("switches less 1 - tanh^2", formula, "<=", 1e-6),
        Check("expert less NumPy's", expert, "<=", 1e-5),
    ]


CLAIM = Claim(
    name="mlp-kan",
    title="MLP-KAN: Unifying Deep Representation and Function Learning",
    year=2024,
    says=(
        "each token goes to two of eight experts, whose renormalised gates sum to 1, and function "
        "experts are layers of reflectional switches"
    ),
    identities=identities,
    agreements=agreements,
)
