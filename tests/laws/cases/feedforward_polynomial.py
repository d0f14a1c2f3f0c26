"""Rows of ``layers.feedforward``: the Mu-layer and its shift."""

import jax
import jax.numpy as jnp

from jaxnn.layers import feedforward
from tests.laws.case import Case, Plain, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.feedforward"
PARITY = "tests/layers/feedforward/test_polynomial.py"
Affine = feedforward.Affine
X = jnp.ones((4, 6))
SHAPES = {"a": (6, 8), "b": (2, 8), "c": (8, 3), "d": (6, 2)}


def inputs(key):
    x, *parts = normal(key, (5, 6), *(shape for s in SHAPES.values() for shape in (s, s[1:])), ())
    maps = [Affine(*parts[i : i + 2]) for i in range(0, 8, 2)]
    return x, *maps, parts[8]


def ones(**other):
    return {name: Affine(jnp.ones(shape)) for name, shape in (SHAPES | other).items()}


def init(module, **options):
    return module.init(jax.random.key(0), X, **options)


CASES = [
    Plain(name=f"{HOME}.Affine", reason="a pair of parameters; mu_layer takes it", parity=PARITY),
    Case(
        name=f"{HOME}.mu_layer",
        function=feedforward.mu_layer,
        inputs=inputs,
        parity=PARITY,
        rejects=(
            Reject(
                call=lambda: feedforward.mu_layer(X, **ones(b=(2, 7))),
                error=ValueError,
                match="mu_layer: `b` is .* needs 8 outputs, as `a`",
            ),
            Reject(
                call=lambda: feedforward.mu_layer(X, **ones(a=(5, 8))),
                error=ValueError,
                match="dense: `x` .* needs a last axis of 5",
            ),
            Reject(
                call=lambda: feedforward.mu_layer(X, **ones(), alpha=jnp.ones(2)),
                error=ValueError,
                match="mu_layer: `alpha` is .* needs one number",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.spatial_shift",
        function=feedforward.spatial_shift,
        inputs=lambda key: normal(key, (3, 4, 5)),
        parity=PARITY,
        rejects=(
            Reject(
                call=lambda: feedforward.spatial_shift(X),
                error=ValueError,
                match=r"spatial_shift: `axes` is \(-3, -2\); it needs distinct axes of positions",
            ),
            Reject(
                call=lambda: feedforward.spatial_shift(X, axes=(-1,)),
                error=ValueError,
                match=r"spatial_shift: `axes` is \(-1,\); it needs distinct axes of positions",
            ),
        ),
    ),
    module_case(
        f"{HOME}.MuLayer",
        feedforward.MuLayer(8, 3, norm=None),
        shape=(5, 6),
        parity=PARITY,
        equals={
            "mu_layer": lambda v, x: feedforward.mu_layer(
                x,
                *(
                    Affine(v["params"][name]["kernel"], v["params"][name]["bias"])
                    for name in SHAPES
                ),
                v["params"]["alpha"],
            )
        },
        rejects=(
            Reject(
                call=lambda: init(feedforward.MuLayer(-1)),
                error=ValueError,
                match="MuLayer: `hidden_features` is -1; it needs a whole number above zero",
            ),
        ),
    ),
    module_case(
        f"{HOME}.MuMixer",
        feedforward.MuMixer(grid=(2, 2)),
        shape=(4, 8),
        parity=PARITY,
        rejects=(
            Reject(
                call=lambda: init(feedforward.MuMixer(grid=(2, 3))),
                error=ValueError,
                match=r"MuMixer: `grid` is \(2, 3\); it needs sizes whose product is the 4 tokens",
            ),
            Reject(
                call=lambda: init(feedforward.MuMixer(), bias=jnp.ones((4, 4))),
                error=ValueError,
                match="MuMixer: `bias` is .* needs None",
            ),
        ),
    ),
]
