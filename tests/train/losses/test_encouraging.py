import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

from jaxnn.train import losses

RNG = np.random.default_rng(0)
Z = (2 * RNG.normal(size=(40, 5))).astype(np.float32)
Y = RNG.integers(0, 5, 40)
ROWS = np.arange(40)


def bonus(p, end):
    if p <= end:
        return np.log(1 - p)
    return np.log(1 - end) - (p - end) / (1 - end)


@pytest.mark.parametrize(("end", "smoothing"), [(0.0, 0.0), (0.5, 0.2), (0.75, 0.0), (1.0, 0.1)])
def test_equals_the_definition(end, smoothing):
    p = softmax(Z.astype(np.float64), axis=-1)
    each = np.vectorize(lambda v: -np.log(v) + (-v if end == 0 else bonus(v, end)))(p)
    want = (1 - smoothing) * each[ROWS, Y] + smoothing * each.mean(-1)
    got = losses.encouraging_loss(
        jnp.asarray(Z), jnp.asarray(Y), log_end=end, label_smoothing=smoothing
    )
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    assert end == 1 or (p[ROWS, Y] > end).any()


def test_slopes_for_the_labels_logit():
    """-1 with the full bonus, however sure; beyond the log-end (p(1 - p) / (1 - t) + 1 - p)."""
    y = jnp.zeros(4, jnp.int32)
    z = jnp.array([-300.0, 0.0, 3.0, 300.0])[:, None] * jnp.array([[1.0, 0.0, 0.0]])
    slope = lambda end: jax.grad(  # noqa: E731
        lambda z: losses.encouraging_loss(z, y, log_end=end).sum()
    )(z)
    full = slope(1.0)
    np.testing.assert_allclose(full[:, 0], -1, atol=1e-6)
    np.testing.assert_allclose(full[1:, 1:], 0.5, atol=1e-6)
    p = softmax(np.asarray(z), axis=-1)[:, 0]
    want = np.where(p <= 0.5, -1, -(1 - p) - p * (1 - p) / 0.5)
    np.testing.assert_allclose(slope(0.5)[:, 0], want, atol=1e-6)


def test_joins_smoothly_at_the_log_end():
    end = 0.7
    edge = np.log(2 * end / (1 - end))  # logit with two others at zero, so that p is the log-end
    z = jnp.array([edge - 1e-3, edge + 1e-3], jnp.float32)[:, None] * jnp.array([[1.0, 0.0, 0.0]])
    value, pull = jax.vmap(
        jax.value_and_grad(lambda z: losses.encouraging_loss(z, jnp.array(0), log_end=end))
    )(z)
    np.testing.assert_allclose(value[0] - value[1], 2e-3, rtol=5e-3)
    np.testing.assert_allclose(pull[1], pull[0], atol=2e-3)


def test_huge_logits_are_finite():
    z = 1e30 * jnp.array([[1.0, -1.0], [-1.0, 1.0]])
    for options in ({"log_end": 1.0}, {}, {"label_smoothing": 0.1}):
        loss = lambda z: losses.encouraging_loss(z, jnp.array([0, 0]), **options)  # noqa: E731, B023
        assert jnp.isfinite(loss(z)).all()
        assert jnp.isfinite(jax.grad(lambda z: loss(z).sum())(z)).all()  # noqa: B023


def test_halted_focal_loss():
    p = softmax(Z.astype(np.float64), axis=-1)[ROWS, Y]
    for gamma, threshold in ((2.0, 0.5), (0.5, 1.0), (0.0, 0.6)):
        capped = np.minimum(p, threshold)
        loss = lambda z: losses.halted_focal_loss(  # noqa: E731
            z,
            jnp.asarray(Y),
            gamma=gamma,  # noqa: B023
            threshold=threshold,  # noqa: B023
        )
        want = -((1 - capped) ** gamma) * np.log(capped)
        np.testing.assert_allclose(loss(jnp.asarray(Z)), want, rtol=1e-4)
        pull = jax.grad(lambda z: loss(z).sum())(jnp.asarray(Z))  # noqa: B023
        np.testing.assert_array_equal(np.abs(pull).max(-1) == 0, p > threshold)
    sure = jax.grad(lambda z: losses.halted_focal_loss(z, jnp.array(0), gamma=0.5, threshold=1.0))
    assert jnp.isfinite(sure(jnp.array([200.0, 0.0]))).all()
    assert jnp.isnan(losses.halted_focal_loss(jnp.ones((1, 2)), jnp.array([2]))).all()
