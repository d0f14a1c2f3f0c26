import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import attention, kan
from jaxnn.models import VisionTransformer
from tests.layers.attention.test_dot_product import arrays
from tests.layers.attention.test_multi_head import run

STATIC = ("is_causal", "scale", "return_weights")
attend = jax.jit(attention.kolmogorov_arnold_attention, static_argnames=(*STATIC, "basis"))


def operator(key, operators, functions=6, keys=6, rank=3):
    c_key, w_key = jax.random.split(key)
    coefficients = jax.random.normal(c_key, (operators, functions, keys, rank)) / 3
    return coefficients, jax.random.normal(w_key, (operators, rank, keys)) / 3


@pytest.mark.parametrize("operators", [1, 4])
def test_equals_a_numpy_loop(key, operators):
    """One function of one logit at a time, with its own cosines and sines."""
    query, key_, value = arrays(key, key_heads=2)
    coefficients, projection = operator(key, operators)
    rng = np.random.default_rng(0)
    mask, bias = rng.random((2, 4, 4, 6)) < 0.7, rng.normal(size=(2, 4, 4, 6))
    mask[0, 1, 2] = False
    got, got_weights = attend(
        query,
        key_,
        value,
        coefficients,
        projection,
        mask=jnp.asarray(mask),
        bias=jnp.asarray(bias, jnp.float32),
        scale=0.8,
        return_weights=True,
    )
    q, k, v, c, w = (
        np.asarray(x, np.float64) for x in (query, key_, value, coefficients, projection)
    )
    want, weights = np.zeros(got.shape), np.zeros(mask.shape)
    for b, t, h in np.ndindex(2, 4, 4):
        o, hidden = min(h, operators - 1), np.zeros(3)
        keys = [j for j in range(6) if mask[b, h, t, j]]
        for j, p in np.ndindex(6, 3):
            if j in keys:
                logit = 0.8 * q[b, t, h] @ k[b, j, h // 2] + bias[b, h, t, j]
                for m in range(3):
                    hidden[p] += c[o, m, j, p] * np.cos((m + 1) * logit)
                    hidden[p] += c[o, 3 + m, j, p] * np.sin((m + 1) * logit)
        for j in keys:
            weights[b, h, t, j] = hidden @ w[o, :, j]
            want[b, t, h] += weights[b, h, t, j] * v[b, j, h // 2]
    np.testing.assert_allclose(got_weights, weights, atol=1e-5)
    np.testing.assert_allclose(got, want, atol=1e-5)
    np.testing.assert_array_equal(got[0, 2, 1], 0)


def test_causal_queries_do_not_see_later_keys(key):
    query, key_, value = arrays(key, queries=6, batch=())

    def output(key_, value):
        parameters = operator(key, 1)
        return attend(query, key_, value, *parameters, is_causal=True).sum((1, 2))

    for jacobian in jax.jit(jax.jacrev(output, (0, 1)))(key_, value):
        seen = np.abs(np.asarray(jacobian)).sum((2, 3))
        np.testing.assert_array_equal(seen[np.triu_indices(6, 1)], 0)
        assert (seen[np.tril_indices(6, -1)] > 0).all()


def test_takes_any_basis_of_a_kan_layer(key):
    """With linear splines of coefficients at their centres, every function is the identity."""
    query, key_, value = arrays(key)
    low, high = -8.0, 8.0
    basis = functools.partial(kan.uniform_bspline_basis, grid=4, degree=1, low=low, high=high)
    centres = jnp.linspace(low, high, 5)
    # Hidden sum j is logit j, and weight j is hidden sum j: the weights are the logits.
    coefficients = centres[None, :, None, None] * jnp.eye(6)[None, None]
    _, weights = attend(
        query, key_, value, coefficients, jnp.eye(6)[None], basis=basis, return_weights=True
    )
    logits = jnp.einsum("bqhd,bkhd->bhqk", query, key_) / np.sqrt(5)
    assert abs(logits).max() < high
    np.testing.assert_allclose(weights, logits, atol=1e-5)


def test_module_is_its_function_and_starts_at_the_variance_of_the_values(key):
    query, key_, value = arrays(key, queries=64, keys=64)
    module = attention.KolmogorovArnoldAttention(64, num_heads=4)
    variables = jax.jit(module.init)(key, query, key_, value)
    p = variables["params"]
    assert p["coefficients"].shape == (4, 6, 64, 12)
    got = run(module, variables, query, key_, value)
    want = attend(query, key_, value, p["coefficients"], p["projection"])
    np.testing.assert_allclose(got, want, atol=1e-5)
    # Four operators of 12 hidden sums each: some 50 free numbers, and their squares' mean.
    assert 0.5 < got.var() / value.var() < 2


def test_blocks_share_an_instance_and_have_their_own_blockwise(key):
    images = jax.random.normal(key, (2, 4, 4))
    options = {"outputs": 3, "features": 8, "num_heads": 2, "depth": 2}
    made = attention.KolmogorovArnoldAttention
    shared = VisionTransformer(**options, attention=made(4, rank=2))
    params = jax.eval_shape(shared.init, key, images)["params"]
    assert params["attention"]["coefficients"].shape == (1, 6, 4, 2)
    own = VisionTransformer(**options, attention=made.blockwise(4, num_heads=2, rank=2))
    params = jax.eval_shape(own.init, key, images)["params"]
    assert "attention" not in params
    for block in ("blocks_0", "blocks_1"):
        assert params[block]["attention"]["weights"]["projection"].shape == (2, 2, 4)


def test_sows_its_weights(key):
    x = jax.random.normal(key, (2, 5, 8))
    made = attention.KolmogorovArnoldAttention
    for attend in (made(5), made.blockwise(5)):
        module = attention.MultiHeadAttention(2, attention=attend)
        variables = jax.eval_shape(module.init, key, x)
        apply = functools.partial(module.apply, mutable=["intermediates"])
        _, sown = jax.eval_shape(apply, variables, x)
        assert sown["intermediates"]["attention_weights"][0].shape == (2, 2, 5, 5)
