import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import spiking

kernel = jax.jit(spiking.delay_kernel, static_argnames="max_delay")
layer = jax.jit(spiking.delayed_dense, static_argnames=("max_delay", "time_axis"))


def loop_kernel(weight, delay, sigma, taps):
    """The paper's equation, whose taps run from the oldest: n = 0 is a lag of T_d - 1."""
    out = np.zeros((taps, *weight.shape))
    for i, j in np.ndindex(*weight.shape):
        n = np.arange(taps)
        bump = np.exp(-0.5 * ((n - taps + delay[i, j] + 1) / sigma) ** 2)
        out[:, i, j] = weight[i, j] * bump / bump.sum()
    return out[::-1]


@pytest.fixture
def synapses(key):
    weight_key, delay_key = jax.random.split(key)
    weight = jax.random.normal(weight_key, (4, 3))
    return weight, jax.random.uniform(delay_key, (4, 3), maxval=6.0)


@pytest.mark.parametrize("sigma", [3.0, 0.5])
def test_kernel_equals_the_papers_loop(synapses, sigma):
    weight, delay = (np.asarray(v, float) for v in synapses)
    got = kernel(*synapses, jnp.float32(sigma), max_delay=6)
    np.testing.assert_allclose(got, loop_kernel(weight, delay, sigma, 7), atol=1e-5)
    np.testing.assert_allclose(got.sum(0), weight, atol=1e-5)


def test_rounded_synapses_are_shifts(synapses, key):
    """Each input reaches each output after its own whole number of steps, and not before."""
    weight, delay = (np.asarray(v, float) for v in synapses)
    x = np.asarray(jax.random.normal(key, (2, 9, 4)))
    want = np.zeros((2, 9, 3))
    for i, j in np.ndindex(4, 3):
        lag = round(delay[i, j])
        want[:, lag:, j] += weight[i, j] * x[:, : 9 - lag, i]
    np.testing.assert_allclose(layer(x, *synapses, None, max_delay=6), want, atol=1e-5)
    whole = jnp.round(synapses[1])
    narrow = layer(x, synapses[0], whole, 0.05, max_delay=6)
    np.testing.assert_allclose(narrow, want, atol=1e-5)
    first = layer(jnp.moveaxis(x, 1, 0), *synapses, None, max_delay=6, time_axis=0)
    np.testing.assert_allclose(jnp.moveaxis(first, 0, 1), want, atol=1e-5)


def test_broad_kernel_is_a_causal_convolution(synapses, key):
    x = jax.random.normal(key, (9, 4))
    taps = loop_kernel(*(np.asarray(v, float) for v in synapses), 2.0, 7)
    want = np.full((9, 3), 0.5)
    for t in range(9):
        for k in range(min(t, 6) + 1):
            want[t] += np.asarray(x[t - k], float) @ taps[k]
    got = layer(x, *synapses, 2.0, max_delay=6, bias=jnp.full(3, 0.5))
    np.testing.assert_allclose(got, want, atol=1e-5)
    # A sequence shorter than the longest delay is no special case.
    short = layer(x[:2], *synapses, 2.0, max_delay=6, bias=jnp.full(3, 0.5))
    np.testing.assert_allclose(short, want[:2], atol=1e-5)


def test_descent_moves_a_delay_to_the_planted_lag():
    x = jnp.zeros((16, 1)).at[2].set(1.0)
    target = jnp.zeros(16).at[2 + 4].set(1.0)

    @jax.jit
    @jax.grad
    def gradient(delay, sigma):
        y = spiking.delayed_dense(x, jnp.ones((1, 1)), delay[None, None], sigma, max_delay=8)
        return jnp.sum((y[:, 0] - target) ** 2)

    assert gradient(jnp.float32(2.0), 2.0) < 0 < gradient(jnp.float32(7.5), 2.0)
    assert abs(gradient(jnp.float32(4.0), 1.0)) < 1e-5
    delay = jnp.float32(1.0)
    for step in range(60):
        delay = delay - 2.0 * gradient(delay, 4.0 * 0.97**step)
    assert abs(delay - 4) < 0.1


def test_delays_outside_count_as_the_nearer_end_and_can_return():
    one = jnp.ones((1, 1))
    for outside, end in ((-3.0, 0.0), (9.0, 6.0)):
        for sigma in (None, 1.0):
            got, want = (kernel(one, d * one, sigma, max_delay=6) for d in (outside, end))
            np.testing.assert_allclose(got, want, atol=1e-6)

    def centre(delay):
        taps = spiking.delay_kernel(one, delay[None, None], 1.0, max_delay=6)
        return jnp.sum(jnp.arange(7.0) * taps[:, 0, 0])

    for outside in (-3.0, 9.0):
        assert jax.grad(centre)(jnp.float32(outside)) > 0.1


def test_module_trains_spread_and_infers_rounded(key):
    x = (jax.random.uniform(key, (2, 9, 4)) < 0.3).astype(jnp.float32)
    module = spiking.DelayedDense(3, max_delay=6)
    variables = jax.jit(module.init)(key, x)
    params = variables["params"]
    assert params["delay"].min() >= 0
    assert 4 < params["delay"].max() <= 6
    assert variables["delays"]["sigma"] == 3
    apply = functools.partial(layer, x, params["kernel"], params["delay"], max_delay=6)
    np.testing.assert_allclose(module.apply(variables, x), apply(sigma=None), atol=1e-6)
    np.testing.assert_allclose(module.apply({"params": params}, x), apply(sigma=None), atol=1e-6)
    scheduled = {"params": params, "delays": {"sigma": jnp.float32(0.7)}}
    got, kept = module.apply(scheduled, x, mutable=["delays"])
    np.testing.assert_allclose(got, apply(sigma=0.7), atol=1e-6)
    assert kept["delays"]["sigma"] == jnp.float32(0.7)
    again = module.apply(scheduled, x, rounded=False)
    np.testing.assert_allclose(again, got, atol=1e-6)
    assert np.abs(got - apply(sigma=3.0)).max() > 1e-2
