import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import recurrent

LAYER = recurrent.HGRN(3, units=4)


def arrays(key, steps=11):
    keys = jax.random.split(key, 4)
    candidates, gates = (
        jax.random.normal(k, (2, steps, units)) for k, units in zip(keys, (6, 3), strict=False)
    )
    bound = jax.random.uniform(keys[2], (3,), maxval=0.9)
    return candidates, gates, bound, jax.random.uniform(keys[3], (3,), maxval=3.0)


def loop(candidates, gates, bound, angles, state):
    """The paper's recurrence step by step, in complex128."""
    c, z, low, turn = (np.asarray(x, np.float64) for x in (candidates, gates, bound, angles))
    units, states = z.shape[-1], []
    for t in range(z.shape[1]):
        f = low + (1 - low) / (1 + np.exp(-z[:, t]))
        now = c[:, t, :units] + 1j * c[:, t, units:]
        state = f * np.exp(1j * turn) * state + (1 - f) * now
        states.append(state)
    return np.stack(states, axis=1)


@pytest.mark.parametrize("method", ["scan", "associative"])
def test_equals_a_loop(method, key):
    args = (*arrays(key), jnp.array([[1 + 2j, -1j, 0.5], [0, 3, 1 - 1j]], jnp.complex64))
    run = jax.jit(recurrent.hierarchical_recurrence, static_argnames="method")
    got, last = run(*args, method=method)
    want = loop(*args)
    np.testing.assert_allclose(got[..., :3] + 1j * got[..., 3:], want, atol=1e-5)
    np.testing.assert_allclose(last, want[:, -1], atol=1e-5)


def test_bounds_grow_from_zero_to_below_one(key):
    logits = 3 * jax.random.normal(key, (6, 5))
    bounds = np.asarray(recurrent.forget_bounds(logits))
    shares = np.exp(np.asarray(logits, np.float64))
    shares /= shares.sum(axis=0)
    want = np.stack([shares[:k].sum(axis=0) for k in range(6)])
    np.testing.assert_allclose(bounds, want, atol=1e-6)
    assert (bounds[0] == 0).all()
    assert (np.diff(bounds, axis=0) > 0).all()
    assert (bounds < 1).all()
    # The paper's form, inclusive sums less the first share, is this with the rows moved by one.
    moved = np.roll(shares, 1, axis=0)
    np.testing.assert_allclose(bounds, np.cumsum(moved, axis=0) - moved[:1], atol=1e-6)


def test_a_bound_keeps_that_much_of_the_state():
    """Gates shut as far as they go: h = γ^t h_0, turned by t θ."""
    bound, angles = jnp.array([0.0, 0.9]), jnp.array([1.0, 0.5])
    gates, none = jnp.full((5, 2), -200.0), jnp.zeros((5, 4))
    start = jnp.ones(2, jnp.complex64)
    _, last = recurrent.hierarchical_recurrence(none, gates, bound, angles, start)
    np.testing.assert_allclose(last, [0, 0.9**5 * np.exp(2.5j)], atol=1e-6)


def test_no_state_exceeds_the_largest_candidate():
    """16,384 steps, half of them almost closed to the input: finite, and a weighted mean."""
    random = np.random.default_rng(0)
    gates = jnp.asarray(random.normal(size=(16384, 4)) * 12, jnp.float32)
    candidates = jnp.asarray(random.normal(size=(16384, 8)), jnp.float32)
    bound, angles = jnp.array([0.0, 0.5, 0.99, 0.9999]), jnp.array([3.0, 0.1, 0.0, 1e-4])
    run = jax.jit(recurrent.hierarchical_recurrence)
    h, _ = run(candidates, gates, bound, angles)
    size = np.hypot(h[:, :4], h[:, 4:])
    assert np.isfinite(size).all()
    assert size.max() <= 1.001 * np.hypot(candidates[:, :4], candidates[:, 4:]).max()


def test_layer_is_its_equations(key):
    """Output norm, gate and projection around the recurrence, in NumPy."""
    x = jax.random.normal(key, (2, 7, 3))
    variables = jax.jit(LAYER.init)(key, x)
    bound = jnp.array([0.0, 0.3, 0.6, 0.9])
    y, _ = jax.jit(LAYER.apply)(variables, x, bound=bound)
    p = variables["params"]
    np.testing.assert_allclose(p["angles"], 10.0 ** -np.arange(4.0), rtol=1e-5)
    drive = np.asarray(x, np.float64) @ np.asarray(p["inputs"]["kernel"])
    c, z, g = drive[..., :8], drive[..., 8:12], drive[..., 12:]
    h = loop(c / (1 + np.exp(-c)), z, bound, p["angles"], 0)
    h = np.concatenate([np.real(h), np.imag(h)], axis=-1)
    h = (h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + 1e-6)
    want = (h * g / (1 + np.exp(-g))) @ np.asarray(p["outputs"]["kernel"])
    np.testing.assert_allclose(y, want, atol=1e-4)


def test_stretches_of_time_join(key):
    """2,048 steps in stretches, one of a single step, give the output and state of the whole."""
    x = jax.random.normal(key, (2048, 3))
    variables = jax.jit(LAYER.init)(key, x[:1])
    bound = jnp.array([0.0, 0.9, 0.99, 0.999])
    apply = jax.jit(LAYER.apply)
    whole, last = apply(variables, x, bound=bound)
    state, parts = None, []
    for start, stop in ((0, 1000), (1000, 1001), (1001, 2048)):
        y, state = apply(variables, x[start:stop], state, bound=bound)
        parts.append(y)
    np.testing.assert_allclose(jnp.concatenate(parts), whole, atol=1e-4)
    np.testing.assert_allclose(state, last, atol=1e-4)
