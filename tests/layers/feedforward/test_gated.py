import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.layers import feedforward


def test_equals_a_numpy_loop():
    rng = np.random.default_rng(0)
    x, gate, up = rng.normal(size=(5, 3)), rng.normal(size=(3, 8)), rng.normal(size=(3, 8))
    down = rng.normal(size=(8, 3))
    want = [((row @ gate) / (1 + np.exp(-(row @ gate))) * (row @ up)) @ down for row in x]
    got = feedforward.gated_feed_forward(
        *(jnp.asarray(v, jnp.float32) for v in (x, gate, up, down))
    )
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_the_gate_and_not_the_other_branch_goes_through_the_activation(key):
    """A closed gate (ReLU of a negative product) silences the unit whatever `up` says."""
    x = jnp.ones((1, 2))
    closed = feedforward.gated_feed_forward(
        x, -jnp.ones((2, 3)), jnp.ones((2, 3)), jnp.ones((3, 1)), activation=jax.nn.relu
    )
    opened = feedforward.gated_feed_forward(
        x, jnp.ones((2, 3)), -jnp.ones((2, 3)), jnp.ones((3, 1)), activation=jax.nn.relu
    )
    assert closed.item() == 0.0
    assert opened.item() == -12.0


def test_default_width_keeps_the_parameters_of_an_ungated_block(key):
    x = jnp.ones((1, 96))
    size = lambda block: sum(v.size for v in jax.tree.leaves(block.init(key, x)))  # noqa: E731
    gated = size(feedforward.GatedFeedForward())
    plain = size(feedforward.FeedForward(use_bias=False))
    assert gated == plain
