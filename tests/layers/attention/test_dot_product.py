import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import attention
from jaxnn.layers.attention._query_blocks import _blocks

STATIC = ("is_causal", "scale", "dropout_rate", "return_weights")
# Compiled, so that the cache serves it; eager, every operation would be compiled on its own.
attend = jax.jit(attention.dot_product_attention, static_argnames=(*STATIC, "window", "logit_cap"))


def arrays(key, queries=4, keys=6, heads=4, key_heads=4, batch=(2,)):
    shapes = [(queries, heads, 5), (keys, key_heads, 5), (keys, key_heads, 3)]
    keys_ = jax.random.split(key, 3)
    return [jax.random.normal(k, (*batch, *s)) for k, s in zip(keys_, shapes, strict=True)]


def numpy_attention(query, key, value, mask, bias, scale):
    """Equation 1, one query and one head at a time."""
    query, key, value = (np.asarray(x, np.float64) for x in (query, key, value))
    heads, group = query.shape[2], query.shape[2] // key.shape[2]
    output = np.zeros((*query.shape[:3], value.shape[-1]))
    for b, t, h in np.ndindex(query.shape[:3]):
        logits = key[b, :, h // group] @ query[b, t, h] * scale + bias[b, h, t]
        powers = np.exp(logits - logits.max()) * mask[b, h, t]
        output[b, t, h] = (powers / powers.sum()) @ value[b, :, h // group]
    assert heads == group * key.shape[2]
    return output


@pytest.mark.parametrize("key_heads", [4, 2, 1])
def test_equals_a_numpy_loop(key, key_heads):
    query, key_, value = arrays(key, key_heads=key_heads)
    rng = np.random.default_rng(0)
    mask = rng.random((2, 4, 4, 6)) < 0.7
    mask[..., 0] = True
    bias = rng.normal(size=(2, 4, 4, 6))
    got = attend(
        query, key_, value, mask=jnp.asarray(mask), bias=jnp.asarray(bias, jnp.float32), scale=0.3
    )
    want = numpy_attention(query, key_, value, mask, bias, 0.3)
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("key_heads", [4, 2])
@pytest.mark.parametrize("is_causal", [False, True])
def test_equals_jax_nn_in_values_and_gradients(key, key_heads, is_causal):
    query, key_, value = arrays(key, keys=4, key_heads=key_heads)
    value = jnp.concatenate([value, value], axis=-1)[..., :5]

    def total(function):
        return lambda *x: jnp.sum(jnp.sin(function(*x, is_causal=is_causal)))

    got = jax.jit(jax.value_and_grad(total(attention.dot_product_attention), (0, 1, 2)))
    want = jax.jit(jax.value_and_grad(total(jax.nn.dot_product_attention), (0, 1, 2)))
    pair = jax.tree.leaves(got(query, key_, value)), jax.tree.leaves(want(query, key_, value))
    for g, w in zip(*pair, strict=True):
        np.testing.assert_allclose(g, w, atol=2e-5)


def test_forward_mode_equals_reverse_mode(key):
    query, key_, value = arrays(key, batch=())

    def output(query):
        return attend(query, key_, value, is_causal=True)

    forward, reverse = jax.jit(jax.jacfwd(output))(query), jax.jit(jax.jacrev(output))(query)
    np.testing.assert_allclose(forward, reverse, atol=1e-5)


def test_causal_queries_do_not_see_later_keys(key):
    query, key_, value = arrays(key, queries=5, keys=5, batch=())

    def output(key_, value):
        return attend(query, key_, value, is_causal=True).sum((1, 2))

    for jacobian in jax.jit(jax.jacrev(output, (0, 1)))(key_, value):
        seen = np.abs(np.asarray(jacobian)).sum((2, 3))
        np.testing.assert_array_equal(seen[np.triu_indices(5, 1)], 0)
        assert (seen[np.tril_indices(5, -1)] > 0).all()


def test_a_query_that_may_attend_to_nothing_gets_the_average(key):
    query, key_, value = arrays(key)
    mask = jnp.ones((4, 6), bool).at[1].set(False)
    got = attend(query, key_, value, mask=mask)
    average = np.broadcast_to(np.asarray(value).mean(1), got[:, 1].shape)
    np.testing.assert_allclose(got[:, 1], average, atol=1e-6)
    want = jax.jit(jax.nn.dot_product_attention)(query, key_, key_, mask=mask[None, None])
    np.testing.assert_allclose(attend(query, key_, key_, mask=mask), want, atol=1e-5)


def test_mask_and_causality_both_hold(key):
    query, key_, value = arrays(key, queries=4, keys=4)
    mask = jnp.ones((4, 4), bool).at[:, 0].set(False).at[0, 0].set(True)
    _, weights = attend(query, key_, value, mask=mask, is_causal=True, return_weights=True)
    open_ = np.tril(np.asarray(mask))
    assert (np.asarray(weights)[..., open_] > 0).all()
    assert (np.asarray(weights)[..., ~open_] == 0).all()


def test_returned_weights_sum_to_one_and_make_the_output(key):
    query, key_, value = arrays(key, key_heads=2)
    output, weights = attend(query, key_, value, return_weights=True)
    assert weights.shape == (2, 4, 4, 6)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
    repeated = jnp.repeat(value, 2, axis=2)
    np.testing.assert_allclose(output, jnp.einsum("bhqk,bkhd->bqhd", weights, repeated), atol=1e-5)


def test_dropped_weights_keep_their_mean(key):
    """With values of one, the output is the sum of 400 kept weights: 1 ± 1/20."""
    query, key_ = jnp.zeros((50, 1, 2)), jnp.zeros((400, 1, 2))
    got = attend(query, key_, jnp.ones((400, 1, 1)), dropout_rate=0.5, dropout_key=key)
    assert abs(got.mean() - 1) < 4 / 20 / np.sqrt(50)
    assert got.std() > 0.01
    np.testing.assert_allclose(got * 200, jnp.round(got * 200), atol=1e-3)


def test_no_batch_axes_and_empty_batches(key):
    query, key_, value = arrays(key, batch=(2, 3))
    got = attend(query, key_, value)
    one = attend(query[1, 2], key_[1, 2], value[1, 2])
    np.testing.assert_allclose(got[1, 2], one, atol=1e-6)
    empty = attend(query[:0], key_[:0], value[:0])
    assert empty.shape == (0, 3, 4, 4, 3)


def bands(queries, keys, is_causal, window):
    """Say pair by pair who sees whom."""
    near = np.ones((queries, keys), bool)
    for i, j in np.ndindex(queries, keys):
        if is_causal and j > i:
            near[i, j] = False
        if window is not None and not (i - j < window if is_causal else abs(i - j) < window):
            near[i, j] = False
    return near


@pytest.mark.parametrize(("is_causal", "window"), [(True, 1), (True, 3), (False, 2)])
def test_windows_equal_a_numpy_loop(key, is_causal, window):
    query, key_, value = arrays(key, queries=6, key_heads=2)
    got = attend(query, key_, value, is_causal=is_causal, window=window)
    near = np.broadcast_to(bands(6, 6, is_causal, window), (2, 4, 6, 6))
    want = numpy_attention(query, key_, value, near, np.zeros(near.shape), 5**-0.5)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_a_query_whose_window_holds_no_key_gets_the_average(key):
    query, key_, value = arrays(key, queries=6, keys=3)
    got = attend(query, key_, value, window=2)
    average = np.broadcast_to(np.asarray(value).mean(1)[:, None], got[:, 4:].shape)
    np.testing.assert_allclose(got[:, 4:], average, atol=1e-6)
    weighted, _ = attend(query, key_, value, window=2, return_weights=True)
    np.testing.assert_allclose(got, weighted, atol=1e-6)


def test_capped_logits_equal_a_numpy_loop(key):
    query, key_, value = arrays(key, heads=1, key_heads=1)
    query = query * 5
    bias = jax.random.normal(key, (4, 6))
    got = attend(query, key_, value, bias=bias, logit_cap=2.0)
    want = np.zeros(got.shape)
    for b, i in np.ndindex(2, 4):
        logits = np.asarray(key_)[b, :, 0] @ np.asarray(query)[b, i, 0] / np.sqrt(5)
        powers = np.exp(2 * np.tanh(logits / 2) + np.asarray(bias)[i])
        want[b, i, 0] = powers @ np.asarray(value)[b, :, 0] / powers.sum()
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert not np.allclose(got, attend(query, key_, value, bias=bias), atol=1e-2)


# The last blocks are shorter than the others.
LONG = 150


def long_case(key, name):
    """Arguments of which each block must take its own part."""
    mask_key, bias_key = jax.random.split(key)
    draw = jax.random.bernoulli
    return {
        "causal": {"is_causal": True},
        "window": {"is_causal": True, "window": 20},
        "padding, a row of biases": {
            "is_causal": True,
            "mask": draw(mask_key, 0.8, (2, 1, 1, LONG)),
            "bias": jax.random.normal(bias_key, (4, 1, LONG)),
        },
        # Some queries are left with nothing, by the mask alone or together with causality.
        "any mask, any bias": {
            "is_causal": True,
            "logit_cap": 3.0,
            "mask": draw(mask_key, 0.5, (2, 1, LONG, LONG)).at[:, :, ::7].set(False),
            "bias": jax.random.normal(bias_key, (2, 4, LONG, LONG)),
        },
        "queries without keys, in a window": {
            "window": 20,
            "mask": draw(mask_key, 0.9, (LONG, 1)),
            "bias": jax.random.normal(bias_key, (LONG, 1)),
        },
    }[name]


@pytest.mark.parametrize(
    "name",
    [
        "causal",
        "window",
        "padding, a row of biases",
        "any mask, any bias",
        "queries without keys, in a window",
    ],
)
def test_blocks_equal_the_plain_form_in_values_and_derivatives(key, name):
    query, key_, value = arrays(key, queries=LONG, keys=LONG, key_heads=2)
    options = long_case(key, name)
    bias = options.pop("bias", jnp.zeros((1, 1)))

    def blocks(*x):
        return attention.dot_product_attention(*x[:3], bias=x[3], **options)

    def plain(*x):
        # Who asks for the weights gets all of them made at once.
        return attention.dot_product_attention(*x[:3], bias=x[3], return_weights=True, **options)[0]

    def both_ways(function):
        def run(*x):
            y, back = jax.vjp(function, *x)
            _, forward = jax.jvp(function, x, tuple(jnp.cos(a) for a in x))
            return y, back(jnp.sin(y)), forward

        return jax.jit(run)

    x = (query, key_, value, bias)
    pair = jax.tree.leaves(both_ways(blocks)(*x)), jax.tree.leaves(both_ways(plain)(*x))
    for got, want in zip(*pair, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-5 * max(1, np.abs(want).max()))


def test_blocks_leave_out_half_of_the_products_and_are_few(key):
    def products(is_causal, length):
        x = jax.ShapeDtypeStruct((length, 1, 64), jnp.float32)
        call = jax.jit(attention.dot_product_attention, static_argnames=STATIC)
        return call.lower(x, x, x, is_causal=is_causal).compile().cost_analysis()["flops"]

    assert products(True, 512) < 0.7 * products(False, 512)
    for length in (65, 129, 300, 2000, 5000):
        blocks = _blocks(length, length, True, None)
        assert 2 <= len(blocks) <= 16
        assert [b[0] for b in blocks[1:]] == [b[1] for b in blocks[:-1]]
        assert blocks[-1][1] == length


def test_cudnn_is_given_the_same_attention(key, monkeypatch):
    """Nobody has the card; the hand-over is held against the plain form of ``jax.nn``."""
    query, key_, value = (x.astype(jnp.bfloat16) for x in arrays(key, queries=6, key_heads=2))
    value = jnp.concatenate([value, value], axis=-1)[..., :5]
    options = {
        "mask": jax.random.bernoulli(key, 0.8, (2, 1, 1, 6)).at[..., 0].set(True),
        "bias": jax.random.normal(key, (4, 6, 6)),
        "is_causal": True,
    }
    kernel = jax.nn.dot_product_attention
    asked = []

    def fake(*arrays, implementation, **options):
        asked.append(implementation)
        return kernel(*arrays, implementation="xla", **options)

    want = attend(query, key_, value, **options)
    windowed = attend(query, key_, value, is_causal=True, window=2)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax.nn, "dot_product_attention", fake)
    got = attention.dot_product_attention(query, key_, value, implementation="cudnn", **options)
    np.testing.assert_allclose(got.astype(float), want.astype(float), atol=3e-2)
    got = attention.dot_product_attention(
        query, key_, value, implementation="cudnn", is_causal=True, window=2
    )
    np.testing.assert_allclose(got.astype(float), windowed.astype(float), atol=3e-2)
    assert asked == ["cudnn", "cudnn"]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"window": 0}, "`window` is 0; it needs a whole number above zero"),
        ({"logit_cap": -1.0}, "`logit_cap` is -1.0; it needs a finite number above zero"),
        ({"implementation": "flash"}, "`implementation` is 'flash'; it needs 'xla', 'cudnn'"),
        ({"implementation": "cudnn"}, "`implementation` is 'cudnn'; it needs an NVIDIA GPU"),
        (
            {"implementation": "cudnn", "return_weights": True},
            "`implementation` is 'cudnn'; it needs a call without `return_weights`",
        ),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_options_that_cannot_be_met_are_named(key, options, match):
    with pytest.raises(ValueError, match=f"dot_product_attention: {match}"):
        attention.dot_product_attention(*arrays(key), **options)


@pytest.mark.usefixtures("unchecked")
def test_cudnn_says_what_it_needs(key, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    wide = [jnp.ones((2, 4, 4, 5))] * 3
    half = [x.astype(jnp.bfloat16) for x in wide]
    for x, options, match in (
        (wide, {}, "`query` is .* it needs bfloat16 or float16"),
        ([*half[:2], half[2][..., :3]], {}, "`value` is .* it needs the shape of `key`"),
        (half, {"window": 2}, "`window` is 2; it needs `is_causal`"),
    ):
        with pytest.raises(ValueError, match=match):
            attention.dot_product_attention(*x, implementation="cudnn", **options)
