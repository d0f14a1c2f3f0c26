r"""Padé neurons: the usual neuron as a case, SciPy's approximants, and functions with poles near.

One neuron of one input, without an activation, is fitted to 1/(1 + 25 x²) on [-1, 1] and to
tan x on [-1.4, 1.4] (planted functions) from eight random starts, of which the one with the
least training error counts. The polynomial beside it has as many coefficients, degree 5 for
[3/2], and is not trained at all: it is the least-squares solution, the best there is.

The check on tan x fails, and must: its poles lie beyond both ends, so that a quotient needs a
denominator that falls away from the middle, and 1 + |...| is 1 at x = 0 and nowhere less.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import train
from jaxnn.layers.rational import PadeConv, PadeDense, pade_layer

TOP, BELOW = 3, 2
STARTS, STEPS = 8, 4000  # of Adam


def identities(key: jax.Array) -> list[Check]:
    """Degree 1 over nothing against Flax's layers; denominators that never divide by zero."""
    x = jax.random.normal(key, (2, 5, 4, 3))
    gaps = []
    for ours, theirs in (
        (PadeDense(4, (1, 0)), nn.Dense(4)),
        (PadeConv(4, (3, 3), degree=(1, 0)), nn.Conv(4, (3, 3))),
    ):
        params = jax.jit(theirs.init)(key, x)["params"]
        numerator = jnp.expand_dims(params["kernel"], params["kernel"].ndim - 2)
        got = ours.apply({"params": {"numerator": numerator, "bias": params["bias"]}}, x)
        gaps.append(_gap(got, theirs.apply({"params": params}, x)))
    w, v = jax.random.normal(key, (2, 2, 3, 6))
    quotient = pade_layer(x, w) / pade_layer(x, w, v)
    return [
        Check("degree 1 over 0, dense: distance from Flax", gaps[0], "<=", 1e-5),
        Check("degree 1 over 0, convolution: distance from Flax", gaps[1], "<=", 1e-5),
        Check("smallest denominator of random neurons", float(quotient.min()), ">=", 1 - 1e-5),
    ]


def _gap(got: Any, want: Any) -> float:
    return float(np.abs(np.asarray(got) - np.asarray(want)).max())


def agreements(key: jax.Array) -> list[Check]:
    """SciPy's [3/2] approximant of the logarithm of 1 + x, whose denominator is above 1."""
    from scipy.interpolate import pade

    del key
    series = [0.0, *((-1) ** (n + 1) / n for n in range(1, 6))]
    top, below = pade(series, BELOW, TOP)
    a, b = top.c[::-1] / below.c[-1], below.c[::-1] / below.c[-1]
    x = np.linspace(0, 1, 50)[:, None]
    columns = (jnp.asarray(c[1:], jnp.float32)[:, None, None] for c in (a, b))
    got = pade_layer(jnp.asarray(x, jnp.float32), *columns, bias=jnp.asarray(a[:1], jnp.float32))
    return [
        Check("distance from SciPy", np.abs(got - top(x) / below(x)).max(), "<=", 1e-6),
        Check("distance from log(1 + x)", np.abs(got - np.log1p(x)).max(), "<=", 1e-3),
    ]


def effects(key: jax.Array) -> list[Check]:
    """Test errors of one neuron, quotient and polynomial, on two functions."""
    checks = []
    for name, function, reach in (
        ("1/(1 + 25 x²)", lambda x: 1 / (1 + 25 * x**2), 1.0),
        ("tan x", jnp.tan, 1.4),
    ):
        x, test = (reach * jnp.linspace(-1, 1, n)[:, None] for n in (200, 333))
        # Inputs on [-1, 1] for both kinds: the neuron's coefficients are then of one size.
        data = (x / reach, function(x), test / reach, function(test))
        quotient, polynomial = _quotient(key, *data), _polynomial(*data)
        checks.append(
            Check(f"{name}: error, polynomial over quotient", polynomial / quotient, ">=", 10)
        )
    return checks


def _polynomial(x: jax.Array, y: jax.Array, test: jax.Array, wanted: jax.Array) -> float:
    best = np.polynomial.Polynomial.fit(np.asarray(x)[:, 0], np.asarray(y)[:, 0], TOP + BELOW)
    return float(np.mean((best(np.asarray(test)) - np.asarray(wanted)) ** 2))


def _quotient(key: jax.Array, x: jax.Array, y: jax.Array, test: jax.Array, wanted: jax.Array):
    """Fit one neuron from several starts; give the test error of the best in training."""
    neuron = PadeDense(1, (TOP, BELOW))
    tx = optax.adam(optax.cosine_decay_schedule(3e-2, STEPS))
    batches = jnp.zeros((STEPS, 0))

    @jax.jit
    @jax.vmap
    def run(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        params = neuron.init(key, x)["params"]
        # The module's own denominators all begin near 1: here they begin anywhere.
        params = {**params, "denominator": 50 * jnp.asarray(params["denominator"])}

        def error(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
            return jnp.mean((jnp.asarray(neuron.apply({"params": params}, x)) - y) ** 2)

        params, _ = train(lambda p, _: error(p, x, y), tx, params, batches)
        return error(params, x, y), error(params, test, wanted)

    training, tested = run(jax.random.split(key, STARTS))
    return float(tested[jnp.nanargmin(training)])


CLAIM = Claim(
    name="pade-neuron",
    title="PAON: A New Neuron Model using Padé Approximants",
    year=2025,
    says="Padé neurons hold all other neuron models as cases and approximate better",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
