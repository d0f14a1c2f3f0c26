import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import activations


def test_concatenated_relu_loses_nothing(key):
    x = jax.random.normal(key, (4, 3))
    y = activations.concatenated_relu(x)
    assert (y >= 0).all()
    np.testing.assert_array_equal(y[:, :3] - y[:, 3:], x)


def test_maxout_equals_a_numpy_loop(key):
    x = np.asarray(jax.random.normal(key, (4, 6)))
    want = [[max(row[3 * i + k] for k in range(3)) for i in range(2)] for row in x]
    np.testing.assert_array_equal(activations.maxout(jnp.asarray(x), 3), want)


def test_maxout_of_a_map_and_zero_is_relu(key):
    x = jax.random.normal(key, (4, 3))
    pairs = jnp.stack([x, jnp.zeros_like(x)], axis=-1).reshape(4, 6)
    np.testing.assert_array_equal(activations.maxout(pairs), jax.nn.relu(x))


@pytest.mark.parametrize("gate", [jax.nn.sigmoid, jax.nn.silu, activations.activation("relu")])
def test_gated_linear_unit_gates_by_the_second_half(key, gate):
    x = jax.random.normal(key, (4, 6))
    want = [[row[i] * gate(row[i + 3]) for i in range(3)] for row in x]
    np.testing.assert_allclose(activations.gated_linear_unit(x, gate), np.asarray(want), rtol=1e-6)
    if gate is jax.nn.sigmoid:
        np.testing.assert_allclose(activations.gated_linear_unit(x), jax.nn.glu(x), rtol=1e-6)


def test_randomized_slopes_are_uniform_and_their_mean_is_used_without_a_key(key):
    x = -jnp.ones(4000)
    slopes = np.sort(-activations.randomized_leaky_relu(x, key, lower=0.2, upper=0.6))
    assert slopes[0] >= 0.2
    assert slopes[-1] <= 0.6
    # Kolmogorov's distance of 4000 uniform draws is under 0.03 in all but one case of 700.
    assert np.max(np.abs((slopes - 0.2) / 0.4 - np.arange(4000) / 4000)) < 0.03
    mean = activations.randomized_leaky_relu(x, lower=0.2, upper=0.6)
    np.testing.assert_allclose(mean, -0.4, rtol=1e-6)
    positive = activations.randomized_leaky_relu(-x, key)
    np.testing.assert_array_equal(positive, -x)


def test_randomized_leaky_relu_equals_torch_in_use(key):
    torch = pytest.importorskip("torch")
    x = np.asarray(jax.random.normal(key, (50,)))
    want = torch.nn.functional.rrelu(torch.tensor(x)).numpy()
    np.testing.assert_allclose(activations.randomized_leaky_relu(jnp.asarray(x)), want, rtol=1e-6)
