import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import kan
from jaxnn.models import KAN

MODEL = KAN((2, 1), grid=8, grid_range=(-2.0, 2.0), input_range=(-1.0, 1.0))


def planted():
    """Splines that are known functions: y = 0.5 u² + 1.5 with u = sin(2x₁), v dead; x₂ unused."""
    x = jax.random.uniform(jax.random.key(0), (300, 2), minval=-1.0)
    params = jax.jit(MODEL.init)(jax.random.key(1), x)["params"]
    line = jnp.linspace(-2, 2, 200)
    basis = kan.uniform_bspline_basis(line[:, None], grid=8, low=-2.0, high=2.0)[..., 0]

    def spline(values):
        return jnp.linalg.lstsq(basis, values)[0]

    first = jnp.zeros((11, 2, 2)).at[:, 0, 0].set(spline(jnp.sin(line)))
    second = jnp.zeros((11, 2, 1)).at[:, 0, 0].set(spline(0.5 * line**2 + 1.5))
    layers = {"layers_0": first, "layers_1": second}
    return x, {
        "params": {
            name: {"coefficients": layers[name], "base_kernel": 0 * params[name]["base_kernel"]}
            for name in params
        }
    }


@pytest.fixture(scope="module")
def trained():
    x, variables = planted()
    table = kan.symbolic_table(MODEL, variables, x, resolution=21, rounds=5)
    return x, variables, table


def test_table_finds_the_planted_functions(trained):
    _, _, table = trained
    assert table["layers_0"].best(0, 0, top=1)[0][0] == "sin"
    assert table["layers_1"].best(0, 0, top=1)[0][0] == "x^2"
    assert table["layers_1"].best(0, 0)[0][1] > 0.999
    assert table["layers_0"].active.tolist() == [[True, False], [False, False]]
    assert table["layers_1"].active.tolist() == [[True], [False]]


def test_symbolic_network_computes_the_same(trained):
    x, variables, table = trained
    model, snapped = kan.symbolize(MODEL, variables, table)
    want = MODEL.apply(variables, x)
    np.testing.assert_allclose(model.apply(snapped, x), want, atol=0.02)
    np.testing.assert_allclose(want[:, 0], 0.5 * np.sin(2 * x[:, 0]) ** 2 + 1.5, atol=0.02)
    # Removed edges have no numbers of their own to drift: they get no gradient.
    slopes = jax.grad(lambda v: jnp.sum(model.apply(v, x)))(snapped)["params"]
    assert slopes["layers_0"]["c"][0, 0] != 0
    assert not slopes["layers_0"]["c"][1].any()


def test_formula_is_the_network(trained):
    sympy = pytest.importorskip("sympy")
    x, variables, table = trained
    model, snapped = kan.symbolize(MODEL, variables, table)
    (expression,) = kan.formula(model, snapped, ["x", "y"], digits=None)
    assert expression.free_symbols == {sympy.Symbol("x")}
    assert expression.has(sympy.sin)
    evaluate = sympy.lambdify(sympy.Symbol("x"), expression, "numpy")
    np.testing.assert_allclose(evaluate(x[:, 0]), model.apply(snapped, x)[:, 0], atol=1e-5)
    (short,) = kan.formula(model, snapped)
    assert str(short).count("x_1") == 1
    assert all(len(str(n).lstrip("-0.").replace(".", "")) <= 4 for n in short.atoms(sympy.Float))


def test_edges_can_be_fixed_by_hand(trained):
    x, variables, table = trained
    fixed = {("layers_1", 0, 0): "abs", ("layers_0", 0, 0): "0"}
    model, snapped = kan.symbolize(MODEL, variables, table, fixed=fixed)
    assert model.layer(0, name="layers_1").symbols == (("abs",), ("0",))
    # Its only input gone, the output is a constant: that of the edge at 0.
    assert np.ptp(model.apply(snapped, x)) == 0


def test_symbolic_layer_equals_a_loop(key):
    names = (("sin", "log", "0"), ("x^2", "sin", "sqrt"))
    layer = kan.SymbolicLayer(names)
    x = jax.random.uniform(key, (4, 2), minval=0.5)
    params = {
        name: jax.random.uniform(k, (2, 3), minval=0.5)
        for name, k in zip("abcd", jax.random.split(key, 4), strict=True)
    }
    functions = {"sin": np.sin, "log": np.log, "x^2": np.square, "sqrt": np.sqrt}
    want, n = np.zeros((4, 3)), {k: np.asarray(v) for k, v in params.items()}
    for i, row in enumerate(names):
        for j, name in enumerate(row):
            if name != "0":
                inner = n["a"][i, j] * np.asarray(x[:, i]) + n["b"][i, j]
                want[:, j] += n["c"][i, j] * functions[name](inner) + n["d"][i, j]
    np.testing.assert_allclose(layer.apply({"params": params}, x), want, rtol=1e-5)


def test_a_formula_needs_a_symbolic_network(trained):
    pytest.importorskip("sympy")
    _, variables, table = trained
    with pytest.raises(ValueError, match=r"formula: `model` .* needs a network from `symbolize`"):
        kan.formula(MODEL, variables)
    with pytest.raises(ValueError, match="symbolize: `fixed` is 'cube'"):
        kan.symbolize(MODEL, variables, table, fixed={("layers_0", 0, 0): "cube"})


def test_unused_inputs_are_pruned(trained):
    x, variables, _ = trained
    scores = kan.edge_scores(MODEL, variables, x)
    smaller, kept = kan.prune_inputs(variables, scores)
    assert kept.tolist() == [0]
    smaller = kan.prune_nodes(
        smaller, {**scores, "layers_0": {"edges": scores["layers_0"]["edges"][kept]}}
    )
    assert smaller["params"]["layers_0"]["coefficients"].shape == (11, 1, 1)
    model = MODEL.clone(features=(1, 1))
    want = MODEL.apply(variables, x)
    np.testing.assert_allclose(model.apply(smaller, x[:, kept]), want, atol=1e-6)
