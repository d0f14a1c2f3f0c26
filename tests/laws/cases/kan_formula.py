"""Rows of pruning to formulas in ``layers.kan``."""

import jax.numpy as jnp

from jaxnn.layers import kan
from tests.laws.case import Case, Plain, Reject
from tests.laws.makers import normal

HOME = "layers.kan"
TESTS = "tests/layers/kan"
LAYER = kan.SymbolicLayer((("sin", "0"), ("x^2", "tanh")))
EAGER = "its results depend on values, so no law of compiled programs applies"


def inputs(key):
    x, *numbers = normal(key, (3, 2), (2, 2), (2, 2), (2, 2), (2, 2))
    return dict(zip("abcd", numbers, strict=True)), x


CASES = [
    Case(
        name=f"{HOME}.SymbolicLayer",
        function=lambda params, x: LAYER.apply({"params": params}, x),
        inputs=inputs,
        parity=f"{TESTS}/test_formula.py",
        extreme=30.0,  # sines of larger numbers have no accurate float32
        rejects=(
            Reject(
                call=lambda: LAYER.apply({"params": {}}, jnp.ones((1, 3))),
                error=ValueError,
                match="SymbolicLayer: `symbols` .* needs a row of names for each of the 3 inputs",
            ),
            Reject(
                call=lambda: kan.SymbolicLayer((("cube",),)).init_with_output({}, jnp.ones((1, 1))),
                error=ValueError,
                match="SymbolicLayer: `symbols` .*cube.* needs names of the library",
            ),
        ),
    ),
    Plain(name=f"{HOME}.EdgeFits", reason="a table of results", parity=f"{TESTS}/test_formula.py"),
    Plain(name=f"{HOME}.symbolic_table", reason=EAGER, parity=f"{TESTS}/test_formula.py"),
    Plain(name=f"{HOME}.symbolize", reason=EAGER, parity=f"{TESTS}/test_formula.py"),
    Plain(name=f"{HOME}.formula", reason="gives expressions", parity=f"{TESTS}/test_formula.py"),
    Plain(name=f"{HOME}.prune_inputs", reason=EAGER, parity=f"{TESTS}/test_formula.py"),
]
