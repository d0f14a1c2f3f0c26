"""Hebbian subspaces against Oja's rule written out, and against SVDs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.train import continual

INPUTS, RANK = 8, 3


def low_rank(seed, *, samples=512, rank=RANK):
    """Draw rows of a random plane, not centred, with a basis of it."""
    random = np.random.default_rng(seed)
    basis = np.linalg.qr(random.normal(size=(INPUTS, rank)))[0].T
    sizes = np.linspace(2.0, 1.0, rank)
    x = (random.normal(size=(samples, rank)) * sizes + 0.5) @ basis
    return jnp.asarray(x, jnp.float32), basis


def cosines(h, basis):
    """Give the cosines of the principal angles between the rows of two orthonormal bases."""
    return np.linalg.svd(np.asarray(h, np.float64) @ basis.T, compute_uv=False)


@jax.jit
def settle(h, batches, rate, frozen):
    def body(h, x):
        return continual.hebbian_subspace(h, x, rate=rate, frozen=frozen), None

    return jax.lax.scan(body, h, batches)[0]


def stream(h, x, *, frozen=0, epochs=60, batch=64):
    batches = jnp.tile(x.reshape(-1, batch, INPUTS), (epochs, 1, 1))
    rate = 0.5 / np.mean(np.sum(np.asarray(x) ** 2, -1))
    return settle(h, batches, jnp.float32(rate), frozen)


def test_one_update_is_the_rule_example_by_example():
    random = np.random.default_rng(0)
    h, x = random.normal(size=(3, 5)), random.normal(size=(4, 5))
    change = np.zeros((3, 5))
    for row in x:
        y = h @ row
        change += np.outer(y, row) - np.outer(y, y) @ h
    want = h + 0.1 * change / 4
    arrays = jnp.asarray(h, jnp.float32), jnp.asarray(x, jnp.float32).reshape(2, 2, 5)
    got = continual.hebbian_subspace(*arrays, rate=0.1)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    kept = continual.hebbian_subspace(*arrays, rate=0.1, frozen=2)
    np.testing.assert_array_equal(kept[:2], arrays[0][:2])
    np.testing.assert_allclose(kept[2:], want[2:], rtol=1e-5, atol=1e-5)


def test_streamed_data_leave_an_orthonormal_basis_of_their_span():
    x, basis = low_rank(1)
    start = continual.grow_subspace(jnp.zeros((0, INPUTS)), RANK, key=jax.random.key(0))
    assert cosines(start, basis).min() < 0.9
    h = stream(start, x)
    np.testing.assert_allclose(h @ h.T, np.eye(RANK), atol=1e-4)
    assert cosines(h, basis).min() > 1 - 1e-4
    left = continual.project_out(x, h)
    assert float(jnp.linalg.norm(left)) < 1e-3 * float(jnp.linalg.norm(x))


def test_new_units_learn_what_the_old_leave_over():
    """The second task shares one direction with the first; two new units are enough."""
    _, basis = low_rank(1)
    old = jnp.asarray(basis, jnp.float32)
    random = np.random.default_rng(2)
    other = np.linalg.qr(random.normal(size=(INPUTS, 2)))[0].T
    together = np.linalg.qr(np.concatenate([basis, other]).T)[0].T
    mixed = random.normal(size=(512, 3)) @ np.concatenate([basis[:1], other])
    h = continual.grow_subspace(old, 2, key=jax.random.key(1))
    h = stream(h, jnp.asarray(mixed, jnp.float32), frozen=3, epochs=120)
    np.testing.assert_array_equal(h[:3], old)
    np.testing.assert_allclose(h @ h.T, np.eye(5), atol=1e-3)
    assert cosines(h, together).min() > 1 - 1e-4


def test_rows_of_zeros_learn_nothing_and_take_out_nothing():
    x, basis = low_rank(1)
    h = jnp.asarray(np.concatenate([basis, np.zeros((2, INPUTS))]), jnp.float32)
    np.testing.assert_array_equal(continual.hebbian_subspace(h, x, rate=0.1)[3:], 0)
    np.testing.assert_allclose(
        continual.project_out(x, h), continual.project_out(x, h[:3]), atol=1e-6
    )


def test_grown_rows_are_orthonormal_and_the_old_unchanged():
    h = continual.grow_subspace(jnp.zeros((0, INPUTS)), 5, key=jax.random.key(0))
    grown = continual.grow_subspace(h, 3, key=jax.random.key(1))
    np.testing.assert_array_equal(grown[:5], h)
    np.testing.assert_allclose(grown @ grown.T, np.eye(8), atol=1e-5)


def test_principal_subspace_is_the_smallest_that_holds_the_energy():
    random = np.random.default_rng(0)
    x = jnp.asarray(random.normal(size=(40, INPUTS)) * np.geomspace(3, 0.1, INPUTS), jnp.float32)
    known = jnp.asarray(np.linalg.qr(random.normal(size=(INPUTS, 2)))[0].T, jnp.float32)
    for energy in (0.5, 0.9, 0.99):
        h = continual.principal_subspace(x, energy=energy, known=known)
        np.testing.assert_array_equal(h[:2], known)
        np.testing.assert_allclose(h @ h.T, np.eye(len(h)), atol=1e-5)

        def held(h):
            h, rows = np.asarray(h, np.float64), np.asarray(x, np.float64)
            return 1 - np.sum((rows - rows @ h.T @ h) ** 2) / np.sum(rows**2)

        assert held(np.asarray(h)[:-1]) < energy <= held(h) + 1e-6
        # No others of as many rows hold more: those are the leading eigenvectors.
        rest = np.asarray(x, np.float64)
        rest = rest - rest @ np.asarray(known, np.float64).T @ np.asarray(known, np.float64)
        best = np.sum(np.linalg.eigvalsh(rest.T @ rest)[::-1][: len(h) - 2])
        new = np.sum((rest @ np.asarray(h, np.float64)[2:].T) ** 2)
        assert new == pytest.approx(best, rel=1e-5)


def test_principal_subspace_adds_nothing_where_enough_is_known():
    x, basis = low_rank(3)
    known = jnp.asarray(basis, jnp.float32)
    assert continual.principal_subspace(x, energy=0.999, known=known).shape == (3, INPUTS)
    assert continual.principal_subspace(x, energy=1 - 1e-9).shape == (3, INPUTS)


def test_bfloat16_keeps_its_dtype():
    x, basis = low_rank(1)
    h = jnp.asarray(basis, jnp.bfloat16)
    low = continual.hebbian_subspace(h, x.astype(jnp.bfloat16), rate=0.01)
    left = continual.project_out(x.astype(jnp.bfloat16), h)
    assert (low.dtype, left.dtype) == (jnp.bfloat16, jnp.bfloat16)
    np.testing.assert_allclose(left.astype(jnp.float32), 0, atol=0.05)


H, X = jnp.zeros((2, 5)), jnp.zeros((4, 5))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda: continual.hebbian_subspace(H, X[:, :4], rate=0.1),
            ValueError,
            r"hebbian_subspace: `x` .* \(\*batch, 5\)",
        ),
        (lambda: continual.hebbian_subspace(H, X, rate=-0.1), ValueError, "`rate` is -0.1"),
        (lambda: continual.hebbian_subspace(H, X, rate=0.1, frozen=3), ValueError, "to the 2 rows"),
        (lambda: continual.hebbian_subspace(H[0], X, rate=0.1), ValueError, "`subspace`"),
        (lambda: continual.project_out(X, [[1.0]]), TypeError, "project_out: `subspace`"),
        (
            lambda: continual.grow_subspace(H, 4, key=jax.random.key(0)),
            ValueError,
            "grow_subspace: `units` is 4; it needs at most 3",
        ),
        (lambda: continual.grow_subspace(H, 1, key=0), TypeError, "`key` is 0"),
        (lambda: continual.principal_subspace(X, energy=1.5), ValueError, "`energy` is 1.5"),
        (lambda: continual.principal_subspace(X, known=H[:, :3]), ValueError, "inputs of `known`"),
    ],
)
def test_wrong_arguments_are_named(call, error, match):
    with pytest.raises(error, match=match):
        call()
