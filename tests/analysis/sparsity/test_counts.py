import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.analysis import sparsity

H = jnp.array([[0.0, 1.0, -0.1], [0.0, 0.0, 0.0], [0.0, -2.0, 0.05], [0.0, 0.0, 3.0]])


def test_activation_sparsity_counts_magnitudes_up_to_the_threshold():
    np.testing.assert_allclose(sparsity.activation_sparsity(H), 7 / 12, rtol=1e-6)
    np.testing.assert_allclose(
        sparsity.activation_sparsity(H, threshold=0.1, axis=0), [1, 0.5, 0.75]
    )
    np.testing.assert_allclose(
        sparsity.activation_sparsity(H > 0, axis=-1), [2 / 3, 1, 2 / 3, 2 / 3], rtol=1e-6
    )


def test_fractions_of_bfloat16_are_not_rounded_to_bfloat16():
    h = jnp.zeros(1000, jnp.bfloat16).at[0].set(1)
    np.testing.assert_allclose(sparsity.activation_sparsity(h), 0.999, atol=1e-6)
    np.testing.assert_allclose(sparsity.weight_sparsity([h]), 0.999, atol=1e-6)


def test_weight_sparsity_weighs_leaves_by_size():
    params = {"a": {"kernel": jnp.zeros((3, 3))}, "b": jnp.ones(1), "none": jnp.zeros((0, 4))}
    np.testing.assert_allclose(sparsity.weight_sparsity(params), 0.9, rtol=1e-6)


def test_dead_units_are_silent_for_all():
    np.testing.assert_array_equal(sparsity.dead_units(H), [True, False, False])
    np.testing.assert_array_equal(sparsity.dead_units(H.T, axis=0), [True, False, False])
    np.testing.assert_array_equal(sparsity.dead_units(H[None], threshold=2), [True, True, False])


def test_spike_rate_is_per_unit_of_time():
    spikes = jnp.array([[[1, 0], [1, 1]], [[1, 0], [0, 0]], [[1, 0], [1, 1]], [[0, 0], [0, 1]]])
    want = [[0.75, 0], [0.5, 0.75]]
    np.testing.assert_allclose(sparsity.spike_rate(spikes), want)
    np.testing.assert_allclose(sparsity.spike_rate(spikes > 0, dt=0.001), np.asarray(want) * 1000)
    np.testing.assert_allclose(sparsity.spike_rate(spikes, axis=None), 0.5)
    np.testing.assert_allclose(sparsity.spike_rate(spikes.swapaxes(0, 1), axis=1), want)


@pytest.mark.usefixtures("unchecked")
def test_no_examples_is_an_error():
    with pytest.raises(ValueError, match=r"dead_units: `h` .* at least one example"):
        sparsity.dead_units(H[:0])
