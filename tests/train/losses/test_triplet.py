import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.train import losses

RNG = np.random.default_rng(0)
A, P, N = (jnp.asarray(s * RNG.normal(size=(9, 4)), jnp.float32) for s in (1, 1, 2))
X, Y = jnp.asarray(RNG.normal(size=(12, 3)), jnp.float32), jnp.arange(12) % 4
semi_hard = jax.jit(losses.semi_hard_triplet_loss, static_argnames="margin")
distances = jax.jit(losses.pairwise_distances)


def distance(a, b):
    return np.linalg.norm(np.asarray(a, np.float64) - np.asarray(b, np.float64), axis=-1)


def test_ratio_equals_the_definition():
    near, far = np.exp(distance(A, P)), np.exp(distance(A, N))
    pair = np.stack([near, far]) / (near + far)
    want = np.sum((pair - np.array([[0.0], [1.0]])) ** 2, axis=0)
    np.testing.assert_allclose(losses.triplet_ratio_loss(A, P, N), want, rtol=1e-5)
    # One class far behind the other: 0 or 2, not an overflow.
    ends = losses.triplet_ratio_loss(A, A + 1e4, N), losses.triplet_ratio_loss(A, P, N + 1e4)
    np.testing.assert_allclose(ends, np.array([[2.0], [0.0]]) * np.ones((1, 9)), atol=1e-6)


def test_margin_equals_torchs():
    torch = pytest.importorskip("torch")
    for margin in (0.3, 1.0):
        theirs = torch.nn.TripletMarginLoss(margin=margin, reduction="none", eps=0.0)
        arrays = [torch.tensor(np.asarray(v), requires_grad=True) for v in (A, P, N)]
        want = theirs(*arrays)
        want.sum().backward()
        ours = functools.partial(
            jax.jit(losses.triplet_margin_loss, static_argnames="margin"), margin=margin
        )
        np.testing.assert_allclose(ours(A, P, N), want.detach(), atol=1e-6)
        assert (want == 0).any()
        pulls = jax.jit(jax.grad(lambda *v: ours(*v).sum(), (0, 1, 2)))(A, P, N)  # noqa: B023
        for pull, array in zip(pulls, arrays, strict=True):
            np.testing.assert_allclose(pull, array.grad, atol=1e-6)


def test_distances_and_their_slopes():
    got = distances(X)
    np.testing.assert_allclose(got, distance(X[:, None], X[None]), rtol=1e-5)
    np.testing.assert_array_equal(jnp.diagonal(got), 0)
    slope = jax.jit(jax.grad(lambda x: losses.pairwise_distances(x).sum()))
    unit = (np.asarray(X)[:, None] - np.asarray(X)[None]) / np.where(got == 0, 1, got)[..., None]
    np.testing.assert_allclose(slope(X), 2 * unit.sum(1), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(slope(jnp.ones_like(X)), 0)


def test_semi_hard_negatives_equal_a_search():
    """Over all triples, with ties and distances on a grid."""
    x = jnp.round(2 * X).at[0].set(9.0) / 2  # the first is far from its class and all others
    d = distances(x)
    negatives, valid = jax.jit(losses.semi_hard_negatives)(d, Y)
    table, label = np.asarray(d), np.asarray(Y)
    fallen = 0
    want = np.zeros(12)
    for a in range(12):
        others = [n for n in range(12) if label[n] != label[a]]
        pairs = [p for p in range(12) if label[p] == label[a] and p != a]
        assert np.flatnonzero(valid[a]).tolist() == pairs
        for p in pairs:
            beyond = [table[a, n] for n in others if table[a, n] > table[a, p]]
            far = min(beyond) if beyond else max(table[a, n] for n in others)
            fallen += not beyond
            chosen = int(negatives[a, p])
            assert label[chosen] != label[a]
            assert table[a, chosen] == far
            want[a] += max(0.0, table[a, p] - far + 0.7) / len(pairs)
    got = semi_hard(x, Y, margin=0.7)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    assert fallen
    assert np.count_nonzero(want) > 5


def test_batches_of_batches_and_lonely_classes():
    both = semi_hard(jnp.stack([X, 2 * X]), jnp.stack([Y, Y]))
    np.testing.assert_allclose(both[1], semi_hard(2 * X, Y), rtol=1e-5)
    slope = jax.jit(jax.value_and_grad(lambda x, y: semi_hard(x, y).sum()))
    for y in (jnp.arange(12), jnp.zeros(12, jnp.int32)):
        value, pull = slope(X, y)
        assert value == 0
        assert (pull == 0).all()


def test_coinciding_embeddings_have_finite_slopes():
    margin = functools.partial(losses.triplet_margin_loss, margin=9.0)
    for loss in (losses.triplet_ratio_loss, margin):
        pull = jax.jit(jax.grad(lambda a: loss(a, A, N).sum()))(A)  # noqa: B023
        assert jnp.isfinite(pull).all()
        assert (pull != 0).any()
