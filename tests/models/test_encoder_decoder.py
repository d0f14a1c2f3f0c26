"""Two stacks: what reaches what, halves alone, and settings; presets hold it against T5."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers.attention import MultiHeadAttention
from jaxnn.layers.position import RelativePositionBias
from jaxnn.models import EncoderDecoder, TransformerBlock, TransformerStack, stack_blocks

BIAS = functools.partial(RelativePositionBias, 2, num_buckets=8, max_distance=6)
MODEL = EncoderDecoder(
    11,
    features=8,
    depth=2,
    decoder_depth=3,
    num_heads=2,
    encoder_position_bias=BIAS,
    decoder_position_bias=functools.partial(BIAS, is_causal=True),
)
TOKENS = jnp.array([[1, 2, 3, 4], [5, 6, 7, 8]])
TARGETS = jnp.array([[0, 9, 8, 7, 6], [0, 1, 2, 3, 4]])


@pytest.fixture(scope="module")
def variables():
    made = jax.eval_shape(MODEL.init, jax.random.key(0), TOKENS, TARGETS)
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: jnp.asarray(0.5 * rng.normal(size=x.shape), x.dtype), made)


@pytest.fixture(scope="module")
def logits(variables):
    return jax.jit(MODEL.apply)(variables, TOKENS, TARGETS)


def test_it_is_two_stacks_around_one_embedding(variables, logits):
    params = variables["params"]
    table = params["tokens"]["embedding"]
    block = functools.partial(TransformerBlock, 2)

    def bias(half, **options):
        module = BIAS(**options)
        return functools.partial(module.apply, {"params": params[f"{half}_positions"]})

    encoder = TransformerStack(2, block, position_bias=bias("encoder"))
    context = encoder.apply({"params": params["encoder"]}, table[TOKENS])
    assert isinstance(context, jax.Array)
    decoder = TransformerStack(
        3,
        functools.partial(block, cross=MultiHeadAttention),
        is_causal=True,
        position_bias=bias("decoder", is_causal=True),
    )
    x = decoder.apply({"params": params["decoder"]}, table[TARGETS], context)
    want = x @ params["head"]["kernel"] + params["head"]["bias"][None, None]
    np.testing.assert_allclose(logits, want, atol=1e-5)
    got = MODEL.apply(variables, TOKENS, method="encode")
    np.testing.assert_allclose(got, context, atol=1e-5)


def test_a_target_reaches_later_rows_only_and_a_token_all(variables, logits):
    apply = jax.jit(MODEL.apply)
    change = np.abs(apply(variables, TOKENS, TARGETS.at[:, 2].set(10)) - logits).max((0, 2))
    assert np.all(change[:2] == 0)
    assert np.all(change[2:] > 1e-4)
    change = np.abs(apply(variables, TOKENS.at[:, 3].set(10), TARGETS) - logits).max((0, 2))
    assert np.all(change > 1e-4)


def test_padding_changes_nothing(variables, logits):
    tokens = jnp.concatenate([jnp.full((2, 2), 10), TOKENS], axis=1)
    valid = jnp.broadcast_to(jnp.arange(6) >= 2, tokens.shape)
    got = jax.jit(MODEL.apply)(variables, tokens, TARGETS, valid=valid)
    np.testing.assert_allclose(got, logits, atol=1e-5)


def test_scan_and_ties(variables, logits):
    params = variables["params"]
    halves = {half: stack_blocks(params[half]) for half in ("encoder", "decoder")}
    scanned = MODEL.clone(scan=True, remat=True)
    got = jax.jit(scanned.apply)({"params": {**params, **halves}}, TOKENS, TARGETS)
    np.testing.assert_allclose(got, logits, atol=1e-5)
    bare = {name: x for name, x in params.items() if name != "head"}
    tied = MODEL.clone(tie_embeddings=True, head_scale=0.5)
    got, sown = tied.apply({"params": bare}, TOKENS, TARGETS, mutable=["intermediates"])
    features = sown["intermediates"]["features"][0]
    np.testing.assert_allclose(got, features @ params["tokens"]["embedding"].T, atol=1e-5)


@pytest.mark.usefixtures("unchecked")
def test_bad_use_is_named(variables, key):
    with pytest.raises(ValueError, match="EncoderDecoder: `outputs` is 3; it needs the vocabulary"):
        MODEL.clone(outputs=3, tie_embeddings=True).init(key, TOKENS, TARGETS)
    with pytest.raises(TypeError, match="EncoderDecoder: `tokens` has dtype float32"):
        MODEL.apply(variables, TOKENS * 1.0, TARGETS)
    with pytest.raises(ValueError, match="`context` is None; it needs what `cross` is to read"):
        MODEL.apply(variables, TARGETS, method="decode")
