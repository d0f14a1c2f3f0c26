"""Rows of the mixture of perceptrons and KANs in ``layers.kan``."""

import functools

import jax
import jax.numpy as jnp

from jaxnn.layers import kan
from tests.laws.case import Case, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.kan"
TESTS = "tests/layers/kan/test_mlp_kan.py"
MODEL = kan.MLPKAN(1, 1, hidden_features=3, grid=3)  # both kept: no rounding changes the choice
X = jnp.ones((2, 4))

CASES = [
    Case(
        name=f"{HOME}.top_k_gates",
        function=kan.top_k_gates,
        inputs=lambda key: normal(key, (3, 4)),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: kan.top_k_gates(X, k=5),
                error=ValueError,
                match="top_k_gates: `k` is 5; it needs at most 4, the number of experts",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.switch_kan",
        function=functools.partial(
            kan.switch_kan, basis=functools.partial(kan.switch_basis, grid=3)
        ),
        inputs=lambda key: normal(key, (2, 4), (3, 4, 3), (3, 3, 4)),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: kan.switch_kan(X, jnp.ones((8, 3, 2)), jnp.ones((8, 2, 4))),
                error=ValueError,
                match=r"kan_layer: `coefficients` .* needs shape \(functions, 4, outputs\)",
            ),
        ),
    ),
    module_case(
        f"{HOME}.MLPKAN",
        MODEL,
        shape=(5, 4),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: MODEL.clone(k=3).init(jax.random.key(0), X),
                error=ValueError,
                match="MLPKAN: `k` is 3; it needs at most 2, the number of experts",
            ),
        ),
    ),
]
