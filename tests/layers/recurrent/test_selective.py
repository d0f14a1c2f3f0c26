import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.layers import recurrent

LAYER = recurrent.SelectiveSSM(2, states=3, channels=4)


def silu(x):
    return x / (1 + np.exp(-x))


def loop(x, step, rate, b, c, skip, h):
    """The paper's recurrence for one sequence, channel by channel, in float64."""
    x, step, rate, b, c, skip, h = (np.array(a, np.float64) for a in (x, step, rate, b, c, skip, h))
    y = np.zeros_like(x)
    for t in range(len(x)):
        for k in range(x.shape[1]):
            h[k] = np.exp(step[t, k] * rate[k]) * h[k] + step[t, k] * b[t] * x[t, k]
            y[t, k] = c[t] @ h[k] + skip[k] * x[t, k]
    return y, h


def test_equals_a_loop(key):
    shapes = (9, 4), (9, 4), (4, 3), (9, 3), (9, 3), (4,), (4, 3)
    keys = jax.random.split(key, len(shapes))
    x, step, rate, *rest = (jax.random.normal(k, s) for k, s in zip(keys, shapes, strict=True))
    args = x, jax.nn.softplus(step), -jnp.exp(rate), *rest
    y, last = jax.jit(recurrent.selective_state_space)(*args)
    want, h = loop(*args)
    np.testing.assert_allclose(y, want, atol=1e-5)
    np.testing.assert_allclose(last, h, atol=1e-5)


def test_one_state_forgets_as_a_gate_does(key):
    """A = -1 and Δ = softplus(z): what is kept is 1 - σ(z)."""
    z, one = jax.random.normal(key, (1, 5)), jnp.ones((1, 1))
    none, rate = jnp.zeros((1, 5)), -jnp.ones((5, 1))
    _, h = recurrent.selective_state_space(
        none, jax.nn.softplus(z), rate, one, one, None, jnp.ones((5, 1))
    )
    np.testing.assert_allclose(h[:, 0], 1 - jax.nn.sigmoid(z[0]), atol=1e-6)


def test_layer_is_its_equations(key):
    """Convolution, maps, softplus, gate and projections, in NumPy."""
    x = jax.random.normal(key, (6, 2))
    variables = jax.jit(LAYER.init)(key, x)
    bias = jax.random.normal(jax.random.key(1), (4,))
    variables["params"]["conv_bias"] = bias
    y, _ = jax.jit(LAYER.apply)(variables, x)
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables["params"])
    np.testing.assert_allclose(np.exp(p["log_rate"]), np.tile([1.0, 2, 3], (4, 1)), rtol=1e-6)
    first = np.log1p(np.exp(p["step_bias"]))
    assert (first > 0.99e-3).all()
    assert (first < 1.01e-1).all()
    drive = np.asarray(x, np.float64) @ p["inputs"]["kernel"]
    u, gate = drive[:, :4], drive[:, 4:]
    mixed = np.tile(p["conv_bias"], (6, 1))
    for t in range(6):
        for back in range(min(t + 1, 4)):
            mixed[t] += p["conv_kernel"][3 - back] * u[t - back]
    u = silu(mixed)
    maps = u @ p["maps"]["kernel"]
    step = np.log1p(np.exp(maps[:, :1] @ p["step"]["kernel"] + p["step_bias"]))
    rate = -np.exp(p["log_rate"])
    want, _ = loop(u, step, rate, maps[:, 1:4], maps[:, 4:], p["skip"], np.zeros((4, 3)))
    np.testing.assert_allclose(y, (want * silu(gate)) @ p["outputs"]["kernel"], atol=1e-5)


def test_stretches_of_time_join(key):
    """2,048 steps in stretches, single steps among them, give the output and state of the whole."""
    x = jax.random.normal(key, (2048, 2))
    variables = jax.jit(LAYER.init)(key, x[:1])
    apply = jax.jit(LAYER.apply)
    whole, last = apply(variables, x)
    state, parts = None, []
    for start, stop in ((0, 1023), (1023, 1024), (1024, 1025), (1025, 2048)):
        y, state = apply(variables, x[start:stop], state)
        parts.append(y)
    np.testing.assert_allclose(jnp.concatenate(parts), whole, atol=1e-4)
    for got, want in zip(state, last, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-4)


def test_finite_over_long_sequences_and_causal(key):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(16384, 2)), jnp.float32)
    variables = jax.jit(LAYER.init)(key, x[:1])
    apply = jax.jit(lambda x: LAYER.apply(variables, x)[0])
    y = apply(x)
    assert bool(jnp.isfinite(y).all())
    assert float(jnp.abs(y).max()) < 100
    changed = apply(x.at[9000].add(1.0))
    assert (y[:9000] == changed[:9000]).all()
    assert float(jnp.abs(y - changed)[9000:9004].max()) > 1e-4
