import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import attention


def test_shift_moves_each_distance_to_its_key(key):
    x = np.asarray(jax.random.normal(key, (2, 3, 5)))
    want = np.zeros_like(x)
    for b, i, j in np.ndindex(x.shape):
        if j + 2 - i < 5:
            want[b, i, j] = x[b, i, j + 2 - i]
    np.testing.assert_array_equal(attention.relative_shift(jnp.asarray(x)), want)
    assert attention.relative_shift(jnp.zeros((2, 0, 3))).shape == (2, 0, 3)


def loop(q, k, v, r, u, t, bias, allowed, *, causal):
    """Written from section 3.3 of Transformer-XL, term by term, with keys of their own heads."""
    batch, queries, heads, width = q.shape
    keys = k.shape[1]
    weights = np.zeros((batch, heads, queries, keys))
    for b, h, i in np.ndindex(batch, heads, queries):
        place = keys - queries + i
        logits = np.full(keys, -np.inf)
        for j in range(place + 1 if causal else keys):
            if allowed[b, j]:
                by_content = q[b, i, h] @ k[b, j, h] + u[h] @ k[b, j, h]
                row = r[keys - 1 - (place - j), h]
                by_distance = q[b, i, h] @ row + t[h] @ row
                logits[j] = (by_content + by_distance) / np.sqrt(width) + bias[b, h, i, j]
        powers = np.exp(logits - logits.max())
        weights[b, h, i] = powers / powers.sum()
    return np.einsum("bhij,bjhd->bihd", weights, v), weights


@pytest.mark.parametrize("causal", [True, False])
def test_equals_a_loop_over_pairs(key, causal):
    rng = np.random.default_rng(0)
    batch, queries, keys, heads, width = 2, 3, 7, 2, 4
    rows = keys if causal else keys + queries - 1
    shapes = [
        (batch, queries, heads, width),
        (batch, keys, heads, width),
        (batch, keys, heads, 3),
        (rows, heads, width),
        (heads, width),
        (heads, width),
        (batch, heads, queries, keys),
    ]
    arrays = [rng.normal(size=shape) for shape in shapes]
    allowed = np.ones((batch, keys), bool)
    allowed[0, :2] = allowed[1, 3] = False
    reference: Any = loop
    want, weights = reference(*arrays, allowed, causal=causal)
    inputs = [jnp.asarray(array, jnp.float32) for array in arrays]
    bias: Any = inputs.pop()
    attend: Any = functools.partial(
        attention.relative_attention,
        mask=jnp.asarray(allowed)[:, None, None],
        is_causal=causal,
    )
    both: Any = jax.jit(functools.partial(attend, return_weights=True))
    got = both(*inputs, bias=bias)
    np.testing.assert_allclose(got[0], want, atol=2e-6)
    np.testing.assert_allclose(got[1], weights, atol=2e-6)
    np.testing.assert_allclose(jax.jit(attend)(*inputs, bias=bias), want, atol=2e-6)


def test_no_distances_is_plain_attention_and_shared_keys_are_repeated_ones(key):
    keys = jax.random.split(key, 3)
    query = jax.random.normal(keys[0], (5, 4, 6))
    key_, value = (jax.random.normal(k, (5, 2, 6)) for k in keys[1:])
    nothing, none = jnp.zeros((5, 4, 6)), jnp.zeros((4, 6))
    relative, plain = (
        jax.jit(functools.partial(attend, is_causal=True))
        for attend in (attention.relative_attention, attention.dot_product_attention)
    )
    got, want = relative(query, key_, value, nothing, none, none), plain(query, key_, value)
    np.testing.assert_allclose(got, want, atol=1e-6)
