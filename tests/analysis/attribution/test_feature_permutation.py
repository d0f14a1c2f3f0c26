import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.analysis import attribution

X = np.random.default_rng(0).normal(size=(6, 3))
W = np.array([2.0, -1.0, 0.0])


def test_mean_fall_of_a_linear_function(key):
    """Over all orders an entry is replaced by the mean of its column."""
    x, w = jnp.asarray(X, jnp.float32), jnp.asarray(W, jnp.float32)
    method = lambda key: attribution.feature_permutation(lambda x: x @ w, x, key=key)  # noqa: E731
    got = jax.jit(jax.vmap(method))(jax.random.split(key, 4000))
    want = W * (X - X.mean(0))
    error = np.asarray(got).std(0, ddof=1) / np.sqrt(4000)
    assert (np.abs(got.mean(0) - want) <= 5 * error + 1e-6).all()
    assert np.abs(want).max() > 20 * error.max()


def test_score_of_a_batch_falls_by_twice_the_variance_explained(key):
    """Minus the squared error of an exact model falls by 2 w² var(x), in the mean."""
    x, w = jnp.asarray(X, jnp.float32), jnp.asarray(W, jnp.float32)
    y = x @ w
    score = lambda x: -jnp.mean((x @ w - y) ** 2)  # noqa: E731
    method = lambda key: attribution.feature_permutation(score, x, key=key)  # noqa: E731
    got = jax.jit(jax.vmap(method))(jax.random.split(key, 4000))
    assert got.shape == (4000, 3)
    error = 5 * np.asarray(got).std(0, ddof=1) / np.sqrt(4000) + 1e-6
    assert (np.abs(got.mean(0) - 2 * W**2 * X.var(0)) <= error).all()


def test_entries_of_a_feature_move_together(key):
    """A sum of two entries that move together keeps its set of values."""
    x = jnp.asarray(X, jnp.float32)
    mask = np.array([0, 0, 1])
    got = attribution.feature_permutation(
        lambda x: x[:, 0] + x[:, 1], x, key=key, feature_mask=mask
    )
    assert (got[:, 2] == 0).all()
    np.testing.assert_array_equal(got[:, 0], got[:, 1])
    sums = X[:, 0] + X[:, 1]
    np.testing.assert_allclose(np.sort(sums - np.asarray(got)[:, 0]), np.sort(sums), atol=1e-5)
    with pytest.raises(ValueError, match=r"feature_permutation: `feature_mask` .* of one example"):
        attribution.feature_permutation(jnp.sum, x, key=key, feature_mask=np.zeros((6, 3), int))
