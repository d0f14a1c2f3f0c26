import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import BSpline

from jaxnn.layers import kan

UNEVEN = np.cumsum([0.3, 0.1, 0.5, 0.2, 0.9, 0.4, 0.2, 0.6, 0.35, 0.7, 0.25, 0.45, 0.8, 0.3]) - 3
general = jax.jit(kan.bspline_basis, static_argnames="degree")
uniform = jax.jit(kan.uniform_bspline_basis, static_argnames=("grid", "degree", "low", "high"))


def scipy_basis(x, knots, degree, derivative=0):
    """Evaluate (points, functions), zero outside each function's support."""
    columns = []
    for b in range(len(knots) - degree - 1):
        one = BSpline.basis_element(knots[b : b + degree + 2], extrapolate=False)
        if derivative:
            one = one.derivative(derivative)
        columns.append(np.nan_to_num(one(x)))
    return np.stack(columns, axis=1)


def points(knots):
    rng = np.random.default_rng(0)
    return rng.uniform(knots[0] - 0.2, knots[-1] + 0.2, 200).astype(np.float32)


@pytest.mark.parametrize("degree", range(6))
@pytest.mark.parametrize("knots", [UNEVEN, np.arange(14) * 0.4 - 2.2], ids=["uneven", "uniform"])
def test_equals_scipy(degree, knots):
    x = points(knots)
    got = general(x[:, None], jnp.asarray(knots, jnp.float32), degree=degree)
    np.testing.assert_allclose(got[..., 0], scipy_basis(x, knots, degree), atol=1e-5)


@pytest.mark.parametrize("degree", range(6))
@pytest.mark.parametrize(("grid", "low", "high"), [(5, -1.0, 1.0), (1, 0.5, 3.0)])
def test_closed_form_equals_scipy_and_the_recursion(degree, grid, low, high):
    knots = kan.uniform_knots(jnp.array(low), jnp.array(high), grid=grid, degree=degree)
    x = points(np.asarray(knots))
    got = uniform(x[:, None], grid=grid, degree=degree, low=low, high=high)
    want = scipy_basis(x, np.asarray(knots, np.float64), degree)
    np.testing.assert_allclose(got[..., 0], want, atol=1e-5)
    np.testing.assert_allclose(got, general(x[:, None], knots, degree=degree), atol=1e-5)


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
def test_derivative_equals_scipy(degree):
    """The gradient is that of the pieces, so a wrong sign in any quotient shows."""
    x = points(UNEVEN)
    knots = jnp.asarray(UNEVEN, jnp.float32)
    slope = jax.vmap(jax.jacfwd(lambda v: general(v[None], knots, degree=degree)[:, 0]))
    np.testing.assert_allclose(slope(x), scipy_basis(x, UNEVEN, degree, 1), atol=2e-4)
    even = np.arange(2 * degree + 6) * 0.4 - 1 - 0.4 * degree
    x = points(even)
    fast = functools.partial(uniform, grid=5, degree=degree, low=-1.0, high=1.0)
    slope = jax.vmap(jax.jacfwd(lambda v: fast(v[None])[:, 0]))
    np.testing.assert_allclose(slope(x), scipy_basis(x, even, degree, 1), atol=2e-4)


@pytest.mark.parametrize("degree", range(5))
def test_is_a_partition_of_unity_on_the_grid_and_fades_outside(degree):
    inside = jnp.linspace(-1, 0.999, 101)[:, None]
    total = uniform(inside, grid=4, degree=degree).sum(axis=-2)
    np.testing.assert_allclose(total, 1, atol=1e-6)
    knots = jnp.asarray(UNEVEN, jnp.float32)
    inside = jnp.linspace(UNEVEN[degree], UNEVEN[-degree - 1] - 1e-3, 101)[:, None]
    np.testing.assert_allclose(general(inside, knots, degree=degree).sum(axis=-2), 1, atol=1e-6)
    far = 1 + degree * 0.5 + 0.01
    assert not uniform(jnp.array([[far], [-far]]), grid=4, degree=degree).any()


def test_intervals_are_closed_left_and_open_right():
    knots = jnp.array([0.0, 1.0, 2.0])
    values = kan.bspline_basis(jnp.array([[0.0], [1.0], [2.0]]), knots, degree=0)[..., 0]
    np.testing.assert_array_equal(values, [[1, 0], [0, 1], [0, 0]])
    values = kan.uniform_bspline_basis(
        jnp.array([[0.0], [1.0], [2.0]]), grid=2, degree=0, low=0, high=2
    )
    np.testing.assert_array_equal(values[..., 0], [[1, 0], [0, 1], [0, 0]])


def test_repeated_knots_make_bernstein_polynomials():
    knots = jnp.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    x = np.linspace(0, 0.99, 7)
    got = kan.bspline_basis(jnp.asarray(x)[:, None], knots, degree=2)[..., 0]
    np.testing.assert_allclose(got, np.stack([(1 - x) ** 2, 2 * x * (1 - x), x**2], 1), atol=1e-6)
    slope = jax.jacfwd(lambda v: kan.bspline_basis(v, knots, degree=2))(jnp.zeros(1))
    np.testing.assert_allclose(slope[:, 0, 0], [-2, 2, 0], atol=1e-6)


def test_each_feature_has_its_own_knots(key):
    knots = jnp.stack([jnp.arange(9.0), 2 * jnp.arange(9.0) - 5])
    x = jax.random.uniform(key, (2, 4, 2), maxval=8.0)
    both = kan.bspline_basis(x, knots, degree=3)
    for i in range(2):
        one = kan.bspline_basis(x[..., i : i + 1], knots[i], degree=3)
        np.testing.assert_allclose(both[..., i], one[..., 0], atol=1e-6)
