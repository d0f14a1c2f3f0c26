"""Matching and merging of units: planted permutations, SciPy, and functions left as they were."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from jaxnn.analysis import similarity

random = np.random.default_rng(0)
X, Y = (np.float32(random.normal(size=(50, units)) + 1) for units in (6, 8))
correlate = jax.jit(similarity.unit_correlation)


def test_correlations_are_numpys():
    got = correlate(X, Y)
    np.testing.assert_allclose(got, np.corrcoef(X.T, Y.T)[:6, 6:], atol=1e-6)


def test_maps_are_brought_to_one_size():
    """A map of constants on halves, against the same map in twice as many places."""
    small = np.float32(random.normal(size=(9, 2, 2, 3)))
    large = np.asarray(jax.image.resize(small, (9, 4, 2, 3), "linear"))
    got = correlate(small, large)
    np.testing.assert_allclose(np.diag(got), 1, atol=1e-5)
    flat = large.reshape(-1, 3).T
    np.testing.assert_allclose(got, np.corrcoef(flat), atol=1e-5)


def test_a_permuted_scaled_copy_is_matched():
    order = random.permutation(8)
    copy = Y[:, order] * np.float32(np.arange(1, 9)) - 3
    matching = similarity.match_units(correlate(jnp.asarray(copy), jnp.asarray(Y)))
    np.testing.assert_array_equal(matching.partners, order)
    np.testing.assert_allclose(matching.similarity, 1, atol=1e-6)


def test_one_to_one_and_semi_matching():
    c = correlate(X, Y)
    one, semi = similarity.match_units(c), similarity.semi_match(c)
    rows, columns = linear_sum_assignment(-np.asarray(c))
    assert len(set(np.asarray(one.partners).tolist())) == 6
    total = np.asarray(c)[rows, columns].sum()
    np.testing.assert_allclose(one.similarity.sum(), total, rtol=1e-6)
    np.testing.assert_array_equal(semi.partners, np.asarray(c).argmax(1))
    assert (np.asarray(semi.similarity) >= np.asarray(one.similarity)).all()
    assert (semi.similarity > one.similarity).any()
    assert similarity.match_units(c.T).units.shape == (6,)


@pytest.mark.parametrize("k", [1, 3, 99])
def test_best_buddies(k):
    c = np.asarray(correlate(X, Y))
    got = similarity.best_buddies(jnp.asarray(c), k=k)
    for i in range(6):
        for j in range(8):
            want = (c[i] > c[i, j]).sum() < k and (c[:, j] > c[i, j]).sum() < k
            assert got[i, j] == want


def test_units_of_three_networks():
    noise = lambda: random.normal(size=(50, 6))  # noqa: E731
    second, third = X[:, ::-1] + 0.1 * noise(), np.c_[X[:, :4] + 0.1 * noise()[:, :4], noise()]
    models = [jnp.asarray(np.float32(m)) for m in (X, second, third)]
    found = similarity.rosetta_units(models, k=1, threshold=0.9)
    assert sorted(found.tolist()) == [[i, 5 - i, i] for i in range(4)]
    means = [
        np.mean([correlate(models[a], models[b])[u[a], u[b]] for a, b in PAIRS]) for u in found
    ]
    assert (np.diff(means) <= 1e-6).all()
    assert similarity.rosetta_units(models, threshold=1.0).shape == (0, 3)


PAIRS = ((0, 1), (0, 2), (1, 2))


def layer(units=5, homogeneous=False):
    """Five units of which some come twice or three times, with parts of the outgoing weights."""
    kernel, bias = random.normal(size=(4, units)), random.normal(size=units)
    following = random.normal(size=(units, 3))
    copies = np.array([0, 1, 2, 3, 4, 1, 3, 3])
    scale = random.uniform(0.5, 2, 8) if homogeneous else np.ones(8)
    share = random.uniform(0.5, 1, 8)
    share /= np.array([share[copies == c].sum() for c in copies])
    wide = kernel[:, copies] * scale, bias[copies] * scale
    out = following[copies] * (share / scale)[:, None]
    return (kernel, bias, following), tuple(np.float32(a) for a in (*wide, out)), copies


@pytest.mark.parametrize("homogeneous", [False, True])
def test_copies_are_merged_and_nothing_else(homogeneous):
    _, wide, copies = layer(homogeneous=homogeneous)
    wide = tuple(map(jnp.asarray, wide))
    merge = functools.partial(similarity.merge_features, *wide, homogeneous=homogeneous)
    merged = merge(threshold=1e-3)
    np.testing.assert_array_equal(merged.groups, copies)
    assert merged.kernel.shape == (4, 5)
    x = random.normal(size=(20, 4))
    outputs = [
        np.maximum(x @ np.asarray(p[0]) + np.asarray(p[1]), 0) @ np.asarray(p[2])
        for p in (wide, merged)
    ]
    np.testing.assert_allclose(outputs[1], outputs[0], atol=1e-5)
    counted = merge(features=5)
    for one, other in zip(counted, merged, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    if homogeneous:  # by weights as they are, scaled copies differ
        plain = similarity.merge_features(*wide, threshold=1e-3)
        assert plain.kernel.shape == (4, 8)


def test_merging_goes_from_pair_to_pair():
    """0 and 2 meet in 1; 7 is nearer to their mean than 13 is to 7; the outgoing add up."""
    kernel, following = jnp.array([[0.0, 7, 2, 13]]), jnp.array([[1.0], [2], [4], [8]])
    merge = functools.partial(similarity.merge_features, kernel, jnp.zeros(4), following)
    merged = merge(threshold=3.0)
    assert merged.groups.tolist() == [0, 1, 0, 2]
    np.testing.assert_allclose(merged.kernel, [[1, 7, 13]])
    np.testing.assert_allclose(merged.following, [[5], [2], [8]])
    assert merged.distance == 2
    merged = merge(features=2)  # of the distances 6 and 6 the first
    assert merged.groups.tolist() == [0, 0, 0, 1]
    np.testing.assert_allclose(merged.kernel, [[3, 13]])  # the mean of 0, 2 and 7
    np.testing.assert_allclose(merge(threshold=0.0).kernel, kernel)


def test_means_weigh_units_by_what_they_stand_for():
    """0 and 0.2 meet in 0.1, with 1 in 0.4: from there 1.9 is 1.5 away, not 1.35."""
    kernel = jnp.array([[0.0, 0.2, 1.0, 1.9]])
    merged = similarity.merge_features(kernel, jnp.zeros(4), jnp.ones((4, 1)), threshold=1.4)
    assert merged.groups.tolist() == [0, 0, 0, 1]
    np.testing.assert_allclose(merged.kernel, [[0.4, 1.9]], atol=1e-6)
