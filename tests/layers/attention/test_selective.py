import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.layers import attention
from tests.layers.attention.test_multi_head import perturbed, run


def test_temperature_is_the_papers(key):
    tokens = jax.random.normal(key, (2, 5, 3))
    logit = jnp.array([-1.0, 0.0, 2.0])
    got = attention.selective_temperature(tokens, jnp.arange(5), logit)
    for b, t, h in np.ndindex(2, 5, 3):
        share = 1 / (1 + np.exp(-float(logit[h])))
        want = np.tanh(float(tokens[b, t, h])) + 1 + share * np.log(t + 1)
        np.testing.assert_allclose(got[b, t, h], want, rtol=1e-5)
    rows = jnp.stack([jnp.arange(5), jnp.arange(5) + 7])
    moved = attention.selective_temperature(tokens, rows, logit)
    np.testing.assert_allclose(moved[0], got[0], rtol=1e-6)
    assert (moved[1] > got[1]).all()


def test_silent_temperatures_are_plain_attention(key):
    x = jax.random.normal(key, (2, 3, 8))
    module = attention.SelectiveAttention(2, position_init=-100.0)
    params = dict(jax.jit(module.init)(key, x)["params"])
    got = run(module, {"params": params}, x)
    plain = {name: params[name] for name in ("query", "key", "value", "out")}
    want = run(attention.MultiHeadAttention(2), {"params": plain}, x)
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_queries_and_values_are_scaled_and_keys_are_not(key):
    x = jax.random.normal(key, (2, 3, 8))
    module = attention.SelectiveAttention(2, share_heads=False)
    variables = perturbed(jax.jit(module.init)(key, x), key)
    p = variables["params"]

    def affine(name):
        return x @ p[name]["kernel"] + p[name]["bias"][None, None]

    query, key_, value = (affine(n).reshape(2, 3, 2, 4) for n in ("query", "key", "value"))
    steps = jnp.arange(3)
    tau = attention.selective_temperature(affine("query_temperature"), steps, p["query_position"])
    weight = 1 + jnp.tanh(affine("value_temperature"))
    y = attention.dot_product_attention(query * tau[..., None], key_, value * weight[..., None])
    want = y.reshape(2, 3, 8) @ p["out"]["kernel"] + p["out"]["bias"][None, None]
    np.testing.assert_allclose(run(module, variables, x), want, atol=1e-5)


def test_hidden_layer_and_shared_heads_have_few_parameters(key):
    x = jnp.ones((2, 3, 64))
    module = attention.SelectiveAttention(4, select_values=False)
    plain = attention.MultiHeadAttention(4)
    sizes = [
        sum(p.size for p in jax.tree.leaves(jax.eval_shape(m.init, key, x)))
        for m in (module, plain)
    ]
    assert sizes[0] - sizes[1] == 64 + 1 + 4
    deep = attention.SelectiveAttention(4, hidden_features=3)
    params = jax.eval_shape(deep.init, key, x)["params"]
    assert params["query_temperature_hidden"]["kernel"].shape == (64, 3)
