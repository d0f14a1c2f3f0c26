import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.analysis import attribution
from tests.analysis.attribution.networks import BASELINE, X, array, f


@pytest.mark.parametrize("statistic", ["mean", "square", "variance"])
def test_moments_of_the_gradient_of_a_parabola(statistic, key):
    """The gradient of x² / 2 at x + ε is x + ε, with known moments."""
    x, stdev = jnp.array([1.0, -2.0]), 0.5
    method = attribution.smooth(attribution.gradient, statistic=statistic, batch_size=1000)
    got = method(lambda x: jnp.sum(x**2) / 2, x, key=key, stdev=stdev, samples=20_000)
    want = {"mean": x, "square": x**2 + stdev**2, "variance": jnp.full(2, stdev**2)}[statistic]
    # Standard errors: below 2 |x| stdev / sqrt(samples) = 0.015.
    np.testing.assert_allclose(got, want, atol=0.06)


def test_wraps_any_method_and_passes_its_arguments_on(key):
    x, baseline = array(X), array(BASELINE)
    smoothed = attribution.smooth(attribution.integrated_gradients, batch_size=3)
    got = smoothed(f, x, baseline, key=key, stdev=0.3, samples=5, steps=20)
    noise = [0.3 * jax.random.normal(k, (4,)) for k in jax.random.split(key, 5)]
    loop = [attribution.integrated_gradients(f, x + n, baseline, steps=20) for n in noise]
    np.testing.assert_allclose(got, np.mean(loop, 0), atol=1e-5)
