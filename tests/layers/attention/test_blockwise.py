import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import attention

BLOCKS = {"query_block": 4, "key_block": 3}


def arrays(key, queries=10, keys=10, key_heads=2):
    shapes = [(2, queries, 4, 5), (2, keys, key_heads, 5), (2, keys, key_heads, 3)]
    keys_ = jax.random.split(key, 3)
    return [jax.random.normal(k, s) for k, s in zip(keys_, shapes, strict=True)]


def case(key, name):
    """Arguments of which each block must take its own part."""
    mask_key, bias_key = jax.random.split(key)
    draw = jax.random.bernoulli
    return {
        "causal, padded": {
            "is_causal": True,
            "logit_cap": 2.0,
            "mask": draw(mask_key, 0.8, (2, 1, 1, 10)),
            "bias": jax.random.normal(bias_key, (4, 1, 10)),
        },
        # Some queries are left with nothing, by the mask alone or together with the window.
        "causal window, any mask, any bias": {
            "is_causal": True,
            "window": 4,
            "mask": draw(mask_key, 0.5, (2, 1, 10, 10)).at[:, :, ::7].set(False),
            "bias": jax.random.normal(bias_key, (2, 4, 10, 10)),
        },
        "two-sided window": {
            "window": 2,
            "scale": 0.3,
            "mask": draw(mask_key, 0.9, (10, 1)),
            "bias": jax.random.normal(bias_key, (10, 1)),
        },
    }[name]


@pytest.mark.parametrize(
    "name",
    ["causal, padded", "causal window, any mask, any bias", "two-sided window"],
)
def test_equals_the_plain_form_in_values_and_derivatives(key, name):
    options = case(key, name)
    bias = options.pop("bias", jnp.zeros((1, 1)))
    x = (*arrays(key), bias)

    def both_ways(function):
        def run(*x):
            def attend(*x):
                return function(*x[:3], bias=x[3], **options)

            y, back = jax.vjp(attend, *x)
            _, forward = jax.jvp(attend, x, tuple(jnp.cos(a) for a in x))
            return y, back(jnp.sin(y)), forward

        return jax.jit(run)

    ours = functools.partial(attention.blockwise_attention, **BLOCKS)
    pair = (both_ways(f)(*x) for f in (ours, attention.dot_product_attention))
    for got, want in zip(*map(jax.tree.leaves, pair), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5 * max(1, np.abs(want).max()))


def test_other_numbers_of_queries_than_keys_and_second_derivatives(key):
    """The curvature along a line, by differentiating forwards, then backwards."""
    x = arrays(key, queries=3, keys=7)

    def curvature(function):
        def total(t):
            return jnp.sum(jnp.sin(function(*((1 + t) * a for a in x))))

        return jax.jit(jax.grad(lambda t: jax.jvp(total, (t,), (1.0,))[1]))(0.3)

    ours = functools.partial(attention.blockwise_attention, **BLOCKS)
    got, want = (curvature(f) for f in (ours, attention.dot_product_attention))
    np.testing.assert_allclose(got, want, rtol=1e-4)
    assert abs(want) > 0.1


def test_sums_survive_logits_that_grow_from_block_to_block():
    """Without the rescaling the first blocks would weigh too much, or the last overflow."""
    logits = jnp.linspace(-300.0, 300.0, 12)
    value = jnp.arange(12.0)[:, None, None]
    for order in (slice(None), slice(None, None, -1)):
        got = attention.blockwise_attention(
            jnp.ones((1, 1, 1)), logits[order, None, None], value[order], key_block=3, scale=1.0
        )
        powers = np.exp(np.asarray(logits, np.float64) - 300)
        np.testing.assert_allclose(got[0, 0, 0], powers @ np.arange(12) / powers.sum(), rtol=1e-5)


@pytest.mark.parametrize("is_causal", [False, True])
def test_memory_grows_linearly_with_the_length(is_causal):
    """Doubling the length would take four times the memory for a table of weights."""

    def temporary(length):
        x = jax.ShapeDtypeStruct((length, 1, 32), jnp.float32)

        def loss(*x):
            y = attention.blockwise_attention(*x, is_causal=is_causal, query_block=64, key_block=64)
            return jnp.sum(y)

        program = jax.jit(jax.grad(loss, argnums=(0, 1, 2))).lower(x, x, x).compile()
        return program.memory_analysis().temp_size_in_bytes

    few, most = temporary(2048), temporary(4096)
    assert most <= 2.3 * few
    assert most < 4096**2 * 4 / 8
