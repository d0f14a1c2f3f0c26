"""Segments and what is remembered of them; layers.attention holds the values."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers.attention import FixedCompression
from jaxnn.models import CompressiveTransformer, CompressiveTransformerConfig, stack_blocks

MODEL = CompressiveTransformer(
    11, features=8, depth=2, num_heads=2, memory=3, compressed_memory=2, hidden_features=12
)
TEXT = jax.random.randint(jax.random.key(0), (4, 2, 6), 0, 11)  # segments, rows, time


@pytest.fixture(scope="module")
def params():
    return jax.jit(MODEL.init)(jax.random.key(0), TEXT[0])["params"]


def read(model, params, text):
    """Read a text in one scan over its segments."""

    def step(memory, tokens):
        logits, after = model.apply(
            {"params": params, "memory": memory}, tokens, mutable=["memory", "losses"]
        )
        losses = jnp.stack(jax.tree.leaves(after["losses"])) if "losses" in after else 0
        return after["memory"], (logits, losses)

    return jax.jit(functools.partial(jax.lax.scan, step))(model.initial_memory(2), text)


def test_a_scan_over_segments_carries_the_memory(params):
    memory, (logits, losses) = read(MODEL, params, TEXT)
    assert logits.shape == (4, 2, 6, 11)
    assert losses.shape == (4, 2)
    # Nothing had left the recent memory that was not empty but the first segment's first half.
    assert jnp.all(losses > 0)
    assert jax.tree.map(jnp.shape, memory) == jax.tree.map(jnp.shape, MODEL.initial_memory(2))
    changed = read(MODEL, params, TEXT.at[0, 0, 0].add(1) % 11)[1][0]
    reached = np.abs(changed - logits).max((2, 3))
    assert np.all(reached[:3, 0] > 1e-6)
    assert np.all(reached[:, 1] == 0)
    # Alone, a segment is a plain causal transformer's.
    alone = jax.jit(MODEL.apply)({"params": params}, TEXT[0])
    np.testing.assert_allclose(alone, logits[0], atol=1e-5)


def test_blocks_in_a_scan_remember_too(params):
    scanned = MODEL.clone(scan=True, remat=True)
    got = read(scanned, stack_blocks(params), TEXT)[1]
    want = read(MODEL, params, TEXT)[1]
    np.testing.assert_allclose(got[0], want[0], atol=1e-5)
    np.testing.assert_allclose(got[1].sum(), want[1].sum(), rtol=1e-5)


def test_a_rate_of_one_is_transformer_xl(params):
    same = MODEL.clone(compression=functools.partial(FixedCompression, 1))
    longer = MODEL.clone(memory=5, compressed_memory=0)
    got, want = (read(model, params, TEXT)[1][0] for model in (same, longer))
    np.testing.assert_allclose(got, want, atol=1e-5)


@pytest.mark.parametrize("compression", ["convolution", "dilated", "mean", "max", "most_used"])
def test_config_builds_each_compression(key, compression):
    config = CompressiveTransformerConfig(
        width=8, depth=1, num_heads=2, hidden=8, memory=4, compressed_memory=4,
        rate=2, compression=compression,
    )  # fmt: skip
    model = config.build((6,), 11)
    variables = jax.eval_shape(model.init, key, TEXT[0])
    learned = compression in ("convolution", "dilated")
    assert ("compression" in variables["params"]["blocks_0"]["attention"]) is learned
    call = functools.partial(model.apply, mutable=["memory"])
    logits, after = jax.eval_shape(call, {**variables, "memory": model.initial_memory(2)}, TEXT[0])
    assert logits.shape == (2, 6, 11)
    assert after["memory"]["blocks_0"]["attention"]["compressed"].states.shape == (2, 4, 8)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"rate": 7}, "CompressiveTransformerConfig: `rate` is 7; it needs at most the 6 tokens"),
        ({"memory": -1}, "`memory` is -1; it needs a whole number of at least 0"),
        ({"num_heads": 3}, "`num_heads` is 3; .*divisor of the width 128"),
    ],
)
def test_bad_options_are_named(options, match):
    with pytest.raises(ValueError, match=match):
        CompressiveTransformerConfig(**options).build((6,), 11)
    with pytest.raises(ValueError, match=r"`input_shape` is \(2, 3\)"):
        CompressiveTransformerConfig().build((2, 3), 11)
