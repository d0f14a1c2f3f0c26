import jax.numpy as jnp
import numpy as np

from jaxnn.analysis import attribution

RNG = np.random.default_rng(0)
WEIGHTS = RNG.dirichlet(np.ones(5), (3, 2, 5))  # layers, heads, queries


def test_summary_equals_loops():
    got = attribution.head_summary(jnp.asarray(WEIGHTS, jnp.float32))
    for layer, head in np.ndindex(3, 2):
        w = WEIGHTS[layer, head]
        entropy = np.mean([-sum(p * np.log(p) for p in row) for row in w])
        distance = sum(w[i, j] * abs(i - j) for i, j in np.ndindex(5, 5)) / 5
        want = (entropy, np.mean([w[i, i - 1] for i in range(1, 5)]), distance)
        np.testing.assert_allclose([x[layer, head] for x in got], want, rtol=1e-5)


def test_a_head_of_the_previous_token_and_one_without_preference():
    previous = np.eye(4, k=-1)
    previous[0, 0] = 1
    both = jnp.asarray(np.stack([previous, np.full((4, 4), 0.25)]), jnp.float32)
    summary = attribution.head_summary(both)
    np.testing.assert_allclose(summary.entropy, [0, np.log(4)], atol=1e-6)
    np.testing.assert_allclose(summary.previous_token, [1, 0.25])
    np.testing.assert_allclose(summary.distance, [0.75, 1.25])


def test_rollout_adds_up_over_all_ways_down():
    """Share of token i from token j: the sum over paths of the products of their shares."""
    got = attribution.attention_rollout(jnp.asarray(WEIGHTS, jnp.float32), residual=0.3)
    shares = 0.7 * WEIGHTS.mean(1) + 0.3 * np.eye(5)
    want = np.zeros((5, 5))
    for i, a, b, j in np.ndindex(5, 5, 5, 5):
        want[i, j] += shares[2, i, a] * shares[1, a, b] * shares[0, b, j]
    np.testing.assert_allclose(got, want, rtol=1e-5)
    np.testing.assert_allclose(got.sum(1), np.ones(5), rtol=1e-5)
