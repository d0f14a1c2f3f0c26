"""Reading in pieces through a cache gives what reading at once gives."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers.attention import (
    CollinearAttention,
    LinearAttention,
    MultiHeadAttention,
    SelectiveAttention,
    SparseAttention,
    sigmoid_attention,
)
from jaxnn.layers.position import PositionEmbedding, alibi_bias, alibi_slopes
from jaxnn.models import Transformer, TransformerBlock
from tests.models.test_transformer import perturbed

VOCABULARY, TIME = 11, 6
ROTARY = {"num_key_value_heads": 1}
# A sigmoid counts its keys, unless told a number.
SIGMOID = {"attention": functools.partial(sigmoid_attention, logit_bias=-1.0)}
LEARNED = {"rotary": None, "position": functools.partial(PositionEmbedding, 9)}


WINDOW = {
    "block": functools.partial(
        TransformerBlock, 2, mixer=functools.partial(MultiHeadAttention, window=3)
    )
}
SELECTIVE = {
    "block": functools.partial(
        TransformerBlock, 2, mixer=functools.partial(SelectiveAttention, share_heads=False)
    )
}
COLLINEAR = {"block": functools.partial(TransformerBlock, 2, mixer=CollinearAttention)}
LINEAR = {"attention": LinearAttention()}
SPARSE = {"attention": SparseAttention(stride=2)}
HALVES = {"attention": SparseAttention(3, pattern="fixed", part="heads")}


def alibi(query_positions, key_positions):
    return alibi_bias(query_positions, key_positions, alibi_slopes(2))


ALIBI = {"rotary": None, "position_bias": alibi}


def network(**options):
    model = Transformer(VOCABULARY, features=8, depth=2, num_heads=2, **options)
    tokens = jax.random.randint(jax.random.key(1), (2, TIME), 0, VOCABULARY)
    variables = perturbed(jax.jit(model.init)(jax.random.key(0), tokens), jax.random.key(2))
    return model, variables, tokens


def in_pieces(model, variables, tokens, sizes, room, valid=None):
    """Read ``tokens`` in pieces of these sizes into a cache with this much room."""
    shape = (tokens.shape[0], room)
    _, state = jax.eval_shape(
        lambda: model.apply(variables, jnp.zeros(shape, jnp.int32), mutable=["cache"])
    )
    cache = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), state["cache"])
    apply = jax.jit(functools.partial(model.apply, mutable=["cache"]))
    logits, start = [], 0
    for size in sizes:
        piece = slice(start, start + size)
        some = None if valid is None else valid[:, piece]
        y, state = apply({**variables, "cache": cache}, tokens[:, piece], valid=some)
        logits.append(y)
        cache, start = state["cache"], start + size
    return jnp.concatenate(logits, axis=1), cache


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(ROTARY, id="rotary"),
        pytest.param(SIGMOID, id="sigmoid", marks=pytest.mark.slow),
        pytest.param(LEARNED, id="learned", marks=pytest.mark.slow),
        pytest.param(ALIBI, id="alibi", marks=pytest.mark.slow),
        pytest.param({"scan": True}, id="scan"),
        pytest.param(WINDOW, id="window"),
        pytest.param(SELECTIVE, id="selective", marks=pytest.mark.slow),
        pytest.param(COLLINEAR, id="collinear", marks=pytest.mark.slow),
        pytest.param(LINEAR, id="linear"),
        pytest.param(SPARSE, id="sparse", marks=pytest.mark.slow),
        pytest.param(HALVES, id="sparse-heads"),
    ],
)
def test_pieces_equal_the_whole(options):
    model, variables, tokens = network(**options)
    want = jax.jit(model.apply)(variables, tokens)
    got, _ = in_pieces(model, variables, tokens, (3, 1, 2), room=TIME + 2)
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("options", [ROTARY, LEARNED, ALIBI], ids=["rotary", "learned", "alibi"])
def test_padding_on_the_left_changes_nothing(options):
    model, variables, tokens = network(**options)
    want = jax.jit(model.apply)(variables, tokens)
    padded = jnp.concatenate([jnp.full((2, 2), 7), tokens], axis=1)
    valid = jnp.broadcast_to(jnp.arange(TIME + 2) >= 2, padded.shape)
    got, cache = in_pieces(model, variables, padded, (4, 1, 3), room=9, valid=valid)
    np.testing.assert_allclose(got[:, 2:], want, atol=1e-5)
    np.testing.assert_array_equal(cache["count"], [TIME, TIME])


def test_an_empty_cache_is_made_and_init_makes_none():
    model, variables, tokens = network()
    assert set(variables) == {"params"}
    y, state = model.apply(variables, tokens, mutable=["cache"])
    np.testing.assert_allclose(y, model.apply(variables, tokens), atol=1e-6)
    cache = state["cache"]
    assert cache["blocks_0"]["attention"]["cached_key"].shape == (2, TIME, 2, 4)
    assert not any(np.any(x) for x in jax.tree.leaves(cache))


def test_context_is_projected_once(key):
    x, context = jax.random.normal(key, (2, 3, 8)), jax.random.normal(key, (2, 5, 8))
    module = MultiHeadAttention(2)
    variables = jax.jit(module.init)(key, x, context)
    want = module.apply(variables, x, context)
    _, state = module.apply(variables, x[:, :1], context, mutable=["cache"])
    assert state["cache"]["context_key"].shape == (2, 5, 2, 4)
    got, _ = module.apply({**variables, **state}, x, mutable=["cache"])
    np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.usefixtures("unchecked")
def test_bad_use_is_named(key):
    model, variables, tokens = network()
    with pytest.raises(ValueError, match=r"Transformer: `input` .*needs at most 3 steps"):
        in_pieces(model, variables, tokens, (4,), room=3)
    module = MultiHeadAttention(2)
    x = jnp.ones((2, 3, 8))
    variables = jax.jit(module.init)(key, x)
    mask = jnp.ones((3, 3), bool)
    with pytest.raises(ValueError, match=r"MultiHeadAttention: `mask` .*one for each key of `x`"):
        module.apply(variables, x, mask=mask, is_causal=True, mutable=["cache"])
