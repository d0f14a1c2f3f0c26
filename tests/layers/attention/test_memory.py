import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnn.layers import attention
from jaxnn.layers.attention import MemorySlots


def slots(states, valid=None, usage=None):
    shape = states.shape[:-1]
    return MemorySlots(
        states,
        jnp.ones(shape, bool) if valid is None else jnp.asarray(valid),
        jnp.zeros(shape) if usage is None else jnp.asarray(usage),
    )


def numbered(start, stop):
    return slots(jnp.arange(start, stop, dtype=jnp.float32)[:, None])


@pytest.mark.parametrize("size", [0, 2, 3, 5])
def test_first_in_is_first_out(size):
    memory = attention.memory_init((), size, 1)
    assert not memory.valid.any()
    left = []
    for start in range(0, 15, 3):
        memory, leaving = attention.memory_push(memory, numbered(start, start + 3))
        assert leaving.states.shape == (3, 1)
        left += np.asarray(leaving.states[:, 0])[np.asarray(leaving.valid)].tolist()
    assert left == list(range(15 - size))
    assert memory.states[:, 0].tolist() == list(range(15 - size, 15))
    assert memory.valid.all()


def test_push_keeps_the_dtype_of_the_memory():
    memory = attention.memory_init((2,), 4, 3, jnp.bfloat16)
    kept, leaving = attention.memory_push(memory, slots(jnp.ones((2, 3, 3))))
    assert kept.states.dtype == leaving.states.dtype == jnp.bfloat16
    assert jax.tree.map(jnp.shape, kept) == jax.tree.map(jnp.shape, memory)


def test_pools_of_full_and_of_partly_empty_slots():
    x = jnp.array([[1.0, -1], [3, -7], [4, 0], [-2, 5], [9, 9]])
    full, partly = slots(x), slots(x, valid=[False, True, False, False, True])
    mean, largest = (
        functools.partial(f, rate=2)
        for f in (attention.mean_compression, attention.max_compression)
    )
    assert mean(full).states.tolist() == [[2, -4], [1, 2.5]]
    assert largest(full).states.tolist() == [[3, -1], [4, 5]]
    for pool in (mean, largest):
        got = pool(partly)
        assert got.states.tolist() == [[3, -7], [0, 0]]
        assert got.valid.tolist() == [True, False]
    same = attention.mean_compression(partly, rate=1)
    np.testing.assert_array_equal(same.states[partly.valid], x[partly.valid])


def test_most_used_keeps_the_right_slots_in_order():
    usage = jnp.array([[0.1, 0.9, 0.3, 0.8, 0.2, 0.7], [0.5, 0.5, 0.5, 0.1, 9.0, 0.2]])
    valid = jnp.ones((2, 6), bool).at[1, 4].set(False)
    x = jnp.arange(12.0).reshape(2, 6, 1)
    got = attention.most_used_compression(slots(x, valid, usage), rate=2)
    # Of equals the oldest, and never the empty slot that has the most.
    assert got.states[..., 0].tolist() == [[1, 3, 5], [6, 7, 8]]
    assert got.valid.all()
    np.testing.assert_array_equal(
        got.usage, jnp.take_along_axis(usage, got.states[..., 0].astype(int) % 6, -1)
    )
    few = attention.most_used_compression(
        slots(x, jnp.zeros((2, 6), bool).at[:, 5].set(True)), rate=3
    )
    assert few.states[:, :, 0].tolist() == [[0, 5], [6, 11]]
    assert few.valid.tolist() == [[False, True]] * 2


@pytest.mark.parametrize("steps", [6, 8])
def test_convolution_is_flax(key, steps):
    x = jax.random.normal(key, (2, steps, 4))
    conv = nn.Conv(5, (3,), strides=(3,), padding="VALID")
    params: Any = conv.init(key, x)["params"]
    bias = jnp.arange(5.0)

    def flax(x) -> Any:
        return conv.apply({"params": {**params, "bias": bias}}, x)

    got = attention.convolution_compression(slots(x), params["kernel"], bias)
    np.testing.assert_allclose(got.states, flax(x), atol=1e-5)
    empty = slots(x, jnp.ones((2, steps), bool).at[0, :4].set(False))
    got = attention.convolution_compression(empty, params["kernel"], bias)
    np.testing.assert_allclose(got.states, flax(x.at[0, :4].set(0)), atol=1e-5)
    assert got.valid.tolist() == [[False, True], [True, True]]


def test_dilated_convolution_is_a_loop(key):
    x, kernel = jax.random.normal(key, (7, 2)), jax.random.normal(key, (3, 2, 2))
    got = attention.convolution_compression(slots(x), kernel, dilation=2)
    want = np.zeros((2, 2))
    for j in range(2):
        for k in range(3):
            place = 3 * j + 2 * k - 1  # half of the (3 - 1)(2 - 1) that the field is wider
            if 0 <= place < 7:
                want[j] += np.asarray(x[place] @ kernel[k])
    np.testing.assert_allclose(got.states, want, atol=1e-5)
    assert got.states.shape == (2, 2)


def test_reconstruction_loss_is_the_norm_and_reaches_the_compressed_only(key):
    keys = jax.random.split(key, 5)
    sizes = (3, 6, 6, 2, 2)
    arrays = [jax.random.normal(k, (2, size, 2, 4)) for k, size in zip(keys, sizes, strict=True)]
    loss = jax.jit(attention.attention_reconstruction_loss)
    got = loss(*arrays)
    q, k, v, fewer_k, fewer_v = (np.asarray(a, np.float64) for a in arrays)

    def attend(k, v):
        powers = np.exp(np.einsum("bihd,bjhd->bhij", q, k) / 2)
        weights = powers / powers.sum(-1, keepdims=True)
        return np.einsum("bhij,bjhd->bihd", weights, v)

    difference = attend(k, v) - attend(fewer_k, fewer_v)
    np.testing.assert_allclose(got, np.sqrt((difference**2).sum((1, 2, 3))), rtol=1e-5)
    slopes = jax.grad(lambda *a: loss(*a).sum(), argnums=range(5))(*arrays)
    assert [bool(jnp.any(slope != 0)) for slope in slopes] == [False] * 3 + [True] * 2


def test_reconstruction_loss_of_the_same_or_of_nothing_is_zero_with_a_finite_slope(key):
    query, key_ = jax.random.normal(key, (2, 2, 3, 1, 4))

    def loss(key_, query, mask):
        fixed = jax.lax.stop_gradient(key_)
        return attention.attention_reconstruction_loss(
            query, fixed, fixed, key_, key_, mask=mask
        ).sum()

    differentiate = jax.jit(jax.value_and_grad(loss))
    for mask in (None, jnp.zeros((1, 1, 3), bool)):
        value, slope = differentiate(key_ if mask is None else key_ + 1, query, mask)
        assert value == 0
        assert jnp.all(slope == 0)
