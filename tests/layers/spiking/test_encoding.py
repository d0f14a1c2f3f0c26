import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.layers import spiking


def test_rate_is_the_value_within_binomial_bounds(key):
    """Five standard deviations of the mean of 4,000 draws; 0 and 1 exactly."""
    x = jnp.array([-0.5, 0.0, 0.1, 0.5, 0.9, 1.0, 1.5])
    spikes = spiking.rate_encode(key, x, 4000)
    assert set(np.unique(spikes)) == {0, 1}
    p = np.clip(np.asarray(x), 0, 1)
    assert (np.abs(spikes.mean(0) - p) <= 5 * np.sqrt(p * (1 - p) / 4000)).all()


def test_rate_spikes_are_independent_over_time(key):
    """Correlation of neighbouring steps within five standard deviations of zero."""
    spikes = np.asarray(spiking.rate_encode(key, jnp.array([0.5]), 4000))[:, 0]
    assert abs(np.corrcoef(spikes[1:], spikes[:-1])[0, 1]) < 5 / np.sqrt(4000)


def test_latency_orders_by_value():
    x = jnp.array([0.0, 0.05, 0.3, 0.7, 1.0, 2.0])
    spikes = spiking.latency_encode(x, 11, threshold=0.01)
    assert spikes.sum(0).tolist() == [0, 1, 1, 1, 1, 1]
    # round((1 - x) 10), and the number of steps for the silent unit; 9.5 rounds to even.
    assert spiking.first_spike_time(spikes).tolist() == [11, 10, 7, 3, 0, 0]


def test_time_goes_where_told(key):
    x = jax.random.uniform(key, (2, 3))
    for encode in (
        lambda axis: spiking.rate_encode(key, x, 4, time_axis=axis),
        lambda axis: spiking.latency_encode(x, 4, time_axis=axis),
        lambda axis: spiking.direct_encode(x, 4, time_axis=axis),
    ):
        first = encode(0)
        assert first.shape == (4, 2, 3)
        np.testing.assert_array_equal(encode(-2), jnp.moveaxis(first, 0, 1))
        np.testing.assert_array_equal(encode(-1), jnp.moveaxis(first, 0, -1))


def test_direct_repeats(key):
    x = jax.random.normal(key, (2, 3))
    assert (spiking.direct_encode(x, 5) == x[:, None]).all()


def test_bfloat16_rates_are_not_rounded(key):
    """A bfloat16 uniform is a multiple of 1/128, so half of these would never fire."""
    spikes = spiking.rate_encode(key, jnp.full((64,), 1 / 256, jnp.bfloat16), 1000)
    mean = np.asarray(spikes, float).mean()
    assert abs(mean - 1 / 256) < 5 * np.sqrt(1 / 256 / 64000)


def test_delta_fires_on_change():
    """The examples of snntorch's ``spikegen.delta``."""
    rising = jnp.array([1.0, 2.0, 2.875, 3.0, 4.0])
    both = jnp.array([1.0, 2.0, 0.0, 2.0, 2.875])

    def encode(x, **options):
        return spiking.delta_encode(x, threshold=1.0, time_axis=0, **options).tolist()

    assert encode(rising) == [1, 1, 0, 0, 1]
    assert encode(rising, padding=True) == [0, 1, 0, 0, 1]
    assert encode(both, off_spikes=True) == [1, 1, -1, 1, 0]
    assert encode(both) == [1, 1, 0, 1, 0]
    batch = jnp.stack([rising, both])[..., None]
    got = spiking.delta_encode(batch, threshold=1.0)
    assert got[..., 0].tolist() == [encode(rising), encode(both)]


def test_population_fields_tile_the_range():
    x = jnp.linspace(-1.0, 3.0, 9)
    got = spiking.population_encode(x, 6, low=-1.0, high=3.0)
    want = np.zeros((9, 6))
    for j in range(1, 7):
        centre, width = -1 + (2 * j - 3) / 2 * 4 / 4, 4 / (1.5 * 4)
        want[:, j - 1] = np.exp(-((np.asarray(x) - centre) ** 2) / (2 * width**2))
    np.testing.assert_allclose(got, want, atol=1e-6)
    # Mirrored values have mirrored codes, and the middle of a field is answered in full.
    np.testing.assert_allclose(got[::-1, ::-1], got, atol=1e-6)
    assert spiking.population_encode(jnp.array(-0.5), 6, low=-1.0, high=3.0)[1] == 1
