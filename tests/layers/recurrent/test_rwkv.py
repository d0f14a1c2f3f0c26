import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import recurrent


def draw(key, *shapes):
    return [
        jax.random.normal(k, s)
        for k, s in zip(jax.random.split(key, len(shapes)), shapes, strict=True)
    ]


def naive(k, v, w, u):
    """Sum over all pairs of steps, in float64."""
    k, v, w, u = (np.asarray(x, np.float64) for x in (k, v, w, u))
    y = np.zeros_like(v)
    for t in range(len(k)):
        weights = [np.exp(-(t - 1 - s) * w + k[s]) for s in range(t)] + [np.exp(u + k[t])]
        y[t] = sum(e * v[s] for s, e in enumerate(weights)) / sum(weights)
    return y


@pytest.mark.parametrize("method", ["scan", "associative"])
def test_equals_the_sum_over_pairs(method, key):
    k, v, w, u = draw(key, (9, 3), (9, 3), (3,), (3,))
    w = jnp.exp(w)
    y, last = jax.jit(recurrent.wkv, static_argnames="method")(k, v, w, u, method=method)
    np.testing.assert_allclose(y, naive(k, v, w, u), atol=1e-5)
    # The state is the plain sums: what the next step reads.
    ages = np.arange(8, -1, -1)[:, None] * np.asarray(w) - np.asarray(k)
    scale = np.exp(last.exponent)
    np.testing.assert_allclose(last.denominator * scale, np.exp(-ages).sum(axis=0), rtol=1e-5)
    want = (np.exp(-ages) * v).sum(axis=0)
    np.testing.assert_allclose(last.numerator * scale, want, rtol=1e-4, atol=1e-5)


def test_large_keys_do_not_overflow(key):
    """Keys shifted by any number give the same averages, though e^200 is not in float32."""
    k, v, w, u = draw(key, (6, 2), (6, 2), (2,), (2,))
    w = jnp.exp(w)
    want, _ = recurrent.wkv(k, v, w, u)
    for shift in (200.0, -200.0):
        y, _ = recurrent.wkv(k + shift, v, w, u)
        np.testing.assert_allclose(y, want, atol=1e-4)


def test_stretches_join_and_long_ones_stay_finite(key):
    layer = recurrent.RWKVTimeMix()
    x = jax.random.normal(key, (16384, 3))
    variables = jax.jit(layer.init)(key, x[:2])
    apply = jax.jit(layer.apply)
    whole, last = apply(variables, x[:2048])
    state, parts = None, []
    for start, stop in ((0, 1), (1, 1025), (1025, 2048)):
        y, state = apply(variables, x[start:stop], state)
        parts.append(y)
    np.testing.assert_allclose(jnp.concatenate(parts), whole, atol=1e-4)
    for got, want in zip(jax.tree.leaves(state), jax.tree.leaves(last), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-4)
    y, state = apply(variables, x)
    assert bool(jnp.isfinite(y).all())
    channels = recurrent.RWKVChannelMix(hidden=4)
    variables = channels.init(key, x[:2])
    whole, _ = channels.apply(variables, x[:5])
    first, state = channels.apply(variables, x[:3])
    rest, _ = channels.apply(variables, x[3:5], state)
    np.testing.assert_allclose(jnp.concatenate([first, rest]), whole, atol=1e-6)


@pytest.mark.parametrize("kind", [recurrent.RWKVTimeMix, recurrent.RWKVChannelMix])
def test_equal_perspectives_are_one(kind, key):
    """Three streams with the μ of one give what one gives; with their own, they differ."""
    x = jax.random.normal(key, (5, 4))
    streams = jnp.broadcast_to(x, (3, 5, 4))
    many = kind(perspectives=3)
    params = dict(many.init(key, streams)["params"])
    apart, _ = many.apply({"params": params}, streams)
    assert np.abs(apart[0] - apart[1]).max() > 1e-3
    one = {n: p[0] if n.endswith("mix") else p for n, p in params.items()}
    want, _ = kind().apply({"params": one}, x)
    # The first stream's μ are where a single one's start.
    np.testing.assert_allclose(apart[0], want, atol=1e-6)
    fresh = dict(kind().init(key, x)["params"])
    assert all(jnp.array_equal(one[name], fresh[name]) for name in fresh if name.endswith("mix"))
    same = {
        n: jnp.broadcast_to(p[:1], p.shape) if n.endswith("mix") else p for n, p in params.items()
    }
    together, _ = many.apply({"params": same}, streams)
    for stream in together:
        np.testing.assert_allclose(stream, want, atol=1e-6)
    mixed = recurrent.mix_perspectives(streams, together, jax.random.normal(key, (4, 3)))
    np.testing.assert_allclose(mixed, want, atol=1e-6)


def test_perspectives_are_weighted_by_their_mean(key):
    x, outputs, kernel = draw(key, (2, 3, 4), (2, 3, 5), (4, 2))
    got = recurrent.mix_perspectives(x, outputs, kernel)
    for t in range(3):
        logits = np.asarray(x[:, t]).mean(axis=0) @ np.asarray(kernel)
        weights = np.exp(logits) / np.exp(logits).sum()
        np.testing.assert_allclose(got[t], weights @ np.asarray(outputs[:, t]), atol=1e-5)


def test_equals_transformers(key):
    """Both halves of the block against the published port, with its parameters."""
    torch = pytest.importorskip("torch")
    module = pytest.importorskip("transformers.models.rwkv.modeling_rwkv")
    transformers = pytest.importorskip("transformers")
    config = transformers.RwkvConfig(
        vocab_size=5, context_length=8, hidden_size=4, num_hidden_layers=1, intermediate_size=6
    )
    x = jax.random.normal(key, (2, 7, 4))
    for theirs, ours in (
        (module.RwkvSelfAttention(config), recurrent.RWKVTimeMix()),
        (module.RwkvFeedForward(config), recurrent.RWKVChannelMix(hidden=6)),
    ):
        params = {}
        for n, (name, p) in enumerate(theirs.named_parameters()):
            values = np.asarray(jax.random.normal(jax.random.key(n), tuple(p.shape)))
            p.data = torch.from_numpy(values.copy())
            if name.startswith("time_mix"):
                params[f"{name.removeprefix('time_mix_')}_mix"] = values[0, 0]
            elif name.startswith("time_"):
                params[{"time_decay": "log_decay", "time_first": "bonus"}[name]] = values
            else:
                name = name.removesuffix(".weight").replace("output", "out")
                params[f"{name}_kernel"] = values.T
        with torch.no_grad():
            want, _ = theirs(torch.from_numpy(np.array(x)))
        got, _ = ours.apply({"params": jax.tree.map(jnp.asarray, params)}, x)
        np.testing.assert_allclose(got, want.numpy(), atol=1e-5)
