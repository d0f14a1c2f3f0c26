import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import feedforward


def test_equals_a_numpy_loop(key):
    rng = np.random.default_rng(0)
    x, up, down = rng.normal(size=(5, 3)), rng.normal(size=(3, 8)), rng.normal(size=(8, 3))
    a, c = rng.normal(size=8), rng.normal(size=3)
    want = [np.maximum(row @ up + a, 0) @ down + c for row in x]
    arrays = [jnp.asarray(v, jnp.float32) for v in (x, up, a, down, c)]
    got = feedforward.feed_forward(*arrays, activation=jax.nn.relu)
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_default_hidden_width_is_four_times_the_input(key):
    variables = feedforward.FeedForward().init(key, jnp.ones((2, 3)))
    assert variables["params"]["up"]["kernel"].shape == (3, 12)


def test_drops_units_exactly_when_given_a_key(key):
    block, x = feedforward.FeedForward(64, dropout_rate=0.5), jnp.ones((2, 3))
    variables = block.init(key, x)
    plain = block.apply(variables, x)
    np.testing.assert_array_equal(plain, block.apply(variables, x))
    dropped = block.apply(variables, x, rngs={"dropout": key})
    assert not np.allclose(plain, dropped)
    forced = block.apply(variables, x, deterministic=True, rngs={"dropout": key})
    np.testing.assert_array_equal(plain, forced)


def test_sows_its_hidden_units(key):
    block, x = feedforward.FeedForward(8), jnp.ones((2, 3))
    _, sown = block.apply(block.init(key, x), x, mutable=["intermediates"])
    assert sown["intermediates"]["hidden"][0].shape == (2, 8)


def test_dense_is_a_slot(key):
    calls = []

    def factory(features, **options):
        calls.append(features)
        return feedforward.Dense(features, **options)

    feedforward.FeedForward(8, dense=factory).init(key, jnp.ones((2, 3)))
    assert calls == [8, 3]


@pytest.mark.parametrize("width", [(1, 3), (4, 7, 3)])
def test_any_leading_axes(key, width):
    block = feedforward.FeedForward(8)
    x = jax.random.normal(key, width)
    variables = block.init(key, x)
    rows = jnp.stack([block.apply(variables, row) for row in x.reshape(-1, 3)])
    np.testing.assert_allclose(block.apply(variables, x).reshape(-1, 3), rows, atol=1e-5)
