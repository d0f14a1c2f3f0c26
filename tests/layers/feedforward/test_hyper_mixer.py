import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import models
from jaxnn.layers import feedforward, position


@functools.partial(jax.jit, static_argnums=0)
def init(module, key, x):
    return module.init(key, x)


@functools.partial(jax.jit, static_argnums=0)
def apply(module, variables, x, mask=None, positions=None):
    return module.apply(variables, x, mask=mask, positions=positions)


def gelu(v):
    return v * (1 + np.vectorize(math.erf)(v / math.sqrt(2))) / 2


exact_gelu = functools.partial(jax.nn.gelu, approximate=False)


@pytest.mark.parametrize("tied", [False, True])
def test_equals_a_numpy_loop(key, tied):
    x = jax.random.normal(key, (5, 6))
    module = feedforward.HyperMixer(2, 8, tied=tied, activation=exact_gelu)
    variables = init(module, key, x)
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables["params"])
    assert set(p) == {"in_up", "in_down", "norm"} | (set() if tied else {"out_up", "out_down"})
    v, y = np.asarray(x, np.float64), np.zeros((5, 6))
    for h in (0, 1):
        part = v[:, 3 * h : 3 * h + 3]
        w_in = gelu(part @ p["in_up"][h]) @ p["in_down"][h]
        w_out = w_in if tied else gelu(part @ p["out_up"][h]) @ p["out_down"][h]
        y[:, 3 * h : 3 * h + 3] = w_out @ gelu(w_in.T @ part)
    want = (y - y.mean(1, keepdims=True)) / np.sqrt(y.var(1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(apply(module, variables, x), want, atol=1e-4)


def test_permuted_tokens_give_permuted_results_unless_they_have_positions(key):
    x = jax.random.normal(key, (2, 7, 6))
    order = jax.random.permutation(key, 7)
    for encoding in (None, position.sinusoidal_embedding):
        module = feedforward.HyperMixer(2, position=encoding)
        variables = init(module, key, x)
        want = apply(module, variables, x)[:, order]
        got = apply(module, variables, x[:, order])
        assert np.allclose(got, want, atol=1e-4) == (encoding is None)
        if encoding is not None:  # with the positions permuted too, it is the same set
            got = apply(module, variables, x[:, order], positions=order)
            np.testing.assert_allclose(got, want, atol=1e-4)


def test_padding_changes_nothing(key):
    x = jax.random.normal(key, (2, 7, 6))
    module = feedforward.HyperMixer()
    variables = init(module, key, x)
    valid = jnp.arange(7)[None] < jnp.array([7, 4])[:, None]
    got = apply(module, variables, 100 * (1 - valid[..., None]) + x, valid[:, None, None, :])
    np.testing.assert_allclose(got[1, :4], apply(module, variables, x[1:, :4])[0], atol=1e-4)
    np.testing.assert_allclose(got[0], apply(module, variables, x)[0], atol=1e-4)


def test_every_token_reads_every_token(key):
    x = jax.random.normal(key, (5, 6))
    module = feedforward.HyperMixer()
    variables = init(module, key, x)
    jacobian = jax.jit(jax.jacrev(lambda x: module.apply(variables, x)))(x)
    assert (np.abs(jacobian).max((1, 3)) > 1e-3).all()


def test_fits_the_slot_of_a_block(key):
    x = jax.random.normal(key, (2, 7, 6))
    block = models.TransformerBlock(2, mixer=feedforward.HyperMixer)
    variables = jax.jit(block.init)(key, x)
    assert variables["params"]["attention"]["in_down"].shape == (2, 3, 6)
    valid = jnp.ones((2, 1, 1, 7), bool)
    assert block.apply(variables, x, mask=valid, deterministic=True).shape == x.shape
    with pytest.raises(ValueError, match="HyperMixer: `is_causal` is True; it needs False"):
        block.apply(variables, x, is_causal=True)
