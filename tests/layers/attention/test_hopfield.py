import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import attention
from tests.layers.attention.test_dot_product import arrays
from tests.layers.attention.test_multi_head import run

STATIC = ("is_causal", "scale", "return_weights")
attend = jax.jit(attention.hopfield_attention, static_argnames=(*STATIC, "steps", "tolerance"))
energy = jax.jit(attention.hopfield_energy, static_argnames="scale")


@pytest.mark.parametrize("options", [{"is_causal": True}, {"return_weights": True, "scale": 2.0}])
def test_one_step_is_dot_product_attention(key, options):
    query, key_, value = arrays(key, key_heads=2)
    got = attend(query, key_, value, **options)
    dense = jax.jit(attention.dot_product_attention, static_argnames=STATIC)
    want = dense(query, key_, value, **options)
    jax.tree.map(np.testing.assert_array_equal, got, want)


@pytest.mark.parametrize("tolerance", [None, 0.3])
def test_equals_a_numpy_loop(key, tolerance):
    query, key_, value = arrays(key, key_heads=2)
    rng = np.random.default_rng(0)
    mask, bias = rng.random((2, 4, 4, 6)) < 0.7, rng.normal(size=(2, 4, 4, 6))
    mask[..., 0] = True
    got = attend(
        query,
        key_,
        value,
        mask=jnp.asarray(mask),
        bias=jnp.asarray(bias, jnp.float32),
        scale=0.8,
        steps=4,
        tolerance=tolerance,
    )
    want, updates = np.zeros(got.shape), []
    for b, t, h in np.ndindex(2, 4, 4):
        x, state = np.asarray(key_[b, :, h // 2], np.float64), np.asarray(query[b, t, h])
        count = 0
        for step in range(4):
            powers = np.exp(0.8 * x @ state + bias[b, h, t]) * mask[b, h, t]
            weights = powers / powers.sum()
            if step == 3:
                break
            moved = np.linalg.norm(weights @ x - state)
            state, count = weights @ x, count + 1
            if tolerance is not None and moved <= tolerance:
                powers = np.exp(0.8 * x @ state + bias[b, h, t]) * mask[b, h, t]
                weights = powers / powers.sum()
                break
        want[b, t, h] = weights @ np.asarray(value[b, :, h // 2])
        updates.append(count)
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert (min(updates) < 3) == (tolerance is not None)


def test_energy_equals_its_definition_and_its_derivative_is_the_update(key):
    patterns, states = jax.random.normal(key, (7, 5)), jax.random.normal(key, (3, 5))
    x, xi = np.asarray(patterns, np.float64), np.asarray(states, np.float64)
    want = (
        -np.log(np.exp(0.7 * xi @ x.T).sum(-1)) / 0.7
        + (xi**2).sum(-1) / 2
        + np.log(7) / 0.7
        + (x**2).sum(-1).max() / 2
    )
    np.testing.assert_allclose(energy(states, patterns, scale=0.7), want, atol=1e-5)
    slope = jax.jit(jax.grad(lambda s: energy(s, patterns, scale=0.7).sum()))(states)
    stored = patterns[:, None]
    update = attend(states[:, None], stored, stored, scale=0.7)[:, 0]
    np.testing.assert_allclose(slope, states - update, atol=1e-5)


def test_updates_never_raise_the_energy_and_end_at_a_stored_pattern(key):
    patterns = jax.random.normal(key, (9, 64))
    states = patterns + 0.5 * jax.random.normal(jax.random.key(1), (9, 64))
    stored = patterns[:, None]
    path = [states] + [
        attend(states[:, None], stored, stored, scale=1.0, steps=n)[:, 0] for n in (1, 2, 20)
    ]
    energies = np.stack([energy(state, patterns, scale=1.0) for state in path])
    assert (np.diff(energies, axis=0) <= 1e-5).all()
    assert (energies[-1] < energies[0] - 0.5).all()
    np.testing.assert_allclose(path[-1], patterns, atol=0.05)


def test_pooling_of_a_set_ignores_order_and_padding(key):
    x = jax.random.normal(key, (2, 5, 8))
    module = attention.HopfieldPooling(3, num_heads=2, steps=3, features=6)
    variables = jax.jit(module.init)(key, x)
    assert variables["params"]["queries"].shape == (3, 8)
    pooled = jax.jit(lambda x, mask: module.apply(variables, x, mask=mask))
    got = pooled(x, jnp.ones((2, 1, 1, 5), bool))
    assert got.shape == (2, 3, 6)
    padded = jnp.concatenate([x[:, ::-1], 9 * jnp.ones((2, 2, 8))], axis=1)
    valid = jnp.broadcast_to(jnp.arange(7) < 5, (2, 1, 1, 7))
    np.testing.assert_allclose(pooled(padded, valid), got, atol=1e-5)
    assert not np.allclose(pooled(padded, jnp.ones_like(valid)), got, atol=1e-2)


def test_modules_are_their_attention_on_learned_queries_and_patterns(key):
    x = jax.random.normal(key, (2, 5, 8))
    attend = functools.partial(attention.hopfield_attention, steps=2, scale=1.5)
    inner = attention.MultiHeadAttention(2, attention=attend)

    pooling = attention.HopfieldPooling(3, num_heads=2, steps=2, scale=1.5)
    v = jax.jit(pooling.init)(key, x)
    queries = jnp.broadcast_to(v["params"]["queries"], (2, 3, 8))
    want = run(inner, {"params": v["params"]["attention"]}, queries, x)
    np.testing.assert_allclose(run(pooling, v, x), want, atol=1e-5)

    lookup = attention.HopfieldLayer(7, 4, num_heads=2, steps=2, scale=1.5)
    v = jax.jit(lookup.init)(key, x)
    patterns = jnp.broadcast_to(v["params"]["patterns"], (2, 7, 4))
    want = run(inner, {"params": v["params"]["attention"]}, x, patterns)
    np.testing.assert_allclose(run(lookup, v, x), want, atol=1e-5)


def test_pooling_drops_weights_exactly_when_given_a_key(key):
    x = jax.random.normal(key, (2, 5, 8))
    module = attention.HopfieldPooling(3, dropout_rate=0.5)
    v = jax.jit(module.init)(key, x)
    plain = run(module, v, x)
    assert not np.allclose(plain, run(module, v, x, rngs={"dropout": key}))
    forced = run(module, v, x, deterministic=True, rngs={"dropout": key})
    np.testing.assert_array_equal(plain, forced)
