import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize

from jaxnn.analysis import collapse

W = np.array([[1.0, 0.5, -0.2, 0.0], [-0.3, 1.2, 0.1, 0.4], [0.2, -0.9, 0.8, -0.5]])
B = np.array([0.2, -0.1, 0.0])
TARGETS = np.array([[1.0, 0, 0], [0.3, 0.7, 0], [0.2, 0.3, 0.5]])
DECAY = 0.02


def solve(weights, targets, bias=None, decay=DECAY):
    weights, targets = jnp.asarray(weights, jnp.float32), jnp.asarray(targets, jnp.float32)
    return collapse.unconstrained_features(weights, targets, feature_decay=decay, bias=bias)


def search(weights, target, bias):
    """Minimise by SciPy."""

    def loss(h):
        z = weights @ h + bias
        return np.logaddexp.reduce(z) - target @ z + DECAY / 2 * h @ h

    return optimize.minimize(loss, np.zeros(weights.shape[1]), tol=1e-10).x


def test_equals_a_search():
    got = solve(W, TARGETS, jnp.asarray(B, jnp.float32))
    want = np.stack([search(W, target, B) for target in TARGETS])
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_logits_for_a_simplex_frame_follow_from_the_outputs(key):
    length, decay = 2.0, 1e-3
    frame = length * collapse.simplex_etf(3, 5, key=key)
    logits = solve(frame, TARGETS, decay=decay) @ frame.T
    p = jax.nn.softmax(logits)
    np.testing.assert_allclose(p, TARGETS, atol=2e-3)
    np.testing.assert_allclose(logits, length**2 * 1.5 / decay * (TARGETS - p), atol=2e-2)


def test_two_classes_and_much_decay_are_a_closed_form():
    """Equal shares need no feature; strong decay leaves the slope at zero over λ."""
    assert (solve(W[:2], [[0.5, 0.5]], decay=1.0) == 0).all()
    target = np.array([0.9, 0.1])
    want = W[:2].T @ (target - 0.5) / 1e4
    np.testing.assert_allclose(solve(W[:2], target[None], decay=1e4)[0], want, rtol=1e-3)


def test_gradient_is_that_of_the_search():
    weights = jnp.asarray(W, jnp.float32)
    slope = jax.grad(lambda w: solve(w, TARGETS[1:2])[0] @ jnp.arange(1.0, 5))(weights)
    for place in [(0, 1), (2, 2)]:
        values = []
        for step in (1e-3, -1e-3):
            moved = W.copy()
            moved[place] += step
            values.append(search(moved, TARGETS[1], 0) @ np.arange(1.0, 5))
        want = (values[0] - values[1]) / 2e-3
        np.testing.assert_allclose(slope[place], want, rtol=2e-3)
