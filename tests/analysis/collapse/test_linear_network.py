import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from jaxnn.analysis import collapse


def solve(counts, decays, feature_decay):
    counts = jnp.asarray(counts, jnp.float32)
    return collapse.linear_network_collapse(
        counts, weight_decays=decays, feature_decay=feature_decay
    )


def least(n, total, decays, feature_decay):
    """Minimise over one class's singular values directly: layers' and feature's lengths."""

    def loss(s):
        p = np.prod(s)
        sizes = n * feature_decay * s[-1] ** 2 + np.dot(decays, s[:-1] ** 2)
        return n / (2 * total) * (p - 1) ** 2 + sizes / 2

    starts = [np.full(len(decays) + 1, size) for size in (0.7, 1.0, 1.5)]
    found = [optimize.minimize(loss, s, tol=1e-12) for s in starts]
    best = min(found, key=lambda result: result.fun)
    if loss(np.zeros(len(decays) + 1)) <= best.fun + 1e-9:
        return np.zeros(len(decays) + 1)
    return np.abs(best.x)


def test_one_layer_is_the_closed_form():
    counts = np.array([40.0, 20.0, 10.0, 1.0])
    got = solve(counts, [5e-3], 5e-3)
    np.testing.assert_allclose(got.weights[0], np.sqrt(counts) - 71 * 5e-3, rtol=1e-5)
    np.testing.assert_allclose(got.outputs, 1 - 71 * 5e-3 / np.sqrt(counts), rtol=1e-5)
    got = solve(counts, [0.01], 0.04)
    np.testing.assert_allclose(
        got.weights[0], np.maximum(np.sqrt(counts * 4) - 71 * 0.04, 0), rtol=1e-5
    )
    # n = 1 alone is below N² λ_W λ_H = 2.0.
    np.testing.assert_array_equal(got.weights[0] > 0, [True, True, True, False])
    np.testing.assert_array_equal(got.features > 0, [True, True, True, False])


@pytest.mark.parametrize("decays", [[0.02], [5e-3, 2e-2], [1e-2, 2e-3, 4e-3]])
def test_equals_a_search(decays):
    counts, feature_decay = np.array([30.0, 9.0, 3.0, 1.0]), 8e-3
    got = solve(counts, decays, feature_decay)
    want = np.stack([least(n, counts.sum(), decays, feature_decay) for n in counts])
    np.testing.assert_allclose(got.weights, want[:, :-1].T ** 2, atol=2e-3)
    np.testing.assert_allclose(got.features, want[:, -1] ** 2, atol=2e-3)
    np.testing.assert_allclose(got.outputs, want.prod(1), atol=1e-3)
    assert (want[0] > 0).all()


def test_too_much_decay_collapses_all():
    got = solve([10.0, 10.0], [1.0, 1.0], 1.0)
    assert (got.outputs == 0).all()
    assert (got.weights == 0).all()
