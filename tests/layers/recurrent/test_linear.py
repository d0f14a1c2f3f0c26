import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import lfilter

from jaxnn.layers import recurrent

METHODS = ("scan", "associative")


def sequences(key, shape=(2, 37, 3), *, imaginary=False):
    """Draw decays in the unit disc and inputs."""
    keys = jax.random.split(key, 3)
    decay = jax.random.uniform(keys[0], shape, minval=0.5, maxval=1.0)
    inputs = jax.random.normal(keys[1], shape)
    if imaginary:
        turn = jnp.exp(1j * jax.random.uniform(keys[2], shape, maxval=6.0))
        return decay * turn, inputs * (1 + 0.5j)
    return decay, inputs


def loop(decay, inputs, initial):
    states, h = [], initial
    for t in range(inputs.shape[-2]):
        h = decay[..., t, :] * h + inputs[..., t, :]
        states.append(h)
    return np.stack(states, axis=-2)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("imaginary", [False, True])
def test_equals_a_loop(method, imaginary, key):
    decay, inputs = sequences(key, imaginary=imaginary)
    initial = inputs[:, 0] * 2
    wide = [np.asarray(x).astype(np.complex128 if imaginary else np.float64) for x in (
        decay, inputs, initial)]  # fmt: skip
    got = jax.jit(recurrent.linear_recurrence, static_argnames="method")(
        decay, inputs, initial, method=method
    )
    np.testing.assert_allclose(got, loop(*wide), atol=1e-5)
    flipped = [np.flip(x, axis=-2) for x in wide[:2]]
    backward = recurrent.linear_recurrence(decay, inputs, initial, reverse=True, method=method)
    want = np.flip(loop(*flipped, wide[2]), axis=-2)
    np.testing.assert_allclose(backward, want, atol=1e-5)


def test_equals_a_filter_of_scipy(key):
    """A constant decay is a first-order filter, with its transfer function 1 / (1 - a / z)."""
    x = jax.random.normal(key, (50, 1))
    got = recurrent.linear_recurrence(jnp.array([0.8]), x)
    np.testing.assert_allclose(got[:, 0], lfilter([1], [1, -0.8], x[:, 0]), atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_derivatives_are_those_of_the_plain_scan(method, key):
    """First and second derivatives, forward over reverse, against autodiff of a scan."""

    def plain(decay, inputs):
        def step(h, now):
            h = now[0] * h + now[1]
            return h, h

        return jax.lax.scan(step, jnp.zeros_like(inputs[0]), (decay, inputs))[1]

    def ours(decay, inputs):
        return recurrent.linear_recurrence(decay, inputs, method=method)

    decay, inputs = sequences(key, (9, 2))

    def twice(run):
        def loss(pair):
            return jnp.sum(jnp.sin(run(*pair)))

        pair = (decay, inputs)
        return jax.jit(lambda: (jax.grad(loss)(pair), jax.jvp(jax.grad(loss), (pair,), (pair,))[1]))

    for want, got in zip(
        jax.tree.leaves(twice(plain)()), jax.tree.leaves(twice(ours)()), strict=True
    ):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_both_forms_agree_over_long_sequences(key):
    """2,048 steps to 1e-4; and 16,384 steps with decays near one stay finite and agree."""
    for steps, low in ((2048, 0.9), (16384, 0.999)):
        decay = jax.random.uniform(key, (steps, 4), minval=low, maxval=1.0)
        inputs = (1 - decay) * jax.random.normal(jax.random.key(1), (steps, 4))
        first, second = (
            recurrent.linear_recurrence(decay, inputs, method=method) for method in METHODS
        )
        assert bool(jnp.isfinite(first).all())
        np.testing.assert_allclose(first, second, atol=1e-4 * float(jnp.abs(first).max()))


def test_step_repeated_is_the_whole(key):
    decay, inputs = sequences(key, (5, 3))
    state = jnp.zeros(3)
    for t in range(5):
        state, _ = recurrent.linear_recurrence_step(state, inputs[t], decay[t])
    np.testing.assert_allclose(state, recurrent.linear_recurrence(decay, inputs)[-1], rtol=1e-5)
