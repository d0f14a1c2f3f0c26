import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnn.layers import attention, normalization, position


def from_flax(params):
    """Join flax's (heads, head width) axes, which are one axis here."""

    def one(name, kernel, bias):
        if name == "out":
            return {"kernel": kernel.reshape(-1, kernel.shape[-1]), "bias": bias}
        return {"kernel": kernel.reshape(kernel.shape[0], -1), "bias": bias.reshape(-1)}

    joined = {n: one(n, **params[n]) for n in ("query", "key", "value", "out")}
    for name, scale in (("query_ln", "query_norm"), ("key_ln", "key_norm")):
        if name in params:
            joined[scale] = params[name]
    return {"params": joined}


def run(module, *inputs, **options):
    """Apply a module compiled, so that the cache serves it."""
    return jax.jit(lambda *inputs: module.apply(*inputs, **options))(*inputs)


def perturbed(variables, key):
    """Move every parameter off its initial value, so that no zero bias or unit scale hides."""
    leaves, structure = jax.tree.flatten(variables)
    keys = jax.random.split(key, len(leaves))
    moved = [v + 0.1 * jax.random.normal(k, v.shape) for v, k in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(structure, moved)


@pytest.mark.parametrize("normalize_qk", [False, True])
@pytest.mark.parametrize("cross", [False, True])
def test_equals_flax_on_the_same_parameters(key, normalize_qk, cross):
    x, context = jax.random.normal(key, (2, 3, 8)), jax.random.normal(key, (2, 5, 6))
    theirs = nn.MultiHeadDotProductAttention(
        4, qkv_features=16, out_features=7, normalize_qk=normalize_qk
    )
    ours = attention.MultiHeadAttention(4, 16, 7, normalize_qk=normalize_qk)
    inputs = (x, context) if cross else (x,)
    mask = jnp.ones((2, 1, 3, 5 if cross else 3), bool).at[0, 0, :, 0].set(False)
    variables = perturbed(jax.jit(theirs.init)(key, *inputs), key)
    want = run(theirs, variables, *inputs, mask=mask)
    got = run(ours, from_flax(variables["params"]), *inputs, mask=mask)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_parameters_have_readable_paths_and_flax_scales(key):
    params = jax.jit(attention.MultiHeadAttention(4).init)(key, jnp.ones((2, 3, 64)))["params"]
    assert set(params) == {"query", "key", "value", "out"}
    assert all(set(p) == {"kernel", "bias"} for p in params.values())
    # lecun_normal over 64 inputs; the mean of 4,096 squares is within 10 % of 1/64.
    assert abs(64 * jnp.mean(params["query"]["kernel"] ** 2) - 1) < 0.1


def test_multi_query_equals_repeated_heads(key):
    x = jax.random.normal(key, (2, 3, 8))
    shared = attention.MultiHeadAttention(4, num_key_value_heads=2)
    variables = perturbed(jax.jit(shared.init)(key, x), key)
    params = dict(variables["params"])
    assert params["key"]["kernel"].shape == (8, 4)

    def repeat(v):
        return jnp.repeat(v.reshape(*v.shape[:-1], 2, 2), 2, axis=-2).reshape(*v.shape[:-1], 8)

    for name in ("key", "value"):
        params[name] = jax.tree.map(repeat, params[name])
    full = attention.MultiHeadAttention(4)
    np.testing.assert_allclose(
        run(shared, variables, x), run(full, {"params": params}, x), atol=1e-5
    )


def test_any_attention_function_fits_the_slot(key):
    x = jax.random.normal(key, (2, 3, 8))
    module = attention.MultiHeadAttention(2, attention=attention.sigmoid_attention)
    variables = perturbed(jax.jit(module.init)(key, x), key)
    p = variables["params"]
    heads = [(x @ p[n]["kernel"] + p[n]["bias"][None, None]).reshape(2, 3, 2, 4) for n in
             ("query", "key", "value")]  # fmt: skip
    y = attention.sigmoid_attention(*heads).reshape(2, 3, 8)
    want = y @ p["out"]["kernel"] + p["out"]["bias"][None, None]
    np.testing.assert_allclose(run(module, variables, x), want, atol=1e-5)

    def mean_of_values(query, key, value, *, mask, bias, is_causal):
        return jnp.broadcast_to(value.mean(-3, keepdims=True), query.shape)

    got = attention.MultiHeadAttention(2, attention=mean_of_values).apply(variables, x)
    np.testing.assert_allclose(got, jnp.broadcast_to(got[:, :1], got.shape), atol=1e-6)
    # No `return_weights`: nothing is sown, and nothing breaks.
    _, sown = attention.MultiHeadAttention(2, attention=mean_of_values).apply(
        variables, x, mutable=["intermediates"]
    )
    assert not sown


def test_sows_its_weights_only_when_asked(key):
    x = jax.random.normal(key, (2, 3, 8))
    asked = []

    def watched(*args, **options):
        asked.append("return_weights" in options)
        return attention.dot_product_attention(*args, **options)

    watched = functools.wraps(attention.dot_product_attention)(watched)
    module = attention.MultiHeadAttention(2, attention=watched)
    variables = jax.jit(module.init)(key, x)
    assert set(variables) == {"params"}
    plain = module.apply(variables, x)
    assert asked == [False, False]
    y, sown = module.apply(variables, x, mutable=["intermediates"])
    assert asked[-1]
    (weights,) = sown["intermediates"]["attention_weights"]
    assert weights.shape == (2, 2, 3, 3)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
    # Rounded elsewhere: weights that are returned are divided by their sum before the product.
    np.testing.assert_allclose(y, plain, atol=1e-6)


def test_rotary_makes_it_blind_to_a_common_offset(key):
    x = jax.random.normal(key, (2, 5, 8))
    module = attention.MultiHeadAttention(2, rotary=position.rotary_embedding)
    variables = jax.jit(module.init)(key, x)
    plain = run(module, variables, x)
    moved = run(module, variables, x, positions=jnp.arange(5) + 40)
    np.testing.assert_allclose(plain, moved, atol=1e-5)
    stretched = run(module, variables, x, positions=3 * jnp.arange(5))
    assert not np.allclose(plain, stretched, atol=1e-3)


def test_drops_weights_exactly_when_given_a_key(key):
    x = jax.random.normal(key, (2, 5, 8))
    module = attention.MultiHeadAttention(2, dropout_rate=0.5)
    variables = jax.jit(module.init)(key, x)
    plain = module.apply(variables, x)
    assert not np.allclose(plain, module.apply(variables, x, rngs={"dropout": key}))
    forced = module.apply(variables, x, deterministic=True, rngs={"dropout": key})
    np.testing.assert_array_equal(plain, forced)


def test_works_through_the_nnx_bridge(key):
    from flax import nnx
    from flax.nnx import bridge

    x = jax.random.normal(key, (2, 3, 8))
    wrapped = bridge.ToNNX(attention.MultiHeadAttention(2), rngs=nnx.Rngs(0)).lazy_init(x)
    assert wrapped(x).shape == x.shape


@pytest.mark.parametrize("gate", ["head", "element"])
def test_gate_multiplies_each_heads_output(key, gate):
    x = jax.random.normal(key, (2, 3, 8))
    module = attention.MultiHeadAttention(2, gate=gate)
    variables = perturbed(jax.jit(module.init)(key, x), key)
    p = variables["params"]
    plain = {name: value for name, value in p.items() if name != "gate"}
    # The outputs before the last projection, by making that the identity.
    eye = {**plain, "out": {"kernel": jnp.eye(8), "bias": jnp.zeros(8)}}
    y = run(attention.MultiHeadAttention(2), {"params": eye}, x)
    gates = jax.nn.sigmoid(x @ p["gate"]["kernel"] + p["gate"]["bias"][None, None])
    gates = jnp.repeat(gates, 4, axis=-1) if gate == "head" else gates
    want = (y * gates) @ p["out"]["kernel"] + p["out"]["bias"][None, None]
    np.testing.assert_allclose(run(module, variables, x), want, atol=1e-5)


def test_gate_bias_says_how_much_passes_at_first(key):
    module = attention.MultiHeadAttention(2, gate="head", gate_bias=-1.0)
    params = jax.jit(module.init)(key, jnp.ones((2, 3, 8)))["params"]
    np.testing.assert_array_equal(params["gate"]["bias"], [-1, -1])


def test_norm_over_all_heads_differs_from_each(key):
    x = jax.random.normal(key, (2, 3, 8))
    norm = functools.partial(normalization.RMSNorm, epsilon=1e-5)
    module = attention.MultiHeadAttention(2, normalize_qk="all", qk_norm=norm)
    variables = perturbed(jax.jit(module.init)(key, x), key)
    p = variables["params"]
    assert p["query_norm"]["scale"].shape == (8,)
    heads = {
        name: x @ p[name]["kernel"] + p[name]["bias"][None, None]
        for name in ("query", "key", "value")
    }
    for name in ("query", "key"):
        square = jnp.mean(heads[name] ** 2, axis=-1, keepdims=True)
        heads[name] = heads[name] / jnp.sqrt(square + 1e-5) * p[f"{name}_norm"]["scale"][None, None]
    y = jax.nn.dot_product_attention(*(h.reshape(2, 3, 2, 4) for h in heads.values()))
    want = y.reshape(2, 3, 8) @ p["out"]["kernel"] + p["out"]["bias"][None, None]
    np.testing.assert_allclose(run(module, variables, x), want, atol=1e-5)


def test_scale_and_the_last_bias(key):
    x = jax.random.normal(key, (2, 3, 8))
    module = attention.MultiHeadAttention(2, scale=1.0, use_out_bias=False)
    params = dict(jax.jit(module.init)(key, x)["params"])
    assert set(params["out"]) == {"kernel"}
    sharp = run(module, {"params": params}, x)
    # Width 4: the default scale is 1/2, so queries twice as large do the same.
    params["query"] = jax.tree.map(lambda v: 2 * v, params["query"])
    plain = attention.MultiHeadAttention(2, use_out_bias=False)
    np.testing.assert_allclose(run(plain, {"params": params}, x), sharp, atol=1e-5)


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_gate_is_named(key):
    with pytest.raises(ValueError, match="MultiHeadAttention: `gate` is 'row'; it needs 'head'"):
        attention.MultiHeadAttention(2, gate="row").init(key, jnp.ones((2, 3, 8)))  # pyright: ignore
