"""Rows of ``analysis.activations``, on one small model."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxnn.analysis import activations
from tests.laws.case import Case, Plain, Reject
from tests.laws.makers import normal

HOME = "analysis.activations"
PARITY = "tests/analysis/activations/test_intermediates.py"
SITES = "tests/analysis/activations/test_sites.py"
PATHS = "tests/analysis/activations/test_paths.py"
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


def patching(replacements, **options):
    options = {"replacements": replacements, "metric": jnp.sum, **options}
    return activations.activation_patching(MODEL, zeros(), X, **options)


def paths(replacements, metric=jnp.sum):
    options = {"replacements": replacements, "metric": metric}
    return activations.path_patching(MODEL, zeros(), X, **options)


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
                match=r"capture: `model` .* needs a flax\.linen module, or a function",
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
    Case(
        name=f"{HOME}.gradients",
        function=lambda variables, x: activations.gradients(MODEL, variables, x, metric=jnp.sum),
        inputs=inputs,
        parity=SITES,
        rejects=(
            Reject(
                call=lambda: activations.gradients(MODEL, zeros(), X, metric=jnp.sum, names="upp"),
                error=ValueError,
                match="gradients: `names` is 'upp'; it needs the path .* nearest: up",
            ),
            Reject(
                call=lambda: activations.gradients(MODEL, zeros(), X, metric=lambda y: y),
                error=ValueError,
                match=r"gradients: `f\(x\)` is .*\(5, 2\).* needs shape \(\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.ablation",
        function=lambda x, h: activations.ablation({"x": x, "h": h}, "mean"),
        inputs=lambda key: normal(key, (5, 3), (5, 2, 4)),
        parity=SITES,
        rejects=(
            Reject(
                call=lambda: activations.ablation({"x": X}, "noise"),
                error=ValueError,
                match="ablation: `how` is 'noise'; it needs one of zero, mean, resample",
            ),
            Reject(
                call=lambda: activations.ablation({"x": X}, "resample"),
                error=ValueError,
                match="ablation: `key` is None; it needs a key if `how` is 'resample'",
            ),
            Reject(
                call=lambda: activations.ablation({"x": X}, axis=2),
                error=ValueError,
                match=r"ablation: `axis` is 2; it needs axes of `x`, of shape \(5, 3\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.activation_patching",
        function=lambda variables, x, h: activations.activation_patching(
            MODEL, variables, x, replacements={"up": h}, metric=jnp.sum, axes=1
        ),
        inputs=lambda key: (*inputs(key), jax.random.normal(key, (5, 4))),
        parity=SITES,
        rejects=(
            Reject(
                call=lambda: patching({"upp": X}),
                error=ValueError,
                match="activation_patching: `replacements` is 'upp'; it needs the path .* up",
            ),
            Reject(
                call=lambda: patching({"up": X}),
                error=ValueError,
                match=r"`replacements\['up'\]` is .*\(5, 3\).* needs the value's shape \(5, 4\)",
            ),
            Reject(
                call=lambda: patching({"down": X[:, :2]}, axes=(0, 0)),
                error=ValueError,
                match=r"activation_patching: `axes` is \(0, 0\); it needs different axes of `down`",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.path_patching",
        function=lambda variables, x, h, y: activations.path_patching(
            MODEL, variables, x, replacements={"up": h, "down": y}, metric=jnp.sum
        ),
        inputs=lambda key: (*inputs(key), *normal(key, (5, 4), (5, 2))),
        parity=PATHS,
        rejects=(
            Reject(
                call=lambda: paths({"upp": X}),
                error=ValueError,
                match="path_patching: `replacements` is 'upp'; it needs the path .* nearest: up",
            ),
            Reject(
                call=lambda: paths({"up": X}),
                error=ValueError,
                match=r"`replacements\['up'\]` is .*\(5, 3\).* needs the value's shape \(5, 4\)",
            ),
            Reject(
                call=lambda: paths({"up": 0.0}),
                error=TypeError,
                match=r"path_patching: `replacements\['up'\]` is 0\.0; it needs a JAX or NumPy",
            ),
            Reject(
                call=lambda: paths({"down": X[:, :2]}, lambda y: y),
                error=ValueError,
                match=r"path_patching: `f\(x\)` is .*\(5, 2\).* needs shape \(\)",
            ),
        ),
    ),
    Plain(
        name=f"{HOME}.Paths",
        reason="a record of what path_patching gives",
        parity=PATHS,
    ),
    Plain(
        name=f"{HOME}.sites",
        reason="gives shapes, and computes nothing",
        parity=SITES,
    ),
    Plain(
        name=f"{HOME}.Gradients",
        reason="a record of what gradients gives",
        parity=SITES,
    ),
]
