"""Geo-topological transforms and geodesics; agreement on the order of learning."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse.csgraph import shortest_path
from scipy.spatial.distance import pdist, squareform

from jaxnn.analysis import similarity

random = np.random.default_rng(0)
D = np.float32(squareform(pdist(random.normal(size=(21, 3)))))
ABOVE = np.triu_indices(21, 1)


def test_transform_by_hand():
    got = jax.jit(functools.partial(similarity.geo_topological, lower=0.2, upper=0.7))(D)
    low, high = np.quantile(D[ABOVE], [0.2, 0.7])
    want = np.clip((D - low) / (high - low), 0, 1)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_whole_range_is_the_matrix_itself():
    g = similarity.geo_topological(jnp.asarray(D))
    got = similarity.compare_dissimilarities(g, jnp.asarray(D), comparison="pearson")
    np.testing.assert_allclose(got, 1, atol=1e-6)


def test_adjacency_depends_on_ranks_only():
    adjacent = jax.jit(functools.partial(similarity.geo_topological, lower=0.33, upper=0.33))
    got = adjacent(D)
    np.testing.assert_array_equal(got, adjacent(D**3))
    np.testing.assert_array_equal(got[ABOVE], D[ABOVE] > np.quantile(D[ABOVE], 0.33))


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_geodesics_are_scipys(share):
    got = jax.jit(functools.partial(similarity.geodesics, upper=share))(D)
    cut = np.quantile(D[ABOVE], share)
    graph = np.where(cut >= D, D, 0) if share < 1 else D
    want = shortest_path(graph, directed=False)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    assert np.isinf(want).any() == (share < 1)


@pytest.mark.parametrize("n", [2, 3, 9, 10])
def test_geodesics_along_a_line(n):
    """The longest path has n - 1 edges."""
    line = np.full((n, n), np.inf, np.float32)
    line[np.arange(n - 1), np.arange(1, n)] = line[np.arange(1, n), np.arange(n - 1)] = 1
    want = np.abs(np.arange(n)[:, None] - np.arange(n))
    np.testing.assert_array_equal(similarity.geodesics(jnp.asarray(line)), want)


def test_agreement_by_hand():
    correct = np.float32(random.random((4, 2, 50)) < 0.6)
    got = jax.jit(similarity.order_agreement)(correct)
    np.testing.assert_allclose(got.agreement, correct.mean(0), atol=1e-6)
    np.testing.assert_allclose(got.variance, correct.mean(0).var(-1), atol=1e-6)
    scores = similarity.accessibility(jnp.asarray(correct))
    np.testing.assert_allclose(scores, correct.mean((0, 1)), atol=1e-6)


def test_chance_is_that_of_shuffles():
    correct = np.float32(random.random((3, 1, 20)) < np.array([0.3, 0.5, 0.9])[:, None, None])
    got = jax.jit(similarity.order_agreement)(correct)
    dealt = np.tile(correct[:, 0], (20_000, 1, 1))
    variances = random.permuted(dealt, axis=-1).mean(1).var(-1)
    error = variances.std() / np.sqrt(len(variances))
    assert abs(variances.mean() - got.expected[0]) < 4 * error
    # The deviation's own error is about 1 in 200.
    np.testing.assert_allclose(got.deviation[0], variances.std(), rtol=0.03)
