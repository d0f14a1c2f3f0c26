import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import attention
from jaxnn.layers.position import sinusoidal_embedding
from tests.layers.attention.test_multi_head import perturbed

SAME = functools.partial(attention.FixedCompression, 1)
CONVOLUTION = functools.partial(attention.ConvolutionCompression, 2)


def start(module, key, x):
    return perturbed(jax.jit(module.init)(key, x), key)["params"]


def read(module, params, segments, memory=None, *, collections=("memory",), **options):
    """Read segment after segment; give the outputs and what each call returned."""

    @jax.jit
    def call(memory, x):
        variables = {"params": params} if memory is None else {"params": params, "memory": memory}
        return module.apply(variables, x, mutable=list(collections), **options)

    outputs, afters = [], []
    for x in segments:
        y, after = call(memory, x)
        memory = after["memory"]
        outputs.append(y)
        afters.append(after)
    return jnp.stack(outputs), afters


def test_segments_with_a_long_memory_are_full_attention(key):
    x = jax.random.normal(key, (2, 12, 8))
    module = attention.CompressiveAttention(2, memory=9)
    params = start(module, key, x[:, :3])
    whole = jax.jit(module.apply)({"params": params}, x)
    segments = x.reshape(2, 4, 3, 8).swapaxes(0, 1)
    pieces, _ = read(module, params, segments)
    np.testing.assert_allclose(pieces.swapaxes(0, 1).reshape(2, 12, 8), whole, atol=1e-5)
    shorter, _ = read(module.clone(memory=8), params, segments)
    assert jnp.abs(shorter - pieces)[-1].max() > 1e-4
    assert jnp.abs(shorter - pieces)[:-1].max() < 1e-5


def test_a_rate_of_one_is_transformer_xl(key):
    segments = jax.random.normal(key, (6, 2, 3, 8))
    module = attention.CompressiveAttention(
        2, memory=4, compressed_memory=5, compression=SAME, use_bias=True
    )
    params = start(module, key, segments[0])
    longer = module.clone(memory=9, compressed_memory=0)
    got, want = (read(m, params, segments)[0] for m in (module, longer))
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_it_is_relative_attention_to_compressed_recent_and_new(key):
    x = jax.random.normal(key, (2, 4, 8))
    module = attention.CompressiveAttention(
        2, memory=3, compressed_memory=2, compression=CONVOLUTION
    )
    p = start(module, key, x)
    segments = jax.random.normal(key, (3, 2, 4, 8))
    _, afters = read(module, p, segments)
    memory = afters[-1]["memory"]
    # After 12 inputs the last 3 are recent; of the 4 that left before them, 2 are made.
    recent, left = (
        segments[2, :, 1:],
        jnp.concatenate([segments[1, :, 1:], segments[2, :, :1]], axis=1),
    )
    kernel, bias = p["compression"]["kernel"], p["compression"]["bias"]
    pairs = left.reshape(2, 2, 2, 8)
    made = jnp.einsum("bjcf,cfg->bjg", pairs, kernel) + bias[None, None]
    np.testing.assert_array_equal(memory["recent"].states, recent)
    np.testing.assert_allclose(memory["compressed"].states, made, atol=1e-5)

    states = jnp.concatenate([made, recent, x], axis=1)

    def split(name, y):
        return (y @ p[name]["kernel"]).reshape(*y.shape[:-1], 2, 4)

    distances = sinusoidal_embedding(jnp.arange(8, -1, -1), 8)
    y = attention.relative_attention(
        split("query", x),
        split("key", states),
        split("value", states),
        split("distance", distances),
        p["content_bias"],
        p["position_bias"],
        is_causal=True,
    )
    want = y.reshape(2, 4, 8) @ p["out"]["kernel"]
    got = jax.jit(module.apply)({"params": p, "memory": memory}, x)  # not mutable: only read
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_padding_is_not_remembered(key):
    x = jax.random.normal(key, (3, 2, 4, 8))
    module = attention.CompressiveAttention(
        2, memory=3, compressed_memory=4, compression=CONVOLUTION
    )
    params = start(module, key, x[0])
    mask = jnp.ones((2, 1, 1, 4), bool).at[0, ..., 2].set(False)
    outputs = [read(module, params, x.at[0, 0, 2].set(value), mask=mask)[0] for value in (0.0, 5.0)]
    # Each segment masks its third place, whose own output is not looked at.
    change = jnp.abs(outputs[1] - outputs[0]).at[0, 0, 2].set(0)
    assert change.max() == 0
    plain = [read(module, params, x.at[0, 0, 2].set(value))[0] for value in (0.0, 5.0)]
    assert jnp.abs(plain[1] - plain[0])[2].max() > 1e-4


def test_usage_is_the_attention_received(key):
    segments = jax.random.normal(key, (3, 2, 4, 8))
    module = attention.CompressiveAttention(
        2,
        memory=4,
        compressed_memory=2,
        compression=functools.partial(
            attention.FixedCompression, 2, attention.most_used_compression
        ),
    )
    params = start(module, key, segments[0])
    _, afters = read(module, params, segments, collections=("memory", "intermediates"))
    weights = [a["intermediates"]["attention_weights"][0].mean((1, 2)) for a in afters]
    usage = [a["memory"]["recent"].usage for a in afters]
    np.testing.assert_allclose(usage[0], weights[0][:, 6:], atol=1e-6)
    np.testing.assert_allclose(usage[1], weights[1][:, 6:], atol=1e-6)
    # The first segment left with what it received in its own and in the second.
    total = np.asarray(weights[0][:, 6:] + weights[1][:, 2:6])
    kept = np.sort(np.argsort(-total, axis=-1)[:, :2], axis=-1)
    want = np.take_along_axis(np.asarray(segments[0]), kept[..., None], axis=1)
    np.testing.assert_array_equal(afters[1]["memory"]["compressed"].states, want)


def test_reconstruction_loss_trains_the_compression_only(key):
    segments = jax.random.normal(key, (3, 2, 4, 8))
    module = attention.CompressiveAttention(
        2, memory=3, compressed_memory=2, compression=CONVOLUTION
    )
    params = start(module, key, segments[0])

    @jax.jit
    def slopes(params, segments):
        def loss(params, segments):
            memory, after = None, {}
            for x in segments:
                variables = {"params": params} | ({} if memory is None else {"memory": memory})
                _, after = module.apply(variables, x, mutable=["memory", "losses"])
                memory = after["memory"]
            return sum(jax.tree.leaves(after["losses"]))

        return jax.grad(loss, argnums=(0, 1))(params, segments)

    by_params, by_inputs = slopes(params, segments)
    assert jnp.all(by_inputs == 0)
    moved = jax.tree.map(lambda x: bool(jnp.any(x != 0)), by_params)
    compression = moved.pop("compression")
    assert compression == {"kernel": True, "bias": True}
    assert not any(jax.tree.leaves(moved))


def test_losses_are_sown_where_there_is_something_to_train(key):
    x = jax.random.normal(key, (1, 2, 4, 8))
    for compression, sown in ((CONVOLUTION, True), (SAME, False)):
        module = attention.CompressiveAttention(
            2, memory=3, compressed_memory=2, compression=compression
        )
        variables = jax.eval_shape(module.init, key, x[0])
        assert set(variables) == {"params"}
        assert ("compression" in variables["params"]) is sown
        shapes = jax.eval_shape(
            functools.partial(module.apply, mutable=["memory", "losses"]), variables, x[0]
        )
        assert ("losses" in shapes[1]) is sown


def test_it_reads_both_ways_if_asked_and_drops_weights(key):
    x = jax.random.normal(key, (1, 4, 8))
    module = attention.CompressiveAttention(2, dropout_rate=0.5)
    params = {"params": start(module, key, x)}

    @jax.jit
    def outputs(params, x):
        plain, causal = module.apply(params, x, is_causal=False), module.apply(params, x)
        dropped = module.apply(params, x, rngs={"dropout": key})
        kept = module.apply(params, x, rngs={"dropout": key}, deterministic=True)
        return plain, causal, dropped, kept

    both, causal, dropped, kept = outputs(params, x)
    both_moved, causal_moved, *_ = outputs(params, x.at[0, 3].add(1.0))
    assert jnp.all(jnp.abs(both_moved - both)[0, :3].max(-1) > 1e-4)
    np.testing.assert_array_equal(causal_moved[0, :3], causal[0, :3])
    assert jnp.abs(dropped - causal).max() > 1e-3
    np.testing.assert_allclose(kept, causal, atol=1e-6)


@pytest.mark.usefixtures("unchecked")
def test_bad_use_is_named(key):
    module = attention.CompressiveAttention(2, memory=3, compressed_memory=2)

    def shapes(call, *inputs, **options):
        return jax.eval_shape(functools.partial(call, **options), *inputs)

    x = jax.ShapeDtypeStruct((2, 4, 8), jnp.float32)
    one = jax.ShapeDtypeStruct((1, 4, 8), jnp.float32)
    short = jax.ShapeDtypeStruct((2, 2, 8), jnp.float32)
    params = shapes(module.init, key, x)
    _, after = shapes(module.apply, params, x, mutable=["memory"])
    with pytest.raises(ValueError, match=r"`compressed` is .*\(2, 2, 8\).*made for another batch"):
        shapes(module.apply, {**params, **after}, one)
    with pytest.raises(ValueError, match=r"`slots` is .* at least 3 slots.*shorter than the rate"):
        shapes(module.apply, params, short, mutable=["memory"])
    with pytest.raises(ValueError, match=r"`cache` is 'mutable'; .* the collection `memory`"):
        shapes(module.apply, params, x, mutable=["cache"])
