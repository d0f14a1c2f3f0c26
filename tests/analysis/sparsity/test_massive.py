import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.analysis import sparsity

RNG = np.random.default_rng(0)
H = RNG.normal(size=(4, 9, 16)).astype(np.float32)


def test_a_planted_activation_is_flagged_where_it_is_and_nothing_else():
    for position, channel in ((0, 0), (7, 3), (8, 15)):
        planted = H[0].copy()
        planted[position, channel] -= 1500
        found = jax.jit(sparsity.massive_activations)(jnp.asarray(planted))
        assert jnp.argwhere(found).tolist() == [[position, channel]]
    assert not sparsity.massive_activations(jnp.asarray(H)).any()


def test_both_conditions_are_needed():
    planted = H[0] / np.median(np.abs(H[0]))
    planted[2, 2] = 150.0
    h = jnp.asarray(planted)
    assert sparsity.massive_activations(h, ratio=120.0).sum() == 1
    assert not sparsity.massive_activations(h).any()
    assert not sparsity.massive_activations(h, magnitude=150.0, ratio=10.0).any()
    assert not sparsity.massive_activations(h / 10, ratio=10.0).any()


def test_each_sequence_has_its_own_median():
    scale = np.array([1.0, 1e3, 1.0, 1.0], np.float32)[:, None, None]
    h = jnp.asarray(H * scale).at[2, 5, 1].set(9000.0)
    found = sparsity.massive_activations(h, axis=(1, 2))
    assert jnp.argwhere(found).tolist() == [[2, 5, 1]]
    want = [np.abs(x).max() / np.median(np.abs(x)) for x in np.asarray(h)]
    np.testing.assert_allclose(sparsity.median_ratio(h, axis=(1, 2)), want, rtol=1e-5)


def test_ratio_of_zeros():
    assert sparsity.median_ratio(jnp.zeros(5)) == 1
    assert sparsity.median_ratio(jnp.zeros(5).at[0].set(-2)) == jnp.inf


@pytest.mark.parametrize(
    "truth", [(5.0, 0.3, 20.0, 0.5, 2.0), (-3.0, 0.8, 0.01, 1.5, 7.0), (40.0, 0.05, 0.4, 3.0, -1.0)]
)
def test_fit_recovers_the_curve_it_was_made_of(truth):
    truth = sparsity.Emergence(*truth)
    t = np.linspace(0, 12 / truth.decay / truth.rate, 60)
    x = truth.rate * t + truth.offset
    y = truth.amplitude * np.exp(-truth.decay * x) * np.log(x) + truth.limit
    np.testing.assert_allclose(truth.curve(jnp.asarray(t, jnp.float32)), y, rtol=1e-3, atol=1e-4)
    fit, explained = sparsity.fit_emergence(t, y)
    assert explained > 1 - 1e-9
    np.testing.assert_allclose(np.asarray(fit), np.asarray(truth), rtol=1e-2)


def test_fit_of_a_constant_and_of_noise():
    t = np.arange(20.0)
    fit, explained = sparsity.fit_emergence(t, np.full(20, 3.0))
    np.testing.assert_allclose(fit.curve(jnp.arange(20.0)), 3, rtol=1e-5)
    assert explained == 1 or explained == 0  # rounding decides whether nothing is explained
    _, explained = sparsity.fit_emergence(t, RNG.normal(size=20))
    assert 0 <= explained < 0.8
