import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import attention
from tests.layers.attention.test_dot_product import arrays
from tests.layers.attention.test_linear import REAL

STATIC = ("scale", "num_landmarks", "iterations", "normalize", "ridge")
attend = jax.jit(attention.softmax_free_attention, static_argnames=STATIC)


def kernel(x, y, scale):
    return np.exp(-scale / 2 * ((x[:, None] - y[None]) ** 2).sum(-1))


def numpy_attention(query, key, value, runs, scale, normalize):
    """One head: landmarks are averages over ``runs``, the inverse is NumPy's."""
    q, k, v = (np.asarray(x, np.float64) for x in (query, key, value))
    landmarks = np.stack([k[run].mean(0) for run in runs])
    a = kernel(landmarks, landmarks, scale)
    inverse = np.linalg.pinv(a)
    if normalize:
        inverse = inverse / np.sqrt(np.outer(a.sum(1), a.sum(1)))
    return kernel(q, landmarks, scale) @ inverse @ kernel(landmarks, k, scale) @ v


@pytest.mark.parametrize("key_heads", [4, 2])
@pytest.mark.parametrize("normalize", [False, True])
def test_equals_numpy_with_its_pseudo_inverse(key, key_heads, normalize):
    query, key_, value = arrays(key, 5, 7, key_heads=key_heads)
    got = attend(query, key_, value, num_landmarks=3, normalize=normalize, scale=0.7)
    # Seven keys in three runs: floor(3 j / 7).
    runs = ([0, 1, 2], [3, 4], [5, 6])
    for b, h in np.ndindex(2, 4):
        g = h * key_heads // 4
        parts = query[b, :, h], key_[b, :, g], value[b, :, g]
        want = numpy_attention(*parts, runs, 0.7, normalize)
        np.testing.assert_allclose(got[b, :, h], want, atol=2e-5)


def test_with_every_key_a_landmark_the_kernel_is_exact(key):
    """Nothing is approximated then, whatever the queries."""
    query, key_, value = arrays(key, 5, 7)
    for num_landmarks in (7, 50):
        got = attend(query, key_, value, num_landmarks=num_landmarks)
        for b, h in np.ndindex(2, 4):
            q, k = (np.asarray(x[b, :, h], np.float64) for x in (query, key_))
            want = kernel(q, k, 1 / np.sqrt(5)) @ np.asarray(value[b, :, h])
            np.testing.assert_allclose(got[b, :, h], want, atol=1e-4)


def test_masked_keys_are_as_good_as_absent(key):
    """Also where a run of keys is masked as a whole, and leaves no landmark."""
    query, key_, value = arrays(key, 7, 7)
    got = attend(query, key_, value, num_landmarks=7, mask=jnp.asarray(REAL)[:, None, None])[1]
    kept = np.flatnonzero(REAL[1])
    want = attend(query[1], key_[1, kept], value[1, kept], num_landmarks=7)
    np.testing.assert_allclose(got, want, atol=1e-5)
    normal = attend(query, key_, value, num_landmarks=3, normalize=True)
    padded = [jnp.pad(x, [(0, 0), (0, 14), (0, 0), (0, 0)]) for x in (key_, value)]
    mask = (jnp.arange(21) < 7)[None, None, None]
    got = attend(query, *padded, num_landmarks=9, normalize=True, mask=mask)
    np.testing.assert_allclose(got, normal, atol=1e-5)


def test_moving_all_points_changes_nothing(key):
    query, key_, value = arrays(key)
    got = attend(query + 100, key_ + 100, value, num_landmarks=3)
    np.testing.assert_allclose(got, attend(query, key_, value, num_landmarks=3), atol=1e-4)


def test_near_equal_landmarks_do_no_harm(key):
    """64 points in four spots: a matrix of rank four, up to 1e-6, in float32."""
    spots = jnp.tile(jax.random.normal(key, (4, 1, 5)), (16, 1, 1))
    x = spots + 1e-3 * jax.random.normal(key, spots.shape)
    value = jnp.sin(jnp.arange(64.0))[:, None, None]

    @jax.jit
    def run(x):
        return attend(x, x, value, num_landmarks=64)

    k = np.asarray(x[:, 0], np.float64)
    want = kernel(k, k, 1 / np.sqrt(5)) @ np.asarray(value[:, 0], np.float64)
    np.testing.assert_allclose(run(x)[:, 0], want, atol=2e-2 * np.abs(want).max())
    assert jnp.isfinite(jax.grad(lambda x: run(x).sum())(x)).all()


def positive(key, *shape):
    """Draw symmetric matrices with eigenvalues from 0.3 upwards."""
    x = jax.random.normal(key, shape)
    return jnp.einsum("...ij,...kj->...ik", x, x) + 0.3 * jnp.broadcast_to(
        jnp.eye(shape[-1]), shape
    )


def test_newton_inverse_equals_numpy(key):
    a = positive(key, 2, 3, 6, 6)
    got = jax.jit(attention.newton_inverse)(a)
    want = np.linalg.pinv(np.asarray(a, np.float64))
    np.testing.assert_allclose(got, want, atol=1e-3 * np.abs(want).max())


def test_small_eigenvalues_are_inverted_as_far_as_the_steps_reach(key):
    """Each eigenvalue's error is squared by each step; 1e-4 of the largest stays near zero."""
    turn = np.linalg.qr(np.asarray(jax.random.normal(key, (4, 4)), np.float64))[0]
    values = np.array([1.0, 0.3, 0.02, 1e-4])
    a = (turn * values) @ turn.T
    norm = np.abs(a).sum(1).max()
    want = (turn * ((1 - (1 - 1.8 * values**2 / norm**2) ** 2**6) / values)) @ turn.T
    got = attention.newton_inverse(jnp.asarray(a, jnp.float32), iterations=6)
    np.testing.assert_allclose(got, want, atol=1e-4 * np.abs(want).max())


def test_newton_inverse_of_equal_landmarks_converges():
    """With the paper's first step, 2/‖A‖², a matrix of ones keeps an error of one for ever."""
    np.testing.assert_allclose(attention.newton_inverse(jnp.ones((4, 4))), 1 / 16, atol=1e-5)


def test_derivative_is_that_of_the_inverse_in_both_modes(key):
    """Against finite differences of NumPy's inverse, along a direction that is not symmetric."""
    a, toward, seen = positive(key, 5, 5), *jax.random.normal(key, (2, 5, 5))
    invert = jax.jit(attention.newton_inverse)
    _, forward = jax.jvp(invert, (a,), (toward,))
    _, pull = jax.vjp(invert, a)
    wide, step = np.asarray(a, np.float64), 1e-5 * np.asarray(toward, np.float64)
    want = (np.linalg.inv(wide + step) - np.linalg.inv(wide - step)) / 2e-5
    np.testing.assert_allclose(forward, want, atol=1e-3 * np.abs(want).max())
    np.testing.assert_allclose((pull(seen)[0] * toward).sum(), (seen * want).sum(), rtol=2e-3)


@pytest.mark.usefixtures("unchecked")
def test_there_is_no_causal_form(key):
    with pytest.raises(ValueError, match=r"softmax_free_attention: `is_causal` is True; .*causal"):
        attention.softmax_free_attention(*arrays(key), is_causal=True)
