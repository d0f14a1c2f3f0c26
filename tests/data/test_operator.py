import jax
import numpy as np
import pytest
from scipy import sparse
from scipy.sparse import linalg

from jaxnn import data

poisson = jax.jit(data.poisson, static_argnames=("n", "size", "smoothness"))


def laplacian(size):
    """-Δ of the unit square by five points, as a matrix."""
    line = 2.0 * sparse.eye(size) - sparse.eye(size, k=1) - sparse.eye(size, k=-1)
    one = sparse.eye(size)
    return (sparse.kron(line, one) + sparse.kron(one, line)).tocsc() * (size + 1) ** 2


def test_poisson_solves_its_equation(key):
    f, u = (np.asarray(v, float).reshape(3, -1) for v in poisson(key, 3, size=15))
    a = laplacian(15)
    # float32 and numbers up to 2,000 in the matrix.
    np.testing.assert_allclose(u @ a.T, f, atol=1e-4)
    np.testing.assert_allclose(u, linalg.spsolve(a, f.T).T, atol=1e-6)


def test_right_hand_sides_are_white_or_smooth(key):
    white = np.asarray(poisson(key, 400, size=7).x)[..., 0]
    np.testing.assert_allclose(white.std(), 1, atol=0.02)
    flat = white.reshape(400, 49)
    # 400 draws: correlations have a deviation of 0.05; 49² of them stay below 5 of these.
    assert np.abs(flat.T @ flat / 400 - np.eye(49)).max() < 0.5
    smooth = np.asarray(poisson(key, 400, size=7, smoothness=4.0).x)[..., 0]
    np.testing.assert_allclose(np.mean(smooth**2), 1, atol=0.15)  # few modes: a rougher mean
    steps = [np.mean(np.diff(v, axis=1) ** 2) for v in (white, smooth)]
    assert steps[1] < steps[0] / 4
    with pytest.raises(ValueError, match=r"poisson: `smoothness` is -1"):
        data.poisson(key, 1, smoothness=-1)
