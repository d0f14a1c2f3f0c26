"""Rows of ``layers.kan``."""

import functools

import jax
import jax.numpy as jnp

from jaxnn._numeric import accumulation_dtype
from jaxnn.layers import kan
from tests.laws.case import Case, Plain, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.kan"
TESTS = "tests/layers/kan"
X = jnp.ones((2, 3))
KNOTS = jnp.arange(9.0)
LAYER = kan.KANLayer(4, grid=2, degree=2)
SMALL = functools.partial(kan.uniform_bspline_basis, grid=2, degree=2)
ENDS = jnp.array(-1.0), jnp.array(1.0)


def params(key, functions=4, inputs=3, outputs=4):
    return normal(key, (functions, inputs, outputs), (inputs, outputs))


def layer_inputs(key):
    x_key, key = jax.random.split(key)
    return jax.random.uniform(x_key, (5, 3), minval=-1.0), *params(key)


def knot_rows(key, rows=3, knots=9):
    """Increasing knots from about -3, at distances of 0.5 to 1."""
    widths = jax.random.uniform(key, (rows, knots), minval=0.5)
    return jnp.cumsum(widths, axis=1) - 3


def network_inputs(key):
    init_key, key = jax.random.split(key)
    x = jax.random.uniform(key, (20, 3), minval=-0.9, maxval=0.9)
    return dict(LAYER.init(init_key, x)), x


def fitted(x, y):
    """The curve of the fit; a, b, c and d alone can trade places."""
    fit = kan.fit_symbolic(x, y, jnp.sin, resolution=21, rounds=3)
    wide = accumulation_dtype(y.dtype)
    a, b, c, d = (value.astype(wide) for value in fit[:4])
    return (c * jnp.sin(a * x.astype(wide) + b) + d).astype(y.dtype), fit.r2


def curve(key):
    x = jnp.linspace(-1, 1, 31)
    return x, jnp.sin(2.1 * x + 0.4) + 0.1 * jax.random.normal(key, x.shape)


NO_KAN = Reject(
    call=lambda: kan.edge_scores(LAYER, {"params": {}}, X > 0),
    error=TypeError,
    match="edge_scores: `x` .*floating-point",
)

CASES = [
    Case(
        name=f"{HOME}.uniform_knots",
        function=functools.partial(kan.uniform_knots, grid=4, degree=3),
        inputs=lambda key: normal(key, (3,), (3,)),
        parity=f"{TESTS}/test_basis.py",
        rejects=(
            Reject(
                call=lambda: kan.uniform_knots(jnp.zeros(2), jnp.ones(3)),
                error=ValueError,
                match=r"uniform_knots: `high` .* needs the shape \(2,\) of `low`",
            ),
            Reject(
                call=lambda: kan.uniform_knots(*ENDS, grid=0),
                error=ValueError,
                match="uniform_knots: `grid` is 0; it needs a positive integer",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.bspline_basis",
        function=functools.partial(kan.bspline_basis, degree=3),
        inputs=lambda key: (jax.random.uniform(key, (5, 3), maxval=2.0), knot_rows(key)),
        parity=f"{TESTS}/test_basis.py",
        rejects=(
            Reject(
                call=lambda: kan.bspline_basis(X, KNOTS[:4]),
                error=ValueError,
                match=r"bspline_basis: `knots` .* needs at least degree \+ 2 = 5 knots",
            ),
            Reject(
                call=lambda: kan.bspline_basis(X, jnp.ones((2, 9))),
                error=ValueError,
                match=r"bspline_basis: `knots` .* needs shape \(knots,\), or \(3, knots\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.uniform_bspline_basis",
        function=functools.partial(kan.uniform_bspline_basis, grid=4),
        inputs=lambda key: normal(key, (5, 3)),
        parity=f"{TESTS}/test_basis.py",
        equals={"bspline_basis": lambda x: kan.bspline_basis(x, kan.uniform_knots(*ENDS, grid=4))},
        rejects=(
            Reject(
                call=lambda: kan.uniform_bspline_basis(X, degree=-1),
                error=ValueError,
                match="uniform_bspline_basis: `degree` is -1; it needs an integer >= 0",
            ),
            Reject(
                call=lambda: kan.uniform_bspline_basis(X, low=1.0, high=1.0),
                error=ValueError,
                match=r"uniform_bspline_basis: `low` is 1.0; it needs a number below `high`",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.kan_layer",
        function=functools.partial(kan.kan_layer, basis=SMALL),
        inputs=layer_inputs,
        parity=f"{TESTS}/test_layer.py",
        equals={
            "edge_functions": lambda *inputs: kan.edge_functions(*inputs, basis=SMALL).sum(axis=1)
        },
        rejects=(
            Reject(
                call=lambda: kan.kan_layer(X, jnp.ones((8, 2, 4))),
                error=ValueError,
                match=r"kan_layer: `coefficients` .* needs shape \(functions, 3, outputs\)",
            ),
            Reject(
                call=lambda: kan.kan_layer(X, jnp.ones((7, 3, 4))),
                error=ValueError,
                match=r"kan_layer: `coefficients` .* needs first axes \(8, 3\)",
            ),
            Reject(
                call=lambda: kan.kan_layer(X, jnp.ones((8, 3, 4)), jnp.ones((4, 3))),
                error=ValueError,
                match=r"kan_layer: `base_kernel` .* needs shape \(3, 4\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.edge_functions",
        function=functools.partial(kan.edge_functions, basis=SMALL),
        inputs=layer_inputs,
        parity=f"{TESTS}/test_layer.py",
        rejects=(
            Reject(
                call=lambda: kan.edge_functions(X, jnp.ones((8, 2, 4))),
                error=ValueError,
                match=r"edge_functions: `coefficients` .* needs shape \(functions, 3, outputs\)",
            ),
        ),
    ),
    module_case(
        f"{HOME}.KANLayer",
        LAYER,
        shape=(5, 3),
        parity=f"{TESTS}/test_layer.py",
        equals={"kan_layer": lambda v, x: kan.kan_layer(x, **v["params"], basis=SMALL)},
        rejects=(
            Reject(
                call=lambda: kan.KANLayer(0).init(jax.random.key(0), X),
                error=ValueError,
                match="KANLayer: `features` is 0; it needs a finite number above zero",
            ),
            Reject(
                call=lambda: kan.KANLayer(2, spline_share=2.0).init(jax.random.key(0), X),
                error=ValueError,
                match="KANLayer: `spline_share` is 2.0; it needs a number from 0 to 1",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.edge_norms",
        function=kan.edge_norms,
        inputs=lambda key: normal(key, (5, 3, 4)),
        parity=f"{TESTS}/test_edges.py",
        rejects=(
            Reject(
                call=lambda: kan.edge_norms(jnp.ones(3)),
                error=ValueError,
                match=r"edge_norms: `edges` .* needs shape \(\*batch, inputs, outputs\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.edge_gains",
        function=kan.edge_gains,
        inputs=lambda key: normal(key, (5, 3, 4), (5, 3)),
        parity=f"{TESTS}/test_edges.py",
        rejects=(
            Reject(
                call=lambda: kan.edge_gains(jnp.ones((2, 3, 4)), jnp.ones((2, 4))),
                error=ValueError,
                match=r"edge_gains: `inputs` .* needs the shape \(2, 3\) of `edges` but one",
            ),
            Reject(
                call=lambda: kan.edge_gains(jnp.ones((1, 3, 4)), jnp.ones((1, 3))),
                error=ValueError,
                match="edge_gains: `edges` .* needs at least two examples",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.regularization",
        function=kan.regularization,
        inputs=lambda key: ({"a": jax.random.uniform(key, (3, 4), minval=0.1)},),
        parity=f"{TESTS}/test_edges.py",
        rejects=(
            Reject(
                call=lambda: kan.regularization(X.astype(int)),
                error=TypeError,
                match="regularization: `scores` .*floating-point",
            ),
            Reject(
                call=lambda: kan.regularization({}),
                error=ValueError,
                match="regularization: `scores` is {}; it needs at least one layer",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.coefficient_penalty",
        function=kan.coefficient_penalty,
        inputs=lambda key: normal(key, (4, 2, 3)),
        parity=f"{TESTS}/test_edges.py",
        rejects=(
            Reject(
                call=lambda: kan.coefficient_penalty(jnp.ones((4, 2))),
                error=ValueError,
                match=r"coefficient_penalty: `coefficients` .* needs shape \(functions, inputs",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.edge_curves",
        function=functools.partial(kan.edge_curves, degree=2, points=9),
        inputs=params,
        parity=f"{TESTS}/test_edges.py",
        rejects=(
            Reject(
                call=lambda: kan.edge_curves(jnp.ones((8, 3, 2)), points=0),
                error=ValueError,
                match="edge_curves: `points` is 0; it needs a finite number above zero",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.edge_scores",
        function=functools.partial(kan.edge_scores, LAYER),
        inputs=network_inputs,
        parity=f"{TESTS}/test_edges.py",
        rejects=(NO_KAN,),
    ),
    Case(
        name=f"{HOME}.prune_edges",
        function=lambda variables, score: kan.prune_edges(variables, {"edges": score}),
        inputs=lambda key: (network_inputs(key)[0], *normal(key, (3, 4))),
        differentiable=(0,),
        parity=f"{TESTS}/test_edges.py",
        rejects=(
            Reject(
                call=lambda: kan.prune_edges(
                    network_inputs(jax.random.key(0))[0], {"other": {"edges": X}}
                ),
                error=ValueError,
                match="prune_edges: `scores` .* needs only layers of `variables`.* see 'other'",
            ),
        ),
    ),
    Plain(
        name=f"{HOME}.prune_nodes",
        reason="the sizes of its results depend on values, so no law of compiled programs applies",
        parity=f"{TESTS}/test_edges.py",
    ),
    Case(
        name=f"{HOME}.fit_coefficients",
        function=functools.partial(kan.fit_coefficients, degree=2),
        inputs=lambda key: (
            jnp.tile(jnp.linspace(-1, 1, 25)[:, None], (1, 3)),
            *normal(key, (25, 3, 2)),
            kan.uniform_knots(*ENDS, grid=2, degree=2),
        ),
        differentiable=(1,),
        parity=f"{TESTS}/test_grid.py",
        rejects=(
            Reject(
                call=lambda: kan.fit_coefficients(X, jnp.ones((2, 4, 1)), KNOTS),
                error=ValueError,
                match=r"fit_coefficients: `y` .* needs shape \(2, 3, 'outputs'\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.refit_coefficients",
        function=functools.partial(kan.refit_coefficients, degree=2),
        inputs=lambda key: (
            *normal(key, (4, 3, 2)),
            kan.uniform_knots(*ENDS, grid=2, degree=2),
            kan.uniform_knots(*ENDS, grid=3, degree=2),
        ),
        differentiable=(0,),
        parity=f"{TESTS}/test_grid.py",
        rejects=(
            Reject(
                call=lambda: kan.refit_coefficients(jnp.ones((4, 3, 2)), KNOTS, KNOTS),
                error=ValueError,
                match=r"refit_coefficients: `coefficients` .* needs shape \(5, inputs, outputs\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.adapt_knots",
        function=functools.partial(kan.adapt_knots, degree=2),
        inputs=lambda key: (*normal(key, (20, 3)), jnp.linspace(-2, 2, 9)),
        differentiable=(0,),
        parity=f"{TESTS}/test_grid.py",
        rejects=(
            Reject(
                call=lambda: kan.adapt_knots(X, KNOTS, grid_eps=2.0),
                error=ValueError,
                match="adapt_knots: `grid_eps` is 2.0; it needs a number from 0 to 1",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.refine_knots",
        function=functools.partial(kan.refine_knots, grid=5, degree=2),
        inputs=lambda key: (knot_rows(key),),
        parity=f"{TESTS}/test_grid.py",
        rejects=(
            Reject(
                call=lambda: kan.refine_knots(KNOTS[:7], grid=4),
                error=ValueError,
                match=r"refine_knots: `knots` .* needs more than 2 \* degree \+ 1 = 7",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.update_grid",
        function=functools.partial(kan.update_grid, LAYER),
        inputs=network_inputs,
        differentiable=(0,),
        exempt={
            "bfloat16": "knots stay in float32, as rounding would move them by a tenth of an "
            "interval; adapt_knots and refit_coefficients have rows of their own"
        },
        parity=f"{TESTS}/test_grid.py",
        rejects=(
            Reject(
                call=lambda: kan.update_grid(LAYER, {"params": {}}, X > 0),
                error=TypeError,
                match="update_grid: `x` .*floating-point",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.extend_grid",
        function=functools.partial(kan.extend_grid, LAYER, grid=4),
        inputs=network_inputs,
        differentiable=(0,),
        parity=f"{TESTS}/test_grid.py",
        rejects=(
            Reject(
                call=lambda: kan.extend_grid(*_network(), grid=1),
                error=ValueError,
                match="extend_grid: `grid` is 1; it needs at least the present 2",
            ),
        ),
    ),
    Plain(
        name=f"{HOME}.extend_moments",
        reason="changes an optimiser's state, whose counts are whole numbers, between two runs",
        parity=f"{TESTS}/test_grid.py",
    ),
    Case(
        name=f"{HOME}.fit_symbolic",
        function=fitted,
        inputs=curve,
        differentiable=(1,),
        parity=f"{TESTS}/test_symbolic.py",
        rejects=(
            Reject(
                call=lambda: kan.fit_symbolic(jnp.ones(3), jnp.ones(4), jnp.sin),
                error=ValueError,
                match=r"fit_symbolic: `y` .* needs the shape \(3,\) of `x`",
            ),
        ),
    ),
    Plain(
        name=f"{HOME}.suggest_symbolic",
        reason="gives names in an order that depends on values; fit_symbolic does the computing",
        parity=f"{TESTS}/test_symbolic.py",
    ),
    Plain(
        name=f"{HOME}.SymbolicFit",
        reason="a tuple of results",
        parity=f"{TESTS}/test_symbolic.py",
    ),
    Plain(
        name=f"{HOME}.Symbol",
        reason="an entry of the library: a function and its complexity",
        parity=f"{TESTS}/test_symbolic.py",
    ),
    Plain(
        name=f"{HOME}.symbolic_library",
        reason="a table of functions",
        parity=f"{TESTS}/test_symbolic.py",
    ),
]


def _network():
    return LAYER, *network_inputs(jax.random.key(0))
