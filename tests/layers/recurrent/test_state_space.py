from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import cont2discrete

from jaxnn.layers import recurrent

LAYER = recurrent.LSSL(3, states=8)


def systems(states, steps, method: Literal["bilinear", "zoh"] = "bilinear"):
    """Discretise the HiPPO system for channels of several steps."""
    a, b = recurrent.hippo_legs(states)
    steps = jnp.asarray(steps)
    a = jnp.broadcast_to(a, (*steps.shape, *a.shape))
    return recurrent.discretize(a, jnp.broadcast_to(b, a.shape[:-1]), steps, method=method)


def test_hippo_is_its_table():
    a, b = recurrent.hippo_legs(6)
    for n in range(6):
        assert float(b[n]) == pytest.approx((2 * n + 1) ** 0.5)
        for k in range(6):
            below = -(((2 * n + 1) * (2 * k + 1)) ** 0.5)
            want = below if n > k else -(n + 1) if n == k else 0
            assert float(a[n, k]) == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("method", ["bilinear", "zoh"])
def test_discretization_is_that_of_scipy(method):
    steps = np.array([0.003, 0.1, 0.7], np.float32)
    got_a, got_b = systems(6, steps, method)
    a, b = (np.asarray(x, np.float64) for x in recurrent.hippo_legs(6))
    for k, step in enumerate(steps):
        one = np.zeros((1, 6))
        system: Any = cont2discrete((a, b[:, None], one, [[0]]), step, method)
        want_a, want_b = system[:2]
        np.testing.assert_allclose(got_a[k], want_a, atol=2e-5)
        np.testing.assert_allclose(got_b[k], want_b[:, 0], atol=2e-5)


def test_recurrence_and_convolution_agree_with_a_loop(key):
    """512 steps: both views against a NumPy loop in float64."""
    a, b = systems(16, [0.002, 0.1])
    random = np.random.default_rng(0)
    x, c, skip = (
        jnp.asarray(random.normal(size=shape), jnp.float32) for shape in ((512, 2), (2, 16), (2,))
    )
    seen = jax.jit(recurrent.state_space_scan)(x, a, b, c, skip)
    heard = jax.jit(recurrent.state_space_convolution)(x, a, b, c, skip)
    kernel = jax.jit(recurrent.state_space_kernel, static_argnames="time")(a, b, c, time=512)
    xs, a, b, c, d = (np.asarray(each, np.float64) for each in (x, a, b, c, skip))
    h, want, answers, power = np.zeros((2, 16)), [], [], b
    for t in range(512):
        h = np.stack([a[k] @ h[k] + b[k] * xs[t, k] for k in range(2)])
        want.append(np.sum(c * h, axis=-1) + d * xs[t])
        answers.append(np.sum(c * power, axis=-1))
        power = np.stack([a[k] @ power[k] for k in range(2)])
    np.testing.assert_allclose(seen[0], want, atol=1e-4)
    np.testing.assert_allclose(seen[1], h, atol=1e-4)
    np.testing.assert_allclose(heard, want, atol=1e-4)
    np.testing.assert_allclose(kernel.T, answers, atol=1e-4)


def test_the_convolution_does_not_wrap_around():
    """A kernel longer than the sequence: the last input is not heard at the first step."""
    one = jnp.ones((1, 1))
    x = jnp.zeros((8, 1)).at[7].set(1.0)
    y = jax.jit(recurrent.state_space_convolution)(x, 0.999 * one[None], one, one)
    np.testing.assert_allclose(y[:7], 0, atol=1e-6)
    np.testing.assert_allclose(y[7], 1, atol=1e-6)


def test_stretches_of_time_join(key):
    """A convolution, then recurrences from its state, are the convolution of 2,048 steps."""
    x = jnp.asarray(np.random.default_rng(1).normal(size=(2048, 2)), jnp.float32)
    variables = jax.jit(LAYER.init)(key, x[:1])
    steps = np.exp(variables["params"]["log_step"])
    assert (steps >= 0.999e-3).all()
    assert (steps <= 1.001e-1).all()
    apply = jax.jit(LAYER.apply)
    whole, last = apply(variables, x)
    state, parts = None, []
    for start, stop in ((0, 1024), (1024, 1025), (1025, 2048)):
        y, state = apply(variables, x[start:stop], state)
        parts.append(y)
    np.testing.assert_allclose(jnp.concatenate(parts), whole, atol=1e-4)
    np.testing.assert_allclose(state, last, atol=1e-4)


def test_finite_over_long_sequences():
    """16,384 steps of a constant: the first coefficient settles at the constant, the rest at 0."""
    a, b = systems(8, [0.05])
    x = jnp.ones((16384, 1))
    y, _ = jax.jit(recurrent.state_space_scan)(x, a, b, jnp.eye(8)[:1])
    assert bool(jnp.isfinite(y).all())
    np.testing.assert_allclose(y[-1], 1, atol=1e-3)
