import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnn.layers import recurrent

GRU_GATES = (("ir", "hr"), ("iz", "hz"), ("in", "hn"))
LSTM_GATES = (("ii", "hi"), ("if", "hf"), ("ig", "hg"), ("io", "ho"))


def scatter(params, key):
    """Replace the zeros of a fresh cell, so that no bias or diagonal can go missing unseen."""
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(
        tree, [p + 0.3 * jax.random.normal(k, p.shape) for k, p in zip(keys, leaves, strict=True)]
    )


def as_flax(params, gates, units, *, bias_with_input):
    """Give Flax's cell the whole kernels P Q + diag(v)."""
    found = {}
    for g, (into, back) in enumerate(gates):
        part = slice(g * units, (g + 1) * units)
        kernel = np.asarray(params["down"][g]) @ np.asarray(params["up"][g])
        if "diagonal" in params:
            kernel = kernel + np.diag(params["diagonal"][g])
        found[into] = {"kernel": params["input_kernel"][:, part]}
        found[back] = {"kernel": jnp.asarray(kernel)}
        found[into if bias_with_input else back]["bias"] = params["bias"][part]
    if bias_with_input:
        found["hn"]["bias"] = params["recurrent_bias"]
    return found


@pytest.mark.parametrize(("rank", "use_diagonal"), [(5, False), (2, True)])
def test_gru_equals_flax_with_whole_kernels(rank, use_diagonal, key):
    cell = recurrent.LowRankGRUCell(5, rank, use_diagonal=use_diagonal)
    x = jax.random.normal(key, (2, 7, 3))
    params = scatter(jax.jit(nn.RNN(cell).init)(key, x)["params"]["cell"], key)
    theirs = {"cell": as_flax(params, GRU_GATES, 5, bias_with_input=True)}
    got = jax.jit(nn.RNN(cell).apply)({"params": {"cell": params}}, x)
    want = jax.jit(nn.RNN(nn.GRUCell(5)).apply)({"params": theirs}, x)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_lstm_equals_flax_with_whole_kernels(key):
    cell = recurrent.LowRankLSTMCell(4, 2)
    x = jax.random.normal(key, (2, 7, 3))
    params = scatter(jax.jit(nn.RNN(cell).init)(key, x)["params"]["cell"], key)
    theirs = {"cell": as_flax(params, LSTM_GATES, 4, bias_with_input=False)}
    got = jax.jit(nn.RNN(cell).apply)({"params": {"cell": params}}, x)
    want = jax.jit(nn.RNN(nn.LSTMCell(4)).apply)({"params": theirs}, x)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_parameters_are_thin_and_kernels_keep_lengths(key):
    """2 n d + n for each gate; P Q at the start is a projection's rotation: singular values 1."""
    cell = recurrent.LowRankGRUCell(16, 3)
    carry = cell.initialize_carry(key, (1,))
    params = jax.tree.map(np.asarray, dict(cell.init(key, carry, jnp.ones(1))["params"]))
    recurrent_ones = ("down", "up", "diagonal")
    assert sum(params[name].size for name in recurrent_ones) == 3 * (2 * 16 * 3 + 16)
    assert not params["diagonal"].any()
    for g in range(3):
        values = np.linalg.svd(params["down"][g] @ params["up"][g], compute_uv=False)
        np.testing.assert_allclose(values, [1] * 3 + [0] * 13, atol=1e-5)
    # The gates differ.
    assert np.abs(params["down"][0] - params["down"][1]).max() > 0.1


def test_low_precision_keeps_the_state(key):
    """In bfloat16 the carried state stays float32, so that nn.RNN can scan it."""
    cell = recurrent.LowRankGRUCell(4, 2, dtype=jnp.bfloat16)
    x = jax.random.normal(key, (2, 5, 3))
    rnn = nn.RNN(cell, return_carry=True)
    carry, y = jax.jit(lambda: rnn.init_with_output(key, x))()[0]
    assert carry.dtype == jnp.float32
    assert y.dtype == jnp.bfloat16
