"""Rows of ``layers.feedforward``: the Fourier head."""

import jax
import jax.numpy as jnp

from jaxnn.layers import feedforward
from tests.laws.case import Case, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.feedforward"
PARITY = "tests/layers/feedforward/test_fourier_head.py"
A = jnp.ones((2, 6))
UNEVEN = r"`amplitudes` is .*\(2, 3\).* needs an even last axis"


def uneven(function, *rest):
    return Reject(
        call=lambda: function(jnp.ones((2, 3)), *rest),
        error=ValueError,
        match=f"{function.__name__}: {UNEVEN}",
    )


CASES = [
    Case(
        name=f"{HOME}.fourier_density",
        function=feedforward.fourier_density,
        inputs=lambda key: (normal(key, (5, 8))[0], jnp.linspace(-1, 1, 7)),
        parity=PARITY,
        extreme=1e2,
        tolerance=5e-5,  # sines of 3 π z, z scaled by nothing here but rounded once
        rejects=(
            uneven(feedforward.fourier_density, jnp.ones(3)),
            Reject(
                call=lambda: feedforward.fourier_density(A, A),
                error=ValueError,
                match=r"fourier_density: `z` is .* needs shape \(points,\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.fourier_head",
        function=lambda a: feedforward.fourier_head(a, 10),
        inputs=lambda key: normal(key, (5, 8)),
        parity=PARITY,
        rejects=(
            uneven(feedforward.fourier_head, 10),
            Reject(
                call=lambda: feedforward.fourier_head(A, 0),
                error=ValueError,
                match="fourier_head: `bins` is 0; it needs a whole number above zero",
            ),
            Reject(
                call=lambda: feedforward.fourier_head(A, 3, floor=-1.0),
                error=ValueError,
                match="fourier_head: `floor` is -1.0; it needs a number of at least zero",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.fourier_coefficients",
        function=feedforward.fourier_coefficients,
        inputs=lambda key: normal(key, (5, 8)),
        parity=PARITY,
        rejects=(uneven(feedforward.fourier_coefficients),),
    ),
    Case(
        name=f"{HOME}.fourier_penalty",
        function=feedforward.fourier_penalty,
        inputs=lambda key: normal(key, (5, 8)),
        parity=PARITY,
        rejects=(uneven(feedforward.fourier_penalty),),
    ),
    module_case(
        f"{HOME}.FourierHead",
        feedforward.FourierHead(10, 4, kernel_init=jax.nn.initializers.lecun_normal()),
        shape=(5, 3),
        parity=PARITY,
        equals={
            "fourier_head": lambda v, x: feedforward.fourier_head(
                feedforward.dense(
                    x,
                    v["params"]["amplitudes"]["kernel"],
                    v["params"]["amplitudes"]["bias"],
                ),
                10,
            )
        },
        rejects=(
            Reject(
                call=lambda: feedforward.FourierHead(0).init(jax.random.key(0), A),
                error=ValueError,
                match="FourierHead: `bins` is 0",
            ),
            Reject(
                call=lambda: feedforward.FourierHead(3, regularization=-1.0).init(
                    jax.random.key(0), A
                ),
                error=ValueError,
                match="FourierHead: `regularization` is -1.0; it needs a number of at least",
            ),
        ),
    ),
]
