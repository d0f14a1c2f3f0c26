import jax
import numpy as np
import pytest

from jaxnn import data

TURN = np.linspace(0.3, 0.8, 7)


@pytest.mark.parametrize("name", data.FEYNMAN)
def test_equations_are_their_texts(name, key):
    """sympy reads the text and computes in float64; all values are finite over the ranges."""
    sympy = pytest.importorskip("sympy")
    formula = data.FEYNMAN[name]
    x, y = map(np.asarray, data.feynman(key, name, 200))
    symbols = {variable: sympy.Symbol(variable) for variable in formula.ranges}
    exact = sympy.lambdify(list(symbols.values()), sympy.sympify(formula.text, locals=symbols))
    want = exact(*x.astype(np.float64).T)
    scale = np.abs(want) + 1e-3 * np.abs(want).max()
    # Powers of differences lose digits: a thousandth is far below any confusion of variables.
    np.testing.assert_array_less(np.abs(y[:, 0] - want) / scale, np.full(200, 1e-3))
    low, high = np.array(list(formula.ranges.values())).T
    assert (x >= low).all()
    assert (x <= high).all()


@pytest.mark.parametrize(
    ("name", "first", "second", "want"),
    [
        ("jv", 0.5, TURN, np.sqrt(2 / (np.pi * TURN)) * np.sin(TURN)),
        ("yv", 0.5, TURN, -np.sqrt(2 / (np.pi * TURN)) * np.cos(TURN)),
        ("iv", 0.5, TURN, np.sqrt(2 / (np.pi * TURN)) * np.sinh(TURN)),
        ("kv", 0.5, TURN, np.sqrt(np.pi / (2 * TURN)) * np.exp(-TURN)),
        ("ellipj", TURN, 0.0, np.sin(TURN)),
        ("ellipkinc", TURN, 0.0, TURN),
        ("ellipeinc", TURN, 1.0, np.sin(TURN)),
        ("lpmv_0", 2.0, TURN, (3 * TURN**2 - 1) / 2),
        ("lpmv_1", 1.0, TURN, -np.sqrt(1 - TURN**2)),
        ("lpmv_2", 2.0, TURN, 3 * (1 - TURN**2)),
    ],
)
def test_special_functions_where_they_are_elementary(name, first, second, want):
    np.testing.assert_allclose(data.SPECIAL_FUNCTIONS[name].function(first, second), want)


def test_draws_of_special_functions_are_finite_and_varied(key):
    for name, formula in data.SPECIAL_FUNCTIONS.items():
        x, y = data.special_function(key, name, 500)
        assert np.isfinite(y).all(), name
        assert np.std(y) > 0.05, name
        low, high = np.array(list(formula.ranges.values())).T
        np.testing.assert_allclose(x.min(axis=0), low, atol=0.05 * (high - low).max())
        np.testing.assert_allclose(x.max(axis=0), high, atol=0.05 * (high - low).max())


def test_draws_are_pure_functions_of_the_key(key):
    draw = jax.jit(data.feynman, static_argnums=(1, 2))
    np.testing.assert_array_equal(draw(key, "I.6.20", 5)[0], draw(key, "I.6.20", 5)[0])
    assert (draw(key, "I.6.20", 5)[0] != draw(jax.random.key(1), "I.6.20", 5)[0]).all()


@pytest.mark.parametrize("draw", [data.feynman, data.special_function])
def test_mistakes_are_named(draw, key):
    with pytest.raises(ValueError, match=rf"{draw.__name__}: `name` is 'I.0.0'; it needs to be"):
        draw(key, "I.0.0", 5)
    name = "I.6.20" if draw is data.feynman else "jv"
    with pytest.raises(ValueError, match=rf"{draw.__name__}: `n` is 0"):
        draw(key, name, 0)
