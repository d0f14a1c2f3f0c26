"""Where the parts of a block stand, what scales and skips them, and blocks in one scan."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnn.layers import attention, feedforward, normalization
from jaxnn.models import (
    Transformer,
    TransformerBlock,
    TransformerStack,
    stack_blocks,
    unstack_blocks,
)
from tests.models.test_transformer import TINY, TOKENS, perturbed

PARTS = {"attention": attention.MultiHeadAttention(2), "feedforward": feedforward.FeedForward(12)}


def ready(module, x, *context):
    """Initialise a module, move its parameters off their initial values, and compile it."""
    variables = perturbed(jax.jit(module.init)(jax.random.key(0), x, *context), jax.random.key(1))
    return variables, jax.jit(module.apply, static_argnames="mutable")


def part(variables, name):
    return functools.partial(PARTS[name].apply, {"params": variables["params"][name]})


def norm(variables, name):
    return functools.partial(
        normalization.LayerNorm().apply, {"params": variables["params"][f"{name}_norm"]}
    )


@pytest.mark.parametrize("order", ["sandwich", "inner"])
def test_norms_stand_where_the_order_says(key, order):
    x = jax.random.normal(key, (2, 3, 8))
    variables, apply = ready(TransformerBlock(2, hidden_features=12, norm_order=order), x)
    want = x
    for name in PARTS:
        run = part(variables, name)
        if order == "sandwich":
            before, after = norm(variables, name), norm(variables, f"{name}_out")
            want = want + after(run(before(want)))
        else:
            want = want + norm(variables, name)(run(want))
    np.testing.assert_allclose(apply(variables, x), want, atol=1e-5)


def test_parallel_parts_read_the_same_stream(key):
    x = jax.random.normal(key, (2, 3, 8))
    variables, apply = ready(TransformerBlock(2, hidden_features=12, parallel=True), x)
    want = x + sum(part(variables, name)(norm(variables, name)(x)) for name in PARTS)
    np.testing.assert_allclose(apply(variables, x), want, atol=1e-5)


def test_scales_multiply_the_stream_and_the_parts(key):
    x = jax.random.normal(key, (2, 3, 8))
    block = TransformerBlock(2, hidden_features=12, residual_scale=3.0, layer_scale=0.5)
    params = jax.jit(block.init)(key, x)["params"]
    np.testing.assert_array_equal(params["attention_scale"], np.full(8, 0.5))
    variables, apply = ready(block, x)
    want = x
    for name in PARTS:
        scale = variables["params"][f"{name}_scale"][None, None]
        want = 3 * want + scale * part(variables, name)(norm(variables, name)(want))
    np.testing.assert_allclose(apply(variables, x), want, atol=1e-4)


def test_stochastic_depth_skips_whole_parts_of_whole_examples(key):
    x = jax.random.normal(key, (400, 3, 8))
    block = TransformerBlock(2, hidden_features=12, stochastic_depth=0.25)
    variables, apply = ready(block, x)
    plain = TransformerBlock(2, hidden_features=12)
    np.testing.assert_allclose(apply(variables, x), plain.apply(variables, x), atol=1e-5)
    # With a feed-forward part that adds nothing, only attention changes the stream.
    down = jax.tree.map(jnp.zeros_like, variables["params"]["feedforward"])
    silent = {"params": {**variables["params"], "feedforward": down}}
    change = apply(silent, x, rngs={"dropout": key}) - x
    full = apply(silent, x) - x
    kept = np.asarray(jnp.abs(change).sum((1, 2)) > 0)
    np.testing.assert_allclose(change[kept], full[kept] / 0.75, atol=1e-5)
    # 400 draws at 3/4: five standard deviations are 0.11.
    assert abs(kept.mean() - 0.75) < 0.11


def test_a_part_between_reads_a_context(key):
    x, context = jax.random.normal(key, (2, 3, 8)), jax.random.normal(key, (2, 5, 6))
    cross = functools.partial(attention.MultiHeadAttention, use_bias=False)
    block = TransformerBlock(2, hidden_features=12, cross=cross)
    variables, apply = ready(block, x, context)
    mask = jnp.arange(5) < 4
    got = apply(variables, x, context, context_mask=mask[None, None, None])
    want = x + part(variables, "attention")(norm(variables, "attention")(x))
    read = cross(2).apply(
        {"params": variables["params"]["cross"]}, norm(variables, "cross")(want), context[:, :4]
    )
    want = want + read
    want = want + part(variables, "feedforward")(norm(variables, "feedforward")(want))
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_blocks_take_turns(key):
    blocks = [functools.partial(TransformerBlock, 2, hidden_features=h) for h in (4, 6)]
    model = Transformer(**{**TINY, "depth": 3}, block=blocks)
    params = jax.jit(model.init)(key, TOKENS)["params"]
    widths = [params[f"blocks_{i}"]["feedforward"]["up"]["kernel"].shape[1] for i in range(3)]
    assert widths == [4, 6, 4]


@pytest.mark.parametrize("remat", [False, True, jax.checkpoint_policies.dots_saveable])
@pytest.mark.parametrize("scan", [False, True])
def test_scan_and_remat_change_no_figure(scan, remat):
    plain = Transformer(**TINY)
    variables, apply = ready(plain, TOKENS)
    model = plain.clone(scan=scan, remat=remat)
    params = variables["params"]

    def loss(params, model):
        return jnp.mean(model.apply({"params": params}, TOKENS) ** 2)

    want = jax.jit(jax.grad(functools.partial(loss, model=plain)))(params)
    stacked = stack_blocks(params) if scan else params
    got = jax.jit(jax.grad(functools.partial(loss, model=model)))(stacked)
    got = unstack_blocks(got) if scan else got
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    logits = jax.jit(model.apply)({"params": stacked}, TOKENS)
    np.testing.assert_allclose(logits, apply(variables, TOKENS), atol=1e-5)


def test_stacking_is_undone_and_shapes_are_those_of_scan(key):
    model = Transformer(**TINY, scan=True)
    params = jax.jit(model.init)(key, TOKENS)["params"]
    kernel = params["blocks"]["attention"]["query"]["kernel"]
    assert kernel.shape == (2, 8, 8)
    # Each block starts from its own key.
    assert not np.allclose(kernel[0], kernel[1])
    again = stack_blocks(unstack_blocks(params))
    jax.tree.map(np.testing.assert_array_equal, again, params)


def test_stack_is_the_transformer_between_embedding_and_head(key):
    model = Transformer(**TINY, rotary=None, is_causal=False)
    variables, apply = ready(model, TOKENS)
    _, sown = apply(variables, TOKENS, mutable=("intermediates",))
    params = dict(variables["params"])
    x = params.pop("tokens")["embedding"][TOKENS]
    params.pop("head")
    stack = TransformerStack(2, functools.partial(TransformerBlock, 2))
    got = jax.jit(stack.apply)({"params": params}, x)
    np.testing.assert_allclose(got, sown["intermediates"]["features"][0], atol=1e-5)


def test_embedding_options(key):
    model = Transformer(
        **TINY, rotary=None, token_types=2, embedding_norm=True, embedding_scale=3.0, logit_cap=0.5,
        tie_embeddings=True, embedding_features=6,
    )  # fmt: skip
    types = (TOKENS > 3).astype(jnp.int32)
    variables, apply = ready(model, TOKENS)
    params = dict(variables["params"])
    assert "head" not in params
    logits = apply(variables, TOKENS, types=types)
    table = params["tokens"]["embedding"]
    x = 3 * table[TOKENS] @ params["widen"]["kernel"] + params["types"]["embedding"][types]
    x = normalization.LayerNorm().apply({"params": params["embedding_norm"]}, x)
    stack = TransformerStack(2, functools.partial(TransformerBlock, 2), is_causal=True)
    inner = {name: params[name] for name in ("blocks_0", "blocks_1", "norm")}
    x = stack.apply({"params": inner}, x) @ params["narrow"]["kernel"]
    want = 0.5 * np.tanh(np.asarray(x @ table.T) / 0.5)
    np.testing.assert_allclose(logits, want, atol=1e-5)
    bare = model.clone(head=False).apply(variables, TOKENS, types=types)
    np.testing.assert_allclose(bare, x, atol=1e-5)


def test_a_pooler_maps_what_the_head_reads(key):
    model = Transformer(**TINY, pooling="first", pooler=functools.partial(feedforward.Dense, 5))
    variables, apply = ready(model, TOKENS)
    params = variables["params"]
    bare = model.clone(head=False, pooler=None).apply({"params": params}, TOKENS)
    for name in ("pooler", "head"):
        bare = bare @ params[name]["kernel"] + params[name]["bias"][None]
    np.testing.assert_allclose(apply(variables, TOKENS), bare, atol=1e-5)


@pytest.mark.usefixtures("unchecked")
def test_bad_settings_are_named(key):
    x = jnp.ones((2, 3, 8))
    with pytest.raises(ValueError, match="TransformerBlock: `norm_order` is 'peri'; it needs one"):
        TransformerBlock(2, norm_order="peri").init(key, x)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"TransformerBlock: `parallel` .*needs norm_order 'pre'"):
        TransformerBlock(2, norm_order="post", parallel=True).init(key, x)
    with pytest.raises(ValueError, match="TransformerBlock: `context` is None; it needs what"):
        TransformerBlock(2, cross=attention.MultiHeadAttention).init(key, x)
    with pytest.raises(TypeError, match=r"TransformerBlock: `attention` is a module; .* `mixer="):
        TransformerBlock(2, attention=nn.Dense(3)).init(key, x)
    with pytest.raises(ValueError, match="Transformer: `outputs` is 3; it needs the vocabulary"):
        Transformer(**TINY, outputs=3, tie_embeddings=True).init(key, TOKENS)
    with pytest.raises(ValueError, match=r"stack_blocks: `params` .*needs blocks_0"):
        stack_blocks({"head": 1})
    with pytest.raises(ValueError, match=r"unstack_blocks: `params` .*needs an entry `blocks`"):
        unstack_blocks({"head": 1})
