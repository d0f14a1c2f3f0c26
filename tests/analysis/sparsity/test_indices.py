import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.analysis import sparsity

RNG = np.random.default_rng(0)
W = RNG.laplace(size=(3, 4, 5)) * (RNG.random((3, 4, 5)) < 0.8)
INDICES = (sparsity.hoyer, sparsity.gini, sparsity.pq_index)


def array(w):
    return jnp.asarray(w, jnp.float32)


def hoyer(w):
    return (np.sqrt(w.size) - np.abs(w).sum() / np.linalg.norm(w)) / (np.sqrt(w.size) - 1)


def gini(w):
    """Mean absolute difference of all pairs over twice the mean."""
    w = np.abs(w).ravel()
    return np.abs(w[:, None] - w[None, :]).mean() / (2 * w.mean())


def pq(w, p=0.5, q=1.0):
    norm = lambda order: (np.abs(w) ** order).sum() ** (1 / order)  # noqa: E731
    return 1 - w.size ** (1 / q - 1 / p) * norm(p) / norm(q)


@pytest.mark.parametrize(("ours", "theirs"), list(zip(INDICES, (hoyer, gini, pq), strict=True)))
def test_equals_numpy_over_any_axes(ours, theirs):
    np.testing.assert_allclose(ours(array(W)), theirs(W), atol=1e-6)
    rows = [theirs(W[:, i, :]) for i in range(4)]
    np.testing.assert_allclose(ours(array(W), axis=(0, 2)), rows, atol=1e-6)
    np.testing.assert_allclose(ours(array(W), axis=(-1, 0)), rows, atol=1e-6)
    assert ours(array(W), axis=1).shape == (3, 5)


@pytest.mark.parametrize(("p", "q"), [(0.5, 2.0), (1.0, 2.0), (0.1, 1.5)])
def test_pq_index_of_other_orders(p, q):
    np.testing.assert_allclose(sparsity.pq_index(array(W), p, q), pq(W, p, q), atol=2e-6)


@pytest.mark.parametrize("index", INDICES)
def test_extremes_of_the_scale(index):
    d = 8
    tops = {sparsity.hoyer: 1, sparsity.gini: 1 - 1 / d, sparsity.pq_index: 1 - 1 / d}
    assert index(jnp.full(d, -0.3)) == 0
    assert index(jnp.zeros(d)) == 0
    np.testing.assert_allclose(index(jnp.zeros(d).at[2].set(-5)), tops[index], atol=1e-6)


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e20, 1e37])
def test_scale_changes_nothing_even_where_squares_overflow(index, scale):
    w = array(RNG.uniform(-1, 1, 40))
    np.testing.assert_allclose(index(w * scale), index(w), atol=1e-6)


@pytest.mark.parametrize("index", INDICES)
def test_gradient_is_finite_at_zeros_and_blind_to_scale(index):
    """Euler: the gradient of a function of degree zero is orthogonal to its argument."""
    w = jnp.array([0.0, 1.0, -2.0, 0.0, 0.5])
    slope = jax.grad(index)(w)
    assert jnp.isfinite(slope).all()
    np.testing.assert_allclose(slope @ w, 0, atol=1e-6)
    assert jnp.abs(slope).max() > 0.01
    assert jnp.isfinite(jax.grad(index)(jnp.zeros(3))).all()


def test_hoyer_and_not_the_others_changes_when_cloned():
    w = array(W.ravel())
    for index in INDICES:
        same = np.isclose(index(jnp.concatenate([w, w])), index(w), atol=1e-5)
        assert same == (index is not sparsity.hoyer)


@pytest.mark.parametrize(("p", "q"), [(0.5, 1.0), (1.0, 2.0)])
def test_bound_is_below_the_count_found_by_search(p, q):
    w = RNG.laplace(size=(200, 12)) * (RNG.random((200, 12)) < 0.7)
    w[:, 0] = 1
    for eta in (0.0, 0.2, 1.0):
        bounds = np.asarray(sparsity.pq_bound(array(w), p, q, eta=eta, axis=1))
        counts = []
        for row in w:
            powers = np.sort(np.abs(row) ** p)[::-1]
            fits = [r for r in range(1, 13) if powers[r:].sum() <= eta * powers[:r].sum() + 1e-12]
            counts.append(fits[0])
        assert (bounds <= np.asarray(counts) * (1 + 1e-5)).all()
        assert (bounds >= 1 - eta).all()  # and not trivially so
        assert (bounds > 0.5 * np.asarray(counts)).mean() > 0.05


def test_bound_is_reached_by_equal_entries_and_ignores_zeros():
    equal = jnp.concatenate([jnp.full(7, 2.0), jnp.zeros(25)])
    for p, q in ((0.5, 1.0), (1.0, 2.0)):
        np.testing.assert_allclose(sparsity.pq_bound(equal, p, q), 7, rtol=1e-5)
        bare = sparsity.pq_bound(array(W.ravel()[:30]), p, q)
        padded = sparsity.pq_bound(array(np.r_[W.ravel()[:30], np.zeros(90)]), p, q)
        np.testing.assert_allclose(padded, bare, rtol=1e-5)
