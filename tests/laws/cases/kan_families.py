"""Rows of the bases beside the splines in ``layers.kan``."""

import functools

import jax
import jax.numpy as jnp

from jaxnn.layers import kan
from tests.laws.case import Case, Plain, Reject

HOME = "layers.kan"
TESTS = "tests/layers/kan/test_families.py"
X = jnp.ones((2, 3))


def points(key):
    return (jax.random.uniform(key, (4, 2), minval=-0.95, maxval=0.95),)


def row(name, match, options, **case):
    """Make a basis's row; ``options`` is misused and ``match`` the message after the name."""
    basis = getattr(kan, name)
    return Case(
        name=f"{HOME}.{name}",
        function=basis,
        inputs=points,
        parity=TESTS,
        rejects=(
            Reject(
                call=functools.partial(basis, X, **options),
                error=ValueError,
                match=f"{name}: {match}",
            ),
            Reject(
                call=functools.partial(basis, X > 0),
                error=TypeError,
                match=f"{name}: `x` .*floating-point",
            ),
        ),
        **case,
    )


CASES = [
    row("jacobi_basis", "`alpha` is -1.0; it needs a number above -1", {"alpha": -1.0}),
    row("legendre_basis", "`degree` is -1; it needs an integer >= 0", {"degree": -1}),
    row("chebyshev_basis", "`low` is 2.0; it needs a number below `high`, 1.0", {"low": 2.0}),
    row("hermite_basis", "`scale` is 0.0", {"scale": 0.0}),
    row("fourier_basis", "`terms` is 0", {"terms": 0}),
    row("gaussian_basis", "`grid` is 1; it needs an integer >= 2", {"grid": 1}),
    row("switch_basis", "`width` is -1.0", {"width": -1.0}),
    row(
        "wavelet_basis",
        "`kind` is 'haar'; it needs one of .'mexican_hat', 'morlet', 'derivative'.",
        {"kind": "haar"},
    ),
    row("relu_power_basis", "`span` is -1; it needs an integer >= 0", {"span": -1}),
    row("rational_basis", "`scale` is 0", {"scale": 0}),
    Case(
        name=f"{HOME}.sine_basis",
        function=lambda x, w, p: kan.sine_basis(x, frequencies=w, phases=p),
        inputs=lambda key: (*points(key), jnp.array([0.5, 1.0, 2.0]), jnp.array([0.0, 0.5, 1.0])),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: kan.sine_basis(X, frequencies=jnp.ones(3), phases=jnp.ones(2)),
                error=ValueError,
                match=r"sine_basis: `phases` .* needs shape \(3,\), as `frequencies`",
            ),
        ),
    ),
    Plain(
        name=f"{HOME}.make_basis",
        reason="picks one of the bases above by name; each has its row",
        parity=TESTS,
    ),
]
