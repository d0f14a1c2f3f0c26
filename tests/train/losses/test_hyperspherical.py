import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax

from jaxnn.train import losses

RNG = np.random.default_rng(0)
ANGLES = RNG.uniform(0.05, np.pi - 0.05, (30, 5))
Y = np.arange(30) % 5
ROWS = np.arange(30)


@pytest.mark.parametrize(("margin", "turn"), [(0.0, 0.0), (0.35, 0.0), (0.1, 0.5)])
def test_equals_the_definition(margin, turn):
    z = np.cos(ANGLES)
    own = ANGLES[ROWS, Y]
    within = own + turn < np.pi
    z[ROWS, Y] = np.where(within, np.cos(own + turn), np.cos(own) + np.cos(turn) - 1) - margin
    loss = jax.jit(
        lambda c: losses.normalized_softmax_loss(
            c, jnp.asarray(Y), scale=8.0, margin=margin, angular_margin=turn
        )
    )
    cosines = jnp.asarray(np.cos(ANGLES), jnp.float32)
    want = -log_softmax(8 * z, axis=-1)[ROWS, Y]
    np.testing.assert_allclose(loss(cosines), want, rtol=1e-4, atol=1e-5)
    assert not turn or 0 < within.sum() < 30
    # A label's larger cosine never costs more, up to and at the poles.
    slope = jax.jit(jax.grad(lambda c: loss(c).sum()))
    assert (np.asarray(slope(cosines))[ROWS, Y] <= 0).all()
    poles = slope(jnp.sign(cosines))
    assert jnp.isfinite(poles).all()


def test_unknown_labels_are_not_scored():
    got = losses.normalized_softmax_loss(jnp.zeros((2, 3)), jnp.array([3, 0]))
    np.testing.assert_allclose(got, [np.nan, np.log(3)], rtol=1e-6)


def test_spread_is_zero_at_the_simplex_only():
    w = np.eye(4) - 1 / 4  # a simplex of four, in three of four dimensions
    at = jax.jit(lambda w: losses.prototype_spread(w, cosine=-1 / 3))
    np.testing.assert_allclose(at(jnp.asarray(3 * w, jnp.float32)), 0, atol=1e-6)
    kernel = RNG.normal(size=(4, 4))
    unit = kernel / np.linalg.norm(kernel, axis=0)
    over = np.maximum(unit.T @ unit + 1 / 3, 0)
    np.fill_diagonal(over, 0)
    got = at(jnp.asarray(kernel, jnp.float32))
    np.testing.assert_allclose(got, over.sum(1) / 3, rtol=1e-5)
    assert (got > 1e-3).all()
