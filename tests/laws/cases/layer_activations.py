"""Rows of ``layers.activations``."""

import jax
import jax.numpy as jnp

from jaxnn.layers import activations
from tests.laws.case import Case, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.activations"
PARITY = "tests/layers/activations/test_polynomial.py"
X = jnp.ones((2, 3))
ONE = r"`coefficients` is .*\(1,\).* needs shape \(order \+ 1,\)"

CASES = [
    Case(
        name=f"{HOME}.poly_relu",
        function=activations.poly_relu,
        inputs=lambda key: normal(key, (5, 7), (4,)),
        parity=PARITY,
        rejects=(
            Reject(
                call=lambda: activations.poly_relu(X, jnp.ones(1)),
                error=ValueError,
                match=f"poly_relu: {ONE}",
            ),
            Reject(
                call=lambda: activations.poly_relu(X > 0, jnp.ones(2)),
                error=TypeError,
                match="poly_relu: `x` .*floating-point",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.poly_norm",
        function=activations.poly_norm,
        inputs=lambda key: normal(key, (5, 7), (4,)),
        parity=PARITY,
        rejects=(
            Reject(
                call=lambda: activations.poly_norm(X, jnp.ones(1)),
                error=ValueError,
                match=f"poly_norm: {ONE}",
            ),
            Reject(
                call=lambda: activations.poly_norm(X[0, 0], jnp.ones(2)),
                error=ValueError,
                match=r"poly_norm: `x` is .* needs shape \(\*batch, features\)",
            ),
            Reject(
                call=lambda: activations.poly_norm(X, jnp.ones(2), epsilon=0.0),
                error=ValueError,
                match="poly_norm: `epsilon` is 0.0; it needs a finite number above zero",
            ),
        ),
    ),
    *(
        module_case(
            f"{HOME}.{module.__name__}",
            module(),
            shape=(5, 7),
            parity=PARITY,
            equals={function.__name__: lambda v, x, f=function: f(x, v["params"]["coefficients"])},
            rejects=(
                Reject(
                    call=lambda m=module: m(order=0).init(jax.random.key(0), X),
                    error=ValueError,
                    match=f"{module.__name__}: `order` is 0; it needs a whole number above zero",
                ),
            ),
        )
        for module, function in (
            (activations.PolyReLU, activations.poly_relu),
            (activations.PolyNorm, activations.poly_norm),
        )
    ),
]
