import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from jaxnn.layers import attention, recurrent
from tests.layers.recurrent.test_selective import loop

RUN = jax.jit(recurrent.dynamical_system, static_argnames="method")


def draw(*shapes):
    random = np.random.default_rng(0)
    return [jnp.asarray(random.normal(size=shape), jnp.float32) for shape in shapes]


def by_loop(u, system):
    """Run a system step by step in NumPy, in float64."""
    shape = (*u.shape, max(array.shape[-1] for array in system))
    decay, entry, reading = (np.broadcast_to(np.float64(array), shape) for array in system)
    h, y = np.zeros(shape[:-3] + shape[-2:]), np.zeros(u.shape)
    for t in range(u.shape[-2]):
        h = decay[..., t, :, :] * h + entry[..., t, :, :] * np.float64(u[..., t, :, None])
        y[..., t, :] = (reading[..., t, :, :] * h).sum(axis=-1)
    return y, h


@pytest.mark.parametrize("method", ["scan", "associative"])
def test_a_system_is_its_loop(method):
    """Sizes of 1 stand for all; a state and a skip are added."""
    u, c, b, a, skip = draw((2, 9, 3), (2, 9, 3, 4), (2, 9, 1, 4), (2, 9, 3, 1), (3,))
    system = recurrent.DynamicalSystem(jax.nn.sigmoid(a), b, c)
    y, h = RUN(u, system, skip, method=method)
    want, last = by_loop(u, system)
    np.testing.assert_allclose(y, want + np.asarray(skip) * np.asarray(u), atol=1e-5)
    np.testing.assert_allclose(h, last, atol=1e-5)
    first, middle = RUN(u[:, :5], jax.tree.map(lambda v: v[:, :5], system), method=method)
    second, end = RUN(u[:, 5:], jax.tree.map(lambda v: v[:, 5:], system), None, middle)
    np.testing.assert_allclose(jnp.concatenate([first, second], 1), want, atol=1e-5)
    np.testing.assert_allclose(end, last, atol=1e-5)


def test_attention_with_and_without_its_normalizer():
    q, k, v = draw((2, 40, 5), (2, 40, 5), (2, 40, 3))
    phi = attention.elu_plus_one
    a, b = (np.asarray(phi(x), np.float64) for x in (q, k))
    weights = np.tril(a @ b.swapaxes(1, 2))

    @jax.jit
    def both(q, k, v):
        eta = recurrent.attention_normalizer(q, k, feature_map=phi)
        systems = (recurrent.attention_system(q, k, n, feature_map=phi) for n in (None, eta))
        return [recurrent.dynamical_system(v, system)[0] for system in systems]

    plain, normal = both(q, k, v)
    np.testing.assert_allclose(plain, weights @ np.float64(v), rtol=1e-5, atol=1e-4)
    want = weights / weights.sum(axis=-1, keepdims=True) @ np.float64(v)
    np.testing.assert_allclose(normal, want, atol=1e-5)
    heads = (x[:, :, None] for x in (q, k, v))
    theirs = jax.jit(functools.partial(attention.linear_attention, is_causal=True))(*heads)
    np.testing.assert_allclose(normal, theirs[:, :, 0], atol=1e-5)


def test_gated_attention_is_the_matrix_lstm():
    """The loop of xLSTM: a matrix and a vector of sums, divided by at least one."""
    q, k, v, f, i = draw((12, 4), (12, 4), (12, 3), (12,), (12,))
    forget, take = jax.nn.sigmoid(f), jnp.exp(i)

    @jax.jit
    def whole(q, k, v):
        options = {"feature_map": lambda x: x, "forget": forget, "take": take}
        eta = jnp.maximum(jnp.abs(recurrent.attention_normalizer(q, k, **options)), 1)
        return eta, recurrent.attention_system(q, k, eta, **options)

    eta, system = whole(q, k, v)
    matrix, sums, want = np.zeros((3, 4)), np.zeros(4), []
    for t in range(12):
        q_t, k_t, v_t, f_t, i_t = (np.float64(x[t]) for x in (q, k, v, forget, take))
        matrix = f_t * matrix + i_t * np.outer(v_t, k_t)
        sums = f_t * sums + i_t * k_t
        want.append(matrix @ q_t / max(abs(sums @ q_t), 1))
    y, h = RUN(v, system)
    np.testing.assert_allclose(y, want, atol=1e-5)
    # From the middle on, with the normaliser of the step before.
    _, state = RUN(v[:7], jax.tree.map(lambda x: x[:7], system))
    rest = recurrent.attention_system(
        q[7:],
        k[7:],
        eta[7:],
        feature_map=lambda x: x,
        forget=forget[7:],
        take=take[7:],
        before=eta[6],
    )
    np.testing.assert_allclose(RUN(v[7:], rest, None, state)[1], h, atol=1e-5)


def test_selective_system_is_the_papers_loop():
    u, step, rate, b, c, skip = draw((2, 9, 3), (2, 9, 3), (3, 4), (2, 9, 4), (2, 9, 4), (3,))
    step, rate = jax.nn.softplus(step), -jax.nn.softplus(rate)
    y, last = RUN(u, recurrent.selective_system(step, rate, b, c), skip)
    for n in range(2):
        want, h = loop(u[n], step[n], rate, b[n], c[n], skip, np.zeros((3, 4)))
        np.testing.assert_allclose(y[n], want, atol=1e-5)
        np.testing.assert_allclose(last[n], h, atol=1e-5)


def test_gated_systems_are_their_loops():
    u, f, i, o, rate = draw((20, 3), (20, 3), (20, 3), (20, 3), (3,))
    quasi = RUN(u, recurrent.gated_system(f, i, o))[0]
    real = RUN(u, recurrent.real_gated_system(f, i, rate))[0]
    h, g = np.zeros(3), np.zeros(3)
    for t in range(20):
        f_t, i_t, o_t = (expit(np.float64(gate[t])) for gate in (f, i, o))
        h = f_t * h + i_t * np.float64(u[t])
        np.testing.assert_allclose(quasi[t], o_t * h, atol=1e-5)
        a = np.exp(-8 * np.log1p(np.exp(-np.float64(rate))) * f_t)
        g = a * g + np.sqrt(1 - a**2) * i_t * np.float64(u[t])
        np.testing.assert_allclose(real[t], g, atol=1e-5)


def test_products_of_taylor_features_are_the_polynomial():
    q, k = draw((6, 3), (6, 3))
    dots = np.sum(np.float64(q) * np.float64(k), axis=-1)
    polynomial, term = np.ones(6), np.ones(6)
    for order in (1, 2, 3):
        term = term * dots / order
        polynomial = polynomial + term
        a, b = (recurrent.taylor_features(x, order) for x in (q, k))
        assert a.shape == (6, sum(3**p for p in range(order + 1)))
        np.testing.assert_allclose((a * b).sum(-1), polynomial, rtol=1e-4, atol=1e-4)
