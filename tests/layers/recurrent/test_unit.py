import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.layers import recurrent


def test_output_is_a_sum_over_the_past(key):
    """y_t = Σ_s Re(C Λ^s B) x_{t-s} + d x_t, in complex128, from the packed kernels."""
    layer = recurrent.LRU(3, states=4)
    x = jax.random.normal(key, (2, 12, 3))
    variables = jax.jit(layer.init)(key, x)
    y, state = jax.jit(layer.apply)(variables, x)
    p = {k: np.asarray(v, np.float64) for k, v in variables["params"].items()}
    decay = np.exp(-np.exp(p["nu"]) + 1j * np.exp(p["theta"]))
    b = (p["input_kernel"][:, :4] + 1j * p["input_kernel"][:, 4:]) * np.sqrt(1 - np.abs(decay) ** 2)
    c = p["output_kernel"][:4] + 1j * p["output_kernel"][4:]
    seen, h = np.asarray(x, np.float64), 0
    for t in range(12):
        want = p["skip"] * seen[:, t]
        for s in range(t + 1):
            want = want + (((seen[:, t - s] @ b) * decay**s) @ c).real
        np.testing.assert_allclose(y[:, t], want, atol=1e-5)
        h = decay * h + seen[:, t] @ b
    np.testing.assert_allclose(state, h, atol=1e-5)


def test_real_decays_are_a_case_of_complex_ones(key):
    keys = jax.random.split(key, 4)
    x, b, c = (
        jax.random.normal(k, s) for k, s in zip(keys, ((5, 2), (2, 3), (3, 2)), strict=False)
    )
    decay = jnp.array([0.5, 0.9, 0.99])
    real, _ = recurrent.diagonal_state_space(x, decay, b, c)
    none = jnp.zeros_like
    packed = jnp.concatenate([b, none(b)], axis=1), jnp.concatenate([c, none(c)])
    turned, _ = recurrent.diagonal_state_space(x, decay.astype(jnp.complex64), *packed)
    np.testing.assert_allclose(turned, real, atol=1e-6)


def test_stretches_of_time_join(key):
    """Three stretches, one of a single step, give the outputs and the state of the whole."""
    layer = recurrent.LRU(2, states=3)
    x = jax.random.normal(key, (2, 9, 2))
    variables = layer.init(key, x)
    whole, last = layer.apply(variables, x)
    state, parts = None, []
    for start, stop in ((0, 4), (4, 5), (5, 9)):
        y, state = layer.apply(variables, x[:, start:stop], state)
        parts.append(y)
    np.testing.assert_allclose(jnp.concatenate(parts, axis=1), whole, atol=1e-6)
    np.testing.assert_allclose(state, last, atol=1e-6)


def test_states_start_with_the_variance_of_their_drive(key):
    """White input: E|h|² = Σ|B'|², as the scale is √(1 - |λ|²); and radii fill the ring."""
    layer = recurrent.LRU(1, states=64, radius=(0.5, 0.9), use_skip=False)
    x = jax.random.normal(key, (200, 60, 3))
    variables = jax.jit(layer.init)(key, x)
    _, state = jax.jit(layer.apply)(variables, x)
    kernel = variables["params"]["input_kernel"]
    want = jnp.sum(kernel[:, :64] ** 2 + kernel[:, 64:] ** 2, axis=0)
    np.testing.assert_allclose(jnp.mean(jnp.abs(state) ** 2 / want[None]), 1, atol=0.05)
    radius = np.exp(-np.exp(variables["params"]["nu"]))
    assert 0.5 <= radius.min() < 0.6
    assert 0.85 < radius.max() <= 0.9
    np.testing.assert_allclose(np.mean(radius**2), (0.25 + 0.81) / 2, atol=0.06)
