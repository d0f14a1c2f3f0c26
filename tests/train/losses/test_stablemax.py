import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.train import losses

TARGETS = jnp.array([0, 2, 1, 2])
LOGITS = jnp.array([[3.0, -2.0, 0.5], [0.0, 1.0, -1.0], [-5.0, -6.0, 0.0], [1e-3, -1e-3, 9.0]])
grads = jax.jit(lambda z, y: jax.grad(lambda z: jnp.sum(losses.stablemax_cross_entropy(z, y)))(z))


def scores(z):
    """The definition, one number at a time."""
    return [[v + 1 if v >= 0 else 1 / (1 - v) for v in row] for row in np.asarray(z, np.float64)]


def test_equals_the_definition():
    s = np.array(scores(LOGITS))
    p = s / s.sum(-1, keepdims=True)
    np.testing.assert_allclose(losses.log_stablemax(LOGITS), np.log(p), rtol=1e-5, atol=1e-6)
    want = -np.log(p[np.arange(4), np.asarray(TARGETS)])
    np.testing.assert_allclose(losses.stablemax_cross_entropy(LOGITS, TARGETS), want, rtol=1e-5)


def test_slope_at_zero_is_one_from_both_sides():
    """All logits zero: p is even and d log s / dz is 1, so the gradient is the softmax's."""
    z, y = jnp.zeros((1, 4)), jnp.array([1])
    np.testing.assert_allclose(grads(z, y)[0], [0.25, -0.75, 0.25, 0.25], rtol=1e-6)


def test_learns_on_where_softmax_has_collapsed():
    z, y = jnp.array([[200.0, 0.0, 0.0]]), jnp.array([0])
    softmax = jax.grad(lambda z: losses.cross_entropy(z, y).sum())(z)
    np.testing.assert_array_equal(softmax, 0)
    # p_0 = 201 / 203 and s' = 1.
    np.testing.assert_allclose(grads(z, y)[0], [1 / 203 - 1 / 201, 1 / 203, 1 / 203], rtol=1e-4)


@pytest.mark.parametrize("size", [1e4, 3e38])
def test_huge_logits_are_finite(size):
    z = size * jnp.array([[1.0, 1.0, -1.0], [-1.0, 1.0, 1.0]])
    value = losses.stablemax_cross_entropy(z, jnp.array([0, 0]))
    np.testing.assert_allclose(value, [np.log(2), np.log(2) + 2 * np.log(1 + size)], rtol=1e-5)
    assert jnp.isfinite(grads(z, jnp.array([0, 0]))).all()


def test_collapse_is_where_the_gradient_is_exactly_zero():
    """Margins by which one other logit, or 1000 of them, are absorbed: log 2^24 and log 1000."""
    for others, edge in ((1, 24 * np.log(2)), (1000, 24 * np.log(2) + np.log(1000))):
        margin = jnp.asarray([edge - 0.01, edge + 0.01, -50.0, -1e4], jnp.float32)
        z = jnp.concatenate([margin[:, None], jnp.zeros((4, others))], axis=1)
        y = jnp.zeros(4, jnp.int32)
        assert losses.softmax_collapse(z, y).tolist() == [0, 1, 0, 0]
    # One other logit's sum is exact in any order: optax's gradient says the same.
    z = jnp.linspace(14, 19, 60)[:, None] * jnp.array([[1.0, 0.0]])
    y = jnp.zeros(60, jnp.int32)
    gradient = jax.grad(lambda z: losses.cross_entropy(z, y).sum())(z)
    collapse = losses.softmax_collapse(z, y)
    np.testing.assert_array_equal(collapse, gradient[:, 0] == 0)
    assert 0.3 < collapse.mean() < 0.6


def test_unknown_labels_are_not_scored():
    z, y = jnp.ones((3, 2)), jnp.array([-1, 2, 1])
    for function in (losses.stablemax_cross_entropy, losses.softmax_collapse):
        assert jnp.isnan(function(z, y)).tolist() == [True, True, False]
