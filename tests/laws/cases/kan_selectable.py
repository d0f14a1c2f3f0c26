"""Rows of the selectable layers in ``layers.kan``."""

import functools

import jax
import jax.numpy as jnp

from jaxnn.layers import kan
from tests.laws.case import Case, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.kan"
TESTS = "tests/layers/kan/test_selectable.py"
POOL = ("bspline", "chebyshev")
LAYER = kan.SelectableKANLayer(2, grid=2, degree=1, basis=POOL)
BASES = LAYER.pool()
X = jnp.ones((2, 3))


def arrays(key):
    x_key, key = jax.random.split(key)
    x = jax.random.uniform(x_key, (5, 3), minval=-0.95, maxval=0.95)
    return x, *normal(key, (6, 3, 2), (2, 1, 2), (3, 2))


def network(key):
    x, c, gates, w = arrays(key)
    # More examples than the 12 columns of a node, for scores away from 0.
    x = jnp.tile(x, (5, 1)) + 0.3 * jnp.sin(jnp.arange(75.0)).reshape(25, 3)
    return {"params": {"coefficients": c, "gates": gates, "base_kernel": w}}, x


def scores(variables, x):
    return kan.basis_scores(LAYER, variables, x)["gates"]


CASES = [
    Case(
        name=f"{HOME}.selectable_kan_layer",
        function=functools.partial(kan.selectable_kan_layer, bases=BASES),
        inputs=arrays,
        equals={
            "the layer under a selection": lambda x, c, gates, w: LAYER.apply(
                {
                    "params": {"coefficients": c, "base_kernel": w, "gates": jnp.zeros_like(gates)},
                    "selection": {"gates": gates},
                },
                x,
            )
        },
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: kan.selectable_kan_layer(
                    X, jnp.ones((5, 3, 1)), jnp.ones((2, 1, 1)), bases=BASES
                ),
                error=ValueError,
                match=r"selectable_kan_layer: `coefficients` .* shape \(6, 3, 'outputs'\): ",
            ),
            Reject(
                call=lambda: kan.selectable_kan_layer(
                    X, jnp.ones((6, 3, 4)), jnp.ones((2, 2, 4)), bases=BASES
                ),
                error=ValueError,
                match=r"selectable_kan_layer: `gates` .* shape \(2, 1, 4\), .* or \(2, 3, 4\)",
            ),
        ),
    ),
    module_case(
        f"{HOME}.SelectableKANLayer",
        LAYER,
        shape=(5, 3),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: LAYER.clone(gate="layer").init(jax.random.key(0), X),
                error=ValueError,
                match="SelectableKANLayer: `gate` is 'layer'; it needs 'node' or 'edge'",
            ),
            Reject(
                call=lambda: LAYER.clone(basis="bspline").init(jax.random.key(0), X),
                error=ValueError,
                match="SelectableKANLayer: `basis` is 'bspline'; it needs a sequence of bases",
            ),
        ),
    ),
    module_case(
        f"{HOME}.SelectableKANConv",
        kan.SelectableKANConv(2, (2,), grid=2, degree=1, basis=POOL),
        shape=(2, 4, 3),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: kan.SelectableKANConv(2, ()).init(jax.random.key(0), X),
                error=ValueError,
                match="SelectableKANConv: `kernel_size` .* needs one to three sizes",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.basis_scores",
        function=scores,
        inputs=network,
        differentiable=(0,),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: kan.basis_scores(LAYER, {"params": {}}, X > 0),
                error=TypeError,
                match="basis_scores: `x` .*floating-point",
            ),
            Reject(
                call=lambda: kan.basis_scores(kan.KANLayer(2), *_other()),
                error=ValueError,
                match=r"(?s)basis_scores: `model` .* needs at least one SelectableKANLayer",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.select_bases",
        function=lambda variables, score: kan.select_bases(variables, {"gates": score}),
        inputs=lambda key: (network(key)[0], *normal(key, (2, 1, 2))),
        differentiable=(0,),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: kan.select_bases(_other()[0]),
                error=ValueError,
                match="select_bases: `variables` .* needs a layer with `gates` in `params`",
            ),
            Reject(
                call=lambda: kan.select_bases(network(jax.random.key(0))[0], {"a": {"gates": X}}),
                error=ValueError,
                match="select_bases: `scores` .* needs only layers of `variables`.* see 'a'",
            ),
        ),
    ),
]


def _other():
    return kan.KANLayer(2).init(jax.random.key(0), X), X
