"""Rows of ``analysis.spectrum``; measures stay float32 for bfloat16, so the rows cast them."""

import jax.numpy as jnp

from jaxnn.analysis import spectrum
from tests.laws.case import Case, Reject
from tests.laws.makers import normal

PARITY = "tests/analysis/spectrum/test_fourier.py"
X = jnp.ones((4, 3, 1))

CASES = [
    Case(
        name="analysis.spectrum.fourier_log_amplitude",
        function=lambda x: spectrum.fourier_log_amplitude(x).astype(x.dtype),
        inputs=lambda key: normal(key, (2, 4, 4, 2)),
        parity=PARITY,
        rejects=(
            Reject(
                call=lambda: spectrum.fourier_log_amplitude(X),
                error=ValueError,
                match=r"fourier_log_amplitude: `x` is .*\(4, 3, 1\).* needs square maps",
            ),
        ),
    ),
    Case(
        name="analysis.spectrum.high_frequency_fraction",
        function=lambda x: spectrum.high_frequency_fraction(x).astype(x.dtype),
        inputs=lambda key: normal(key, (2, 4, 3, 2)),
        parity=PARITY,
        rejects=(
            Reject(
                call=lambda: spectrum.high_frequency_fraction(X.astype(int)),
                error=TypeError,
                match="high_frequency_fraction: `x` .*floating-point",
            ),
            Reject(
                call=lambda: spectrum.high_frequency_fraction(X, cutoff=2.0),
                error=ValueError,
                match="high_frequency_fraction: `cutoff` is 2.0; it needs a number from 0 to below",
            ),
        ),
    ),
]
