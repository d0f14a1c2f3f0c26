import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.analysis import attribution
from tests.analysis.attribution.networks import X, array, f, slope


def test_equals_the_gradient_written_out():
    want = slope(X)
    assert (want < 0).any()
    np.testing.assert_allclose(attribution.gradient(f, array(X)), want, atol=1e-5)
    magnitudes = attribution.gradient(f, array(X), absolute=True)
    np.testing.assert_allclose(magnitudes, np.abs(want), atol=1e-5)
    np.testing.assert_allclose(attribution.input_x_gradient(f, array(X)), X * want, atol=1e-5)


def test_input_x_gradient_is_complete_for_a_homogeneous_function():
    def network(x):
        return jnp.maximum(x @ jnp.arange(-2.0, 4.0).reshape(3, 2), 0) @ jnp.array([1.0, -3.0])

    x = jnp.array([0.3, -1.0, 2.0])
    np.testing.assert_allclose(
        attribution.input_x_gradient(network, x).sum(), network(x), rtol=1e-6
    )


@pytest.mark.parametrize("method", [attribution.gradient, attribution.input_x_gradient])
def test_names_itself_when_the_function_has_many_outputs(method):
    with pytest.raises(ValueError, match=rf"{method.__name__}: `f\(x\)` .* needs shape \(\)"):
        method(lambda x: x, jnp.ones(3))
