"""Rows of ``analysis.activations``, on one small model."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnn.analysis import activations
from tests.laws.case import Case, Reject

HOME = "analysis.activations"
PARITY = "tests/analysis/activations/test_intermediates.py"
X = jnp.ones((5, 3))


class Network(nn.Module):
    """Two maps around a tanh."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(2, name="down")(jnp.tanh(nn.Dense(4, name="up")(x)))


MODEL = Network()


def inputs(key):
    return MODEL.init(key, X), jax.random.normal(key, (5, 3))


VARIABLES = jax.eval_shape(lambda key: MODEL.init(key, X), jax.random.key(0))


def zeros():
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), VARIABLES)


def parts(variables, x):
    before, after = activations.cut(MODEL, variables, "up")
    return after(before(x), x)


CASES = [
    Case(
        name=f"{HOME}.capture",
        function=lambda variables, x: activations.capture(MODEL, variables, x),
        inputs=inputs,
        parity=PARITY,
        equals={
            "by hand": lambda variables, x: (
                MODEL.apply(variables, x),
                {
                    "down": MODEL.apply(variables, x),
                    "up": nn.Dense(4).apply({"params": variables["params"]["up"]}, x),
                },
            )
        },
        rejects=(
            Reject(
                call=lambda: activations.capture(MODEL, zeros(), X, names=["dwon"]),
                error=ValueError,
                match="capture: `names` is 'dwon'; it needs the path .* nearest: down",
            ),
            Reject(
                call=lambda: activations.capture(MODEL.apply, zeros(), X),
                error=TypeError,
                match=r"capture: `model` .* needs a flax\.linen module",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.patch",
        function=lambda variables, x, h: activations.patch(
            MODEL, variables, x, patches={"up": lambda old: old + h}
        ),
        inputs=lambda key: (*inputs(key), jax.random.normal(key, (5, 4))),
        parity=PARITY,
        rejects=(
            Reject(
                call=lambda: activations.patch(MODEL, zeros(), X, patches={"upp": jnp.zeros_like}),
                error=ValueError,
                match="patch: `patches` is 'upp'; it needs the path .* nearest: up",
            ),
            Reject(
                call=lambda: activations.patch(MODEL, zeros(), X, patches={"up": X}),
                error=ValueError,
                match=r"patch: `patches\['up'\]` is .*\(5, 3\).* needs the value's shape \(5, 4\)",
            ),
            Reject(
                call=lambda: activations.patch(MODEL, zeros(), X, patches={"up": 0.0}),
                error=TypeError,
                match=r"patch: `patches\['up'\]` is 0\.0; it needs a JAX or NumPy array",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.cut",
        function=parts,
        inputs=inputs,
        parity=PARITY,
        equals={"model": MODEL.apply},
        rejects=(
            Reject(
                call=lambda: activations.cut(MODEL, zeros(), "upper")[0](X),
                error=ValueError,
                match="cut: `name` is 'upper'; it needs the path .* nearest: up",
            ),
            Reject(
                call=lambda: activations.cut(None, zeros(), "up"),
                error=TypeError,
                match=r"cut: `model` .* needs a flax\.linen module",
            ),
        ),
    ),
]
