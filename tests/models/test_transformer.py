import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnn.layers import attention, feedforward, normalization, position
from jaxnn.models._transformer import Transformer, TransformerBlock, TransformerConfig

TINY = {"vocabulary": 11, "features": 8, "depth": 2, "num_heads": 2}
TOKENS = jnp.array([[1, 5, 3, 3, 9], [0, 2, 10, 4, 7]])


def perturbed(variables, key):
    leaves, structure = jax.tree.flatten(variables)
    keys = jax.random.split(key, len(leaves))
    moved = [v + 0.3 * jax.random.normal(k, v.shape) for v, k in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(structure, moved)


@functools.cache
def tiny(**options):
    model = Transformer(**TINY, **options)
    variables = perturbed(jax.jit(model.init)(jax.random.key(0), TOKENS), jax.random.key(1))
    return model, variables, compiled(model)


def compiled(model):
    """Compile a model's application; eager, every operation would be compiled on its own."""
    return jax.jit(model.apply, static_argnames=("deterministic", "mutable"))


@pytest.mark.parametrize("norm_first", [True, False])
def test_block_is_its_parts_in_order(key, norm_first):
    x = jax.random.normal(key, (2, 3, 8))
    block = TransformerBlock(2, hidden_features=12, norm_order="pre" if norm_first else "post")
    variables = perturbed(jax.jit(block.init)(key, x), key)
    parts = {
        "attention": attention.MultiHeadAttention(2),
        "feedforward": feedforward.FeedForward(12),
    }
    want = x
    for name, part in parts.items():
        norm = functools.partial(
            normalization.LayerNorm().apply, {"params": variables["params"][f"{name}_norm"]}
        )
        run = functools.partial(part.apply, {"params": variables["params"][name]})
        want = want + run(norm(want)) if norm_first else norm(want + run(want))
    np.testing.assert_allclose(jax.jit(block.apply)(variables, x), want, atol=1e-5)


def test_parameter_paths_are_readable():
    _, variables, _ = tiny()
    paths = {"/".join(k.key for k in p) for p, _ in jax.tree.leaves_with_path(variables["params"])}
    assert {
        "tokens/embedding",
        "blocks_0/attention_norm/scale",
        "blocks_0/attention/query/kernel",
        "blocks_1/attention/out/bias",
        "blocks_1/feedforward/up/kernel",
        "norm/bias",
        "head/kernel",
    } <= paths


@pytest.mark.parametrize("is_causal", [True, False])
def test_causal_logits_do_not_depend_on_later_tokens(is_causal):
    """By gradient with respect to the embedded tokens."""
    model = Transformer(**TINY, is_causal=is_causal)
    _, variables, _ = tiny()
    one_hot = jax.nn.one_hot(TOKENS[0], 11)
    table = variables["params"]["tokens"]["embedding"]

    def logits(one_hot):
        # Each position is its own token, whose embedding is a function of the one-hot row.
        rows = {"tokens": {"embedding": one_hot @ table}}
        params = {**variables["params"], **rows}
        renamed = model.clone(vocabulary=5, outputs=11)
        return renamed.apply({"params": params}, jnp.arange(5)[None])[0].sum(-1)

    seen = np.abs(jax.jit(jax.jacrev(logits))(one_hot)).sum(-1)
    assert (seen[np.tril_indices(5)] > 0).all()
    later = seen[np.triu_indices(5, 1)]
    assert (later == 0).all() if is_causal else (later > 0).all()


def test_padding_changes_nothing():
    """A row padded on the right has the logits of the row without padding."""
    padded = jnp.concatenate([TOKENS, jnp.full((2, 2), 6)], axis=1)
    valid = jnp.arange(7)[None] < jnp.array([[5], [5]])
    for pooling in (None, "mean", "last"):
        _, variables, apply = tiny(is_causal=False, pooling=pooling)
        want = apply(variables, TOKENS)
        got = apply(variables, padded, valid=valid)
        got = got[:, :5] if pooling is None else got
        np.testing.assert_allclose(got, want, atol=1e-5)
        assert not np.allclose(apply(variables, padded)[:, : want.shape[1]], got, atol=1e-2)


def test_last_pooling_finds_the_last_real_token():
    model, variables, apply = tiny(pooling="last")
    each = compiled(model.clone(pooling=None))(variables, TOKENS)
    valid = jnp.array([[True, True, False, False, False], [True] * 5])
    got = apply(variables, TOKENS, valid=valid)
    np.testing.assert_allclose(got, jnp.stack([each[0, 1], each[1, 4]]), atol=1e-5)


@pytest.mark.parametrize("kind", ["rotary", "alibi", "sinusoidal", "learned"])
def test_order_matters_with_positions_and_not_without(kind):
    config = TransformerConfig(vocabulary=11, width=8, num_heads=2, hidden=8, position=kind)
    model = config.build((5,), 3)
    variables = perturbed(jax.jit(model.init)(jax.random.key(0), TOKENS), jax.random.key(1))
    apply = compiled(model)
    # Not a mirror image: seen from both sides, ALiBi's distances are the same in a mirror.
    mixed = TOKENS[:, jnp.array([1, 0, 2, 4, 3])]
    assert not np.allclose(apply(variables, TOKENS), apply(variables, mixed), atol=1e-3)
    blind = model.clone(position=None, rotary=None, position_bias=None)
    apply = compiled(blind)
    both = [apply(variables, tokens) for tokens in (TOKENS, mixed)]
    np.testing.assert_allclose(*both, atol=1e-5)


def test_slots_are_called_for_every_part(key):
    calls = []

    def dense(features, **options):
        calls.append(("dense", options["name"]))
        return feedforward.Dense(features, **options)

    def norm(**options):
        calls.append(("norm", options["name"]))
        return normalization.RMSNorm(**options)

    class Shift(nn.Module):
        features: int
        dtype: object = None
        param_dtype: object = jnp.float32

        def __call__(self, x):
            calls.append(("feedforward", self.features))
            return jnp.roll(x, 1, axis=-1)

    def attend(query, key, value, *, mask, bias, is_causal):
        calls.append(("attention", is_causal))
        return value

    model = Transformer(
        **{**TINY, "depth": 1}, attention=attend, feedforward=Shift, norm=norm, dense=dense
    )
    model.init(key, TOKENS)
    projections = [("dense", name) for name in ("query", "key", "value", "out")]
    assert set(calls) == {
        *projections,
        ("dense", "head"),
        ("norm", "attention_norm"),
        ("norm", "feedforward_norm"),
        ("norm", "norm"),
        ("attention", True),
        ("feedforward", 8),
    }


def test_dense_reaches_the_default_feedforward(key):
    names = []

    def dense(features, **options):
        names.append(options["name"])
        return feedforward.Dense(features, **options)

    TransformerBlock(2, dense=dense).init(key, jnp.ones((2, 3, 8)))
    assert names == ["query", "key", "value", "out", "up", "down"]


def test_promised_intermediates_are_there():
    _, variables, apply = tiny()
    _, sown = apply(variables, TOKENS, mutable=("intermediates",))
    sown = sown["intermediates"]
    (features,) = sown["features"]
    assert features.shape == (2, 5, 8)
    assert sown["blocks_1"]["attention"]["attention_weights"][0].shape == (2, 2, 5, 5)


def test_drops_exactly_when_given_a_key(key):
    model, variables, _ = tiny()
    apply = compiled(model.clone(dropout_rate=0.5))
    plain = apply(variables, TOKENS)
    np.testing.assert_array_equal(plain, apply(variables, TOKENS, deterministic=True))
    assert not np.allclose(plain, apply(variables, TOKENS, rngs={"dropout": key}))
    forced = apply(variables, TOKENS, deterministic=True, rngs={"dropout": key})
    np.testing.assert_array_equal(plain, forced)


def test_bfloat16_logits_are_near_float32():
    model, variables, apply = tiny()
    low = compiled(model.clone(dtype=jnp.bfloat16))(variables, TOKENS)
    assert low.dtype == jnp.bfloat16
    want = apply(variables, TOKENS)
    # 1/128 of each of a dozen roundings.
    np.testing.assert_allclose(low, want, atol=0.1 * float(jnp.abs(want).max()))


def test_every_config_builds_and_steps_once(key):
    for choice in (
        TransformerConfig(vocabulary=11, width=8, num_heads=2, hidden=8, depth=1),
        TransformerConfig(
            vocabulary=11, width=8, num_heads=2, hidden=8, depth=1, attention="sigmoid",
            pooling="none", causal=True,
        ),
    ):  # fmt: skip
        model = choice.build((5,), 3)
        params = jax.jit(model.init)(key, TOKENS)["params"]

        def loss(params, model=model):
            return jnp.mean(model.apply({"params": params}, TOKENS, rngs={"dropout": key}) ** 2)

        gradients = jax.jit(jax.grad(loss))(params)
        assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(gradients))
        # A key's bias moves all logits of a softmax row alike: its gradient is zero.
        dead = [
            "/".join(k.key for k in path)
            for path, g in jax.tree.leaves_with_path(gradients)
            if jnp.abs(g).max() == 0
        ]
        assert all(path.endswith("key/bias") for path in dead)


def test_config_builds_what_it_says():
    model = TransformerConfig(
        vocabulary=7, width=16, depth=3, num_heads=4, hidden=20, attention="sigmoid",
        position="learned", pooling="none", causal=True, dropout=0.2,
    ).build((9,), 5)  # fmt: skip
    assert (model.vocabulary, model.outputs, model.features, model.depth) == (7, 5, 16, 3)
    assert (model.hidden_features, model.dropout_rate, model.is_causal) == (20, 0.2, True)
    assert model.attention is attention.sigmoid_attention
    assert model.pooling is None
    assert isinstance(model.position, functools.partial)
    assert model.position.func is position.PositionEmbedding
    assert model.rotary is None


@pytest.mark.usefixtures("unchecked")
def test_bad_input_is_named(key):
    model = Transformer(**TINY)
    with pytest.raises(TypeError, match="Transformer: `tokens` has dtype float32"):
        model.init(key, jnp.ones((2, 3)))
    with pytest.raises(ValueError, match=r"Transformer: `tokens` .*needs shape \(batch, time\)"):
        model.init(key, TOKENS[0])
    with pytest.raises(ValueError, match=r"Transformer: `valid` .*booleans of shape \(2, 5\)"):
        model.init(key, TOKENS, valid=jnp.ones((2, 5)))
    with pytest.raises(ValueError, match=r"TransformerConfig: `input_shape` is \(8, 8\)"):
        TransformerConfig().build((8, 8), 10)
    with pytest.raises(ValueError, match=r"TransformerConfig: `num_heads` is 5; .*width 64"):
        TransformerConfig(num_heads=5).build((8,), 10)
    with pytest.raises(ValueError, match="TransformerConfig: `dropout` is 1"):
        TransformerConfig(dropout=1.0).build((8,), 10)
