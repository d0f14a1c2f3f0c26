"""Rows of ``layers.polynomial``."""

import jax
import jax.numpy as jnp

from jaxnn.layers import polynomial
from tests.laws.case import Case, Plain, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.polynomial"
TESTS = "tests/layers/polynomial/test_polynomial.py"
X, Y = jnp.ones((5, 3)), jnp.ones((5, 2))
EXPONENTS = polynomial.polynomial_exponents(3, degree=3)
MODULE = polynomial.PolynomialRegression(2, 3, components=2)


def fit(x, y, ridge):
    return polynomial.fit_polynomial(x, y, degree=2, ridge=1.0 + ridge**2)


def regress(variables, x):
    params = variables["params"]
    x = jnp.dot(x, params["projection"])
    values = polynomial.polynomial_features(x, degree=3, include_bias=False)
    return jnp.dot(values, params["kernel"]) + params["bias"][None]


CASES = [
    Plain(
        name=f"{HOME}.polynomial_exponents",
        reason="a table of integers, made with NumPy",
        parity=TESTS,
    ),
    Case(
        name=f"{HOME}.polynomial_features",
        function=lambda x: polynomial.polynomial_features(x, degree=3),
        inputs=lambda key: normal(key, (2, 3)),
        parity=TESTS,
        equals={
            "powers": lambda x: jnp.prod(x[:, None] ** EXPONENTS[None].astype("float32"), axis=-1)
        },
        rejects=(
            Reject(
                call=lambda: polynomial.polynomial_features(X, degree=0),
                error=ValueError,
                match="polynomial_features: `degree` is 0; it needs a whole number above zero",
            ),
            Reject(
                call=lambda: polynomial.polynomial_features(X[:, :0], degree=2),
                error=ValueError,
                match="polynomial_features: `x` .* needs at least one feature",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.expand_network",
        function=lambda w, v, b, c: polynomial.expand_network([w, v], [b, c]),
        inputs=lambda key: normal(key, (3, 4), (4, 2), (4,), (2,)),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: polynomial.expand_network([X, X], [X[0], X[0]]),
                error=ValueError,
                match=r"expand_network: `kernels\[1\]` is .* needs shape \(3, units\)",
            ),
            Reject(
                call=lambda: polynomial.expand_network([X], [Y[0]]),
                error=ValueError,
                match=r"expand_network: `biases\[0\]` is .* needs shape \(3,\)",
            ),
            Reject(
                call=lambda: polynomial.expand_network([], []),
                error=ValueError,
                match=r"expand_network: `kernels` is \[\]; it needs at least one layer",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.fit_polynomial",
        function=fit,
        inputs=lambda key: (*normal(key, (7, 2), (7, 2)), jnp.float32(0.5)),
        parity=TESTS,
        extreme=30.0,  # squares of squares of inputs against a ridge in float32
        rejects=(
            Reject(
                call=lambda: polynomial.fit_polynomial(X, Y[:4], degree=2),
                error=ValueError,
                match=r"fit_polynomial: `y` is .* needs shape \(5, outputs\)",
            ),
            Reject(
                call=lambda: polynomial.fit_polynomial(X, Y, degree=2, ridge=-1.0),
                error=ValueError,
                match="fit_polynomial: `ridge` is -1.0; it needs a finite number of at least 0",
            ),
            Reject(
                call=lambda: polynomial.fit_polynomial(X, Y, degree=2, components=4),
                error=ValueError,
                match="fit_polynomial: `components` is 4; it needs at most 3",
            ),
        ),
    ),
    module_case(
        f"{HOME}.PolynomialRegression",
        MODULE,
        shape=(2, 3),
        parity=TESTS,
        equals={"powers": regress},
        rejects=(
            Reject(
                call=lambda: polynomial.PolynomialRegression(2, 0).init(jax.random.key(0), X),
                error=ValueError,
                match="PolynomialRegression: `degree` is 0; it needs a whole number",
            ),
        ),
    ),
]
