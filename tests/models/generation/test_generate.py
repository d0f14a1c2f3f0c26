"""Generation through a cache writes what reading everything anew for each token writes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnn.layers.attention import LinearAttention
from jaxnn.layers.position import PositionEmbedding, alibi_bias, alibi_slopes
from jaxnn.models import Transformer
from jaxnn.models.generation import (
    chain,
    generate,
    init_cache,
    pad_prompts,
    repetition_penalty,
    sample,
    temperature,
    top_k,
)
from tests.models.generation.models import ROOM, VOCABULARY, Table, network, write_anew

PROMPTS = [[1, 2, 3, 4], [5, 6]]
NEW = 6


def alibi(query_positions, key_positions):
    return alibi_bias(query_positions, key_positions, alibi_slopes(2))


KINDS = {
    "rotary": {"num_key_value_heads": 1},
    "learned": {"rotary": None, "position": functools.partial(PositionEmbedding, ROOM)},
    "recurrent": {"attention": LinearAttention()},
    "scan": {"rotary": None, "position_bias": alibi, "scan": True, "depth": 2},
}


def log_probs_of(logits, tokens):
    return np.take_along_axis(jax.nn.log_softmax(logits), tokens[..., None], -1)[..., 0]


@pytest.mark.parametrize("kind", KINDS)
def test_writes_what_reading_anew_writes(kind):
    model, variables = network(**KINDS[kind])
    prompts, valid = pad_prompts(PROMPTS)
    got = generate(model, variables, prompts, valid=valid, new_tokens=NEW, log_probs=True)
    assert got.lengths.tolist() == [NEW, NEW]
    want, logits = write_anew(model, variables, PROMPTS, NEW)
    np.testing.assert_array_equal(got.tokens, want)
    np.testing.assert_allclose(got.log_probs, log_probs_of(logits, want), atol=1e-4)


def test_draws_with_transforms_are_those_of_each_step(key):
    model, variables = network()
    transform = chain(repetition_penalty(1.5), temperature(0.7), top_k(4))
    # The padding's token is not one that was seen.
    prompts, valid = pad_prompts(PROMPTS, length=5, pad_token=7)
    seen = np.zeros((2, VOCABULARY), bool)
    for row, prompt in zip(seen, PROMPTS, strict=True):
        row[prompt] = True

    def choose(i, z):
        tokens = sample(jax.random.fold_in(key, i), transform(jnp.asarray(z), jnp.asarray(seen)))
        seen[np.arange(2), tokens] = True
        return tokens

    want, logits = write_anew(model, variables, PROMPTS, 5, choose)
    options = {"key": key, "transform": transform, "log_probs": True, "max_length": ROOM}
    got = generate(model, variables, prompts, valid=valid, **options)
    np.testing.assert_array_equal(got.tokens, want)
    # The model's own probabilities, transforms aside.
    np.testing.assert_allclose(got.log_probs, log_probs_of(logits, want), atol=1e-4)


def test_a_stop_token_ends_its_row_only():
    model, variables = network()
    rows, _ = write_anew(model, variables, PROMPTS, NEW)
    stop = next(int(t) for t in rows[0] if t not in rows[1])
    prompts, valid = pad_prompts(PROMPTS)
    options = {"stop_tokens": (stop, 99), "pad_token": -1, "log_probs": True}
    got = generate(model, variables, prompts, valid=valid, new_tokens=NEW, **options)
    end = rows[0].tolist().index(stop) + 1
    assert end < NEW
    assert got.lengths.tolist() == [end, NEW]
    np.testing.assert_array_equal(got.tokens[0], [*rows[0, :end], *[-1] * (NEW - end)])
    np.testing.assert_array_equal(got.tokens[1], rows[1])
    assert (got.log_probs[0, end:] == 0).all()
    assert (got.log_probs[0, :end] < 0).all()


class Counted(nn.Module):
    """A model that says when it is traced."""

    inner: Transformer

    def __call__(self, tokens, valid=None):
        TRACES.append(tokens.shape)
        return self.inner(tokens, valid=valid)


TRACES: list = []


def test_other_prompts_keys_and_temperatures_use_the_same_program(key):
    model = Counted(network()[0])
    variables = jax.jit(model.init)(key, jnp.zeros((1, 3), jnp.int32))

    def write(prompts, k, t, variables):
        tokens, valid = pad_prompts(prompts, length=6)
        transform = chain(temperature(t), top_k(5))
        options = {"valid": valid, "max_length": 12, "stop_tokens": (3,)}
        return generate(model, variables, tokens, key=k, transform=transform, **options)

    TRACES.clear()
    first = write(PROMPTS, key, 0.5, variables)
    # Once for the sizes of the cache, once for prompts, once for one token.
    assert set(TRACES) == {(2, 12), (2, 6), (2, 1)}
    before = len(TRACES)
    other = jax.tree.map(lambda x: 2 * x, variables)
    second = write([[7], [8, 9, 10]], jax.random.key(1), 0.9, other)
    assert len(TRACES) == before
    assert first.tokens.shape == second.tokens.shape == (2, 6)
    assert not np.array_equal(first.tokens, second.tokens)


def test_under_jit_and_mapped_over_keys(key):
    model, variables = Table(), Table().init(key, np.zeros((1, 1), np.int32))
    prompts = np.array([[1, 2, 3], [4, 5, 6]])
    keys = jax.random.split(key, 3)

    @jax.jit
    def write(variables, prompts, key):
        return generate(model, variables, prompts, key=key, new_tokens=NEW, stop_tokens=(3,))

    one_by_one = [write(variables, prompts, k) for k in keys]
    mapped = jax.vmap(write, in_axes=(None, None, 0))(variables, prompts, keys)
    np.testing.assert_array_equal(mapped.tokens, np.stack([w.tokens for w in one_by_one]))
    np.testing.assert_array_equal(mapped.lengths, np.stack([w.lengths for w in one_by_one]))
    assert len({np.asarray(w.tokens).tobytes() for w in one_by_one}) > 1
    legacy = jax.random.key_data(key)
    np.testing.assert_array_equal(
        write(variables, prompts, legacy).tokens, write(variables, prompts, key).tokens
    )


def test_an_empty_cache_has_the_room_asked_for():
    model, variables = network(**KINDS["recurrent"])
    shapes = jax.eval_shape(lambda: variables)
    cache = init_cache(model, shapes, 3, 5, dtype=jnp.bfloat16)
    # A state of fixed size is kept in its own dtype.
    assert {x.dtype for x in jax.tree.leaves(cache)} == {jnp.dtype("float32"), jnp.dtype("int32")}
    model, variables = network()
    cache = init_cache(model, shapes, 3, 5, dtype=jnp.bfloat16)
    kept = cache["blocks_0"]["attention"]
    assert kept["cached_key"].shape == kept["cached_value"].shape == (3, 5, 2, 4)
    assert kept["cached_key"].dtype == jnp.bfloat16
    assert not any(np.any(x) for x in jax.tree.leaves(cache))


def test_a_cache_in_bfloat16_writes_on():
    model, variables = network()
    prompts, valid = pad_prompts(PROMPTS)
    options = {"new_tokens": 3, "log_probs": True, "cache_dtype": jnp.bfloat16}
    got = generate(model, variables, prompts, valid=valid, **options)
    # Keys and values are rounded, to 1/256 of themselves; the rest is not.
    tokens = np.asarray(got.tokens)
    _, logits = write_anew(model, variables, PROMPTS, 3, lambda i, _: tokens[:, i])
    off = np.abs(np.asarray(got.log_probs) - log_probs_of(logits, tokens))
    assert 0 < off.max() < 0.1
    assert got.log_probs.dtype == jnp.float32


def test_prompts_are_padded_on_the_left():
    tokens, valid = pad_prompts([[1], [2, 3, 4]], multiple=4, pad_token=9)
    assert tokens.tolist() == [[9, 9, 9, 1], [9, 2, 3, 4]]
    assert valid.tolist() == [[False] * 3 + [True], [False] + [True] * 3]
    assert pad_prompts([[1, 2]], length=3)[0].tolist() == [[0, 1, 2]]


MODEL, VARIABLES = Transformer(8, features=8, num_heads=2, depth=1), {"params": {}}
P = np.ones((2, 3), np.int32)
RIGHT = np.array([[True] * 3, [True, True, False]])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: generate(MODEL, VARIABLES, P), "generate: `new_tokens` is None and `max_length`"),
        (lambda: generate(MODEL, VARIABLES, P, new_tokens=1, max_length=4), "needs one of them"),
        (lambda: generate(MODEL, VARIABLES, P, new_tokens=0), "generate: `new_tokens` is 0"),
        (lambda: generate(MODEL, VARIABLES, P, max_length=3), "`max_length` is 3; .*above 3"),
        (lambda: generate(MODEL, VARIABLES, P[0], new_tokens=1), r"`prompts` .*\(batch, time\)"),
        (lambda: generate(MODEL, VARIABLES, P, new_tokens=1, valid=P), "`valid` .*booleans"),
        (
            lambda: generate(MODEL, VARIABLES, P, new_tokens=1, valid=RIGHT),
            "`valid` .*True in the last column.*Pad on the left",
        ),
        (
            lambda: generate(MODEL, VARIABLES, P, new_tokens=1, sampler=sample),
            "generate: `key` is None; it needs a random key",
        ),
        (
            lambda: generate(MODEL, VARIABLES, P, new_tokens=1, stop_tokens=("a",)),
            "`stop_tokens` .*whole numbers",
        ),
        (lambda: pad_prompts([]), "pad_prompts: `prompts` is .*at least one prompt"),
        (lambda: pad_prompts([[1], []]), r"`prompts\[1\]` is \[\]; .*at least one token"),
        (lambda: pad_prompts([[1, 2]], length=1), "`length` is 1; .*at least 2"),
        (lambda: init_cache(MODEL, VARIABLES, 0, 4), "init_cache: `batch` is 0"),
    ],
)
def test_bad_values_are_named(call, match):
    with pytest.raises(ValueError, match=match):
        call()


@pytest.mark.usefixtures("unchecked")
def test_bad_types_are_named():
    with pytest.raises(TypeError, match=r"generate: `prompts` .*whole numbers"):
        generate(MODEL, VARIABLES, P * 1.0, new_tokens=1)
    with pytest.raises(TypeError, match=r"generate: `key` is 3; it needs a random key"):
        generate(MODEL, VARIABLES, P, new_tokens=1, key=3)
    with pytest.raises(TypeError, match=r"generate: `sampler` is 0.8; it needs a function"):
        generate(MODEL, VARIABLES, P, new_tokens=1, sampler=0.8)
    with pytest.raises(TypeError, match=r"pad_prompts: `prompts\[0\]` .*whole numbers"):
        pad_prompts([["a"]])


@pytest.mark.usefixtures("unchecked")
def test_models_that_cannot_write_are_named():
    for options, match in (
        ({"is_causal": False}, "init_cache: `model` .*Is it causal"),
        ({"pooling": "mean"}, r"generate: `model` .*logits at each token"),
    ):
        model, variables = network(**options)
        with pytest.raises(ValueError, match=match):
            generate(model, variables, P, new_tokens=1)
