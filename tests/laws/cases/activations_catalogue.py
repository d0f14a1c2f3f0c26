"""Rows of ``layers.activations``: the catalogue, and what is no function of one number."""

import jax
import jax.numpy as jnp

from jaxnn.layers import activations
from tests.laws.case import Case, Plain, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.activations"
PARITY = "tests/layers/activations/test_catalogue.py"
SEVERAL = "tests/layers/activations/test_several.py"
X = jnp.ones((2, 3))


def adaptive(*arguments, **options):
    return activations.Adaptive(*arguments, **options).init(jax.random.key(0), X)


CASES = [
    Plain(
        name=f"{HOME}.Activation",
        reason="an entry of the catalogue; activation gives it as a function",
        parity=PARITY,
    ),
    Plain(
        name=f"{HOME}.CATALOGUE",
        reason="the table of all entries, each tested there",
        parity=PARITY,
    ),
    Case(
        name=f"{HOME}.activation",
        function=lambda x, beta: activations.activation("swish", beta=beta)(x),
        inputs=lambda key: normal(key, (5, 7), (7,)),
        parity=PARITY,
        rejects=(
            Reject(
                call=lambda: activations.activation("mesh"),
                error=ValueError,
                match="activation: `name` is 'mesh'; it needs a name in CATALOGUE. Nearest: mish",
            ),
            Reject(
                call=lambda: activations.activation("swish", alpha=1.0),
                error=ValueError,
                match="activation swish: `parameter` is 'alpha'; it needs one of its own: beta",
            ),
            Reject(
                call=lambda: activations.activation("swish", beta=jnp.ones(2))(X),
                error=ValueError,
                match=r"activation swish: `beta` is .*\(2,\).* broadcasts to that of `x`, \(2, 3\)",
            ),
            Reject(
                call=lambda: activations.activation("mish")(X > 0),
                error=TypeError,
                match="activation mish: `x` .*floating-point",
            ),
        ),
    ),
    module_case(
        f"{HOME}.Adaptive",
        activations.Adaptive("acon_c", per="unit"),
        shape=(5, 7),
        parity=PARITY,
        equals={"activation": lambda v, x: activations.activation("acon_c", **v["params"])(x)},
        rejects=(
            Reject(
                call=lambda: adaptive("mesh"),
                error=ValueError,
                match="Adaptive: `activation` is 'mesh'; it needs a name in CATALOGUE",
            ),
            Reject(
                call=lambda: adaptive("relu"),
                error=ValueError,
                match="Adaptive: `activation` is 'relu'; it needs one that has parameters",
            ),
            Reject(
                call=lambda: adaptive("swish", per="channel"),
                error=ValueError,
                match='Adaptive: `per` is \'channel\'; it needs "layer" or "unit"',
            ),
            Reject(
                call=lambda: adaptive("swish", train=("gamma",)),
                error=ValueError,
                match="activation swish: `parameter` is 'gamma'",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.concatenated_relu",
        function=activations.concatenated_relu,
        inputs=lambda key: normal(key, (5, 7)),
        parity=SEVERAL,
        rejects=(
            Reject(
                call=lambda: activations.concatenated_relu(X[0, 0]),
                error=ValueError,
                match=r"concatenated_relu: `x` is .* needs shape \(\*batch, features\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.maxout",
        function=lambda x: activations.maxout(x, 3),
        inputs=lambda key: normal(key, (5, 6)),
        parity=SEVERAL,
        rejects=(
            Reject(
                call=lambda: activations.maxout(X),
                error=ValueError,
                match=r"maxout: `x` is .*\(2, 3\).* needs features in groups of 2",
            ),
            Reject(
                call=lambda: activations.maxout(X, 0),
                error=ValueError,
                match="maxout: `pieces` is 0; it needs a whole number above zero",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.gated_linear_unit",
        function=activations.gated_linear_unit,
        inputs=lambda key: normal(key, (5, 6)),
        parity=SEVERAL,
        equals={"jax.nn.glu": jax.nn.glu},
        rejects=(
            Reject(
                call=lambda: activations.gated_linear_unit(X),
                error=ValueError,
                match=r"gated_linear_unit: `x` is .*\(2, 3\).* needs an even number of features",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.randomized_leaky_relu",
        function=activations.randomized_leaky_relu,
        inputs=lambda key: (*normal(key, (5, 6)), jax.random.fold_in(key, 1)),
        key=1,
        parity=SEVERAL,
        rejects=(
            Reject(
                call=lambda: activations.randomized_leaky_relu(X, lower=1.0, upper=0.5),
                error=ValueError,
                match="randomized_leaky_relu: `upper` is 0.5; it needs a number of at least",
            ),
            Reject(
                call=lambda: activations.randomized_leaky_relu(X, 0),
                error=TypeError,
                match="randomized_leaky_relu: `key` is 0; it needs a random key",
            ),
        ),
    ),
]
