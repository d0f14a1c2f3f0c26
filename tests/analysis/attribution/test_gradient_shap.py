import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.analysis import attribution
from tests.analysis.attribution.networks import BASELINE, X, array, f


def test_converges_to_integrated_gradients_averaged_over_baselines(key):
    x, baselines = array(X), jnp.stack([array(BASELINE), -array(BASELINE), jnp.zeros(4)])
    want = jax.vmap(lambda b: attribution.integrated_gradients(f, x, b))(baselines).mean(0)
    draw = jax.jit(
        lambda key: attribution.gradient_shap(
            f, x, baselines, key=key, samples=2000, batch_size=500
        )
    )
    runs = jax.vmap(draw)(jax.random.split(key, 8))
    # Five standard errors of the mean over the runs.
    error = 5 * runs.std(0, ddof=1) / np.sqrt(8)
    assert (jnp.abs(runs.mean(0) - want) < error).all()
    assert jnp.abs(want).min() > 2 * error.max()


def test_is_exact_for_a_linear_function_and_one_baseline(key):
    w = jnp.array([2.0, -1.0, 0.5, 0.0])
    x, baseline = array(X), array(BASELINE)
    got = attribution.gradient_shap(lambda x: x @ w, x, baseline[None], key=key, samples=3)
    np.testing.assert_allclose(got, w * (x - baseline), atol=1e-6)
