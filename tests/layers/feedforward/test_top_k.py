import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import models
from jaxnn.layers import feedforward

block = jax.jit(feedforward.top_k_feed_forward, static_argnames=("k", "compute", "activation"))


def arrays(key, tokens=(2, 5), features=3, hidden=16, outputs=4):
    shapes = ((*tokens, features), (features, hidden), (hidden,), (hidden, outputs), (outputs,))
    return [jax.random.normal(k, s) for k, s in zip(jax.random.split(key, 5), shapes, strict=True)]


def test_keeps_the_first_of_equal_entries():
    h = jnp.array([[0.0, 2.0, 5.0, 2.0, 2.0], [-1.0, -3.0, -2.0, -1.0, -1.0]])
    want = [[0.0, 2.0, 5.0, 2.0, 0.0], [-1.0, 0.0, 0.0, -1.0, -1.0]]
    np.testing.assert_array_equal(feedforward.keep_top_k(h, 3), want)
    np.testing.assert_array_equal(feedforward.keep_top_k(h, 5), h)


def test_gradients_flow_to_the_kept_entries_only(key):
    h, weight = jax.random.normal(key, (2, 6, 8))
    gradient = jax.grad(lambda h: jnp.sum(weight * feedforward.keep_top_k(h, 3)))(h)
    kept = np.asarray(h) >= np.sort(h, axis=-1)[:, -3:-2]
    np.testing.assert_array_equal(gradient, np.where(kept, weight, 0))


@pytest.mark.parametrize("compute", ["dense", "gathered", None])
def test_equals_a_numpy_loop(key, compute):
    values = arrays(key)
    x, up, a, down, c = (np.asarray(v, np.float64) for v in values)
    want = np.zeros((2, 5, 4))
    for b, t in np.ndindex(2, 5):
        h = np.maximum(x[b, t] @ up + a, 0)
        for i in np.argsort(-h, kind="stable")[:3]:
            want[b, t] += h[i] * down[i]
        want[b, t] += c
    np.testing.assert_allclose(block(*values, k=3, compute=compute), want, atol=1e-5)


def test_both_computations_have_the_same_gradients(key):
    values = arrays(key)
    loss = lambda compute, *v: jnp.sum(jnp.sin(block(*v, k=3, compute=compute)))  # noqa: E731
    one, other = (
        jax.grad(functools.partial(loss, compute), argnums=range(5))(*values)
        for compute in ("dense", "gathered")
    )
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)
    jax.tree.map(close, one, other)


def test_a_lazy_block_gathered_is_the_whole_block(key):
    """With as many kept as are above zero, what is left out is zero."""
    values = arrays(key)
    hidden = jax.nn.relu(feedforward.dense(*values[:3]))
    k = int(jnp.max(jnp.sum(hidden > 0, axis=-1)))
    assert k < 16
    whole = feedforward.feed_forward(*values, activation=jax.nn.relu)
    np.testing.assert_allclose(block(*values, k=k, compute="gathered"), whole, atol=1e-5)
    assert not np.allclose(block(*values, k=k - 3, compute="gathered"), whole, atol=1e-3)


def test_is_gathered_exactly_while_few_rows_are_fetched(key):
    def uses_the_whole_kernel(tokens, k):
        jaxpr = jax.make_jaxpr(functools.partial(feedforward.top_k_feed_forward, k=k))
        shapes = [
            [v.aval.shape for v in e.invars]
            for e in jaxpr(*arrays(key, tokens=(tokens,))).eqns
            if e.primitive.name == "dot_general"
        ]
        return (16, 4) in shapes[-1]

    assert not uses_the_whole_kernel(1, 16)
    assert not uses_the_whole_kernel(4, 4)
    assert uses_the_whole_kernel(5, 4)


def test_loads_the_parameters_of_a_plain_block(key):
    x = jax.random.normal(key, (2, 3))
    plain = feedforward.FeedForward(16, activation=jax.nn.relu)
    variables = jax.jit(plain.init)(key, x)
    want = plain.apply(variables, x)
    for compute in ("dense", "gathered"):
        module = feedforward.TopKFeedForward(16, 16, compute=compute)
        np.testing.assert_allclose(module.apply(variables, x), want, atol=1e-5)
        own = jax.jit(module.init)(key, x)
        jax.tree.map(np.testing.assert_array_equal, own, variables)


def test_sows_the_kept_units_and_drops_some_when_given_a_key(key):
    x = jax.random.normal(key, (4, 3))
    for compute in ("dense", "gathered"):
        module = feedforward.TopKFeedForward(5, 64, compute=compute, dropout_rate=0.5)
        variables = jax.jit(module.init)(key, x)
        plain, sown = module.apply(variables, x, mutable=["intermediates"])
        (hidden,) = sown["intermediates"]["hidden"]
        assert hidden.shape == (4, 64)
        assert ((hidden > 0).sum(-1) == 5).all()
        down = variables["params"]["down"]
        np.testing.assert_allclose(feedforward.dense(hidden, **down), plain, atol=1e-5)
        assert not np.allclose(module.apply(variables, x, rngs={"dropout": key}), plain)
        forced = module.apply(variables, x, deterministic=True, rngs={"dropout": key})
        np.testing.assert_allclose(forced, plain, atol=1e-6)


def test_fits_the_slot_of_a_transformer(key):
    lazy = functools.partial(feedforward.TopKFeedForward, 4, 16)
    model = models.Transformer(vocabulary=7, features=8, depth=1, num_heads=2, feedforward=lazy)
    tokens = jnp.arange(5)[None]
    logits, variables = jax.jit(model.init_with_output)(key, tokens)
    assert logits.shape == (1, 5, 7)
    assert variables["params"]["blocks_0"]["feedforward"]["up"]["kernel"].shape == (8, 16)


@pytest.mark.usefixtures("unchecked")
def test_another_map_cannot_be_gathered(key):
    module = feedforward.TopKFeedForward(2, dense=lambda *a, **o: feedforward.Dense(*a, **o))
    with pytest.raises(ValueError, match=r"TopKFeedForward: `compute` is None.*rows of another"):
        module.init(key, jnp.ones((2, 3)))
