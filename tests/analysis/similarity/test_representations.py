"""Whole representations: identities, and SciPy, scikit-learn or NumPy loops beside them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.distance import pdist, squareform
from scipy.stats import pearsonr, spearmanr
from sklearn.neighbors import NearestNeighbors

from jaxnn.analysis import similarity

MEASURES = {
    "linear_cka": similarity.linear_cka,
    "debiased": functools.partial(similarity.linear_cka, debiased=True),
    "cca": similarity.cca,
    "svcca": functools.partial(similarity.svcca, variance=0.9),
    "pwcca": similarity.pwcca,
    "procrustes": similarity.procrustes,
    "rsa": functools.partial(similarity.rsa, metric="euclidean", comparison="pearson"),
    "mutual_knn": functools.partial(similarity.mutual_knn, k=5),
    "cycle_knn": functools.partial(similarity.cycle_knn, k=3),
    "lcs_knn": functools.partial(similarity.lcs_knn, k=4),
    "edit_knn": functools.partial(similarity.edit_knn, k=4),
    "cknna": functools.partial(similarity.cknna, k=5),
}
random = np.random.default_rng(0)
X = np.float32(random.normal(size=(40, 6)) @ random.normal(size=(6, 6)))
Y = np.float32(X[:, :4] @ random.normal(size=(4, 6)) + random.normal(size=(40, 6)) + 1)


@jax.jit
def measured(x, y):
    """All in one program, for all tests."""
    values = {name: measure(x, y) for name, measure in MEASURES.items()}
    k, l = x @ x.T, y @ y.T  # noqa: E741
    for debiased in (False, True):
        values[f"kernel {debiased}"] = similarity.kernel_cka(k, l, debiased=debiased)
        values[f"hsic {debiased}"] = similarity.hsic(k, l, debiased=debiased)
    values["nearest"] = similarity.nearest(x, k=5), similarity.nearest(y, k=5)
    return values


@functools.cache
def ours():
    return measured(jnp.asarray(X), jnp.asarray(Y))


def gram_loop(x, y):
    """Debiased HSIC as printed, in sums over Gram matrices without a diagonal."""
    n = len(x)
    k, l = (np.float64(a) @ np.float64(a).T for a in (x, y))  # noqa: E741
    np.fill_diagonal(k, 0)
    np.fill_diagonal(l, 0)
    one = np.trace(k @ l)
    two = k.sum() * l.sum() / (n - 1) / (n - 2)
    three = 2 * np.ones(n) @ k @ l @ np.ones(n) / (n - 2)
    return (one + two - three) / (n * (n - 3))


def biased_loop(x, y):
    n = len(x)
    h = np.eye(n) - 1 / n
    k, l = (np.float64(a) @ np.float64(a).T for a in (x, y))  # noqa: E741
    return np.trace(k @ h @ l @ h) / (n - 1) ** 2


@pytest.mark.parametrize(("debiased", "loop"), [(False, biased_loop), (True, gram_loop)])
def test_hsic_and_cka_equal_the_formula(debiased, loop):
    want = loop(X, Y)
    np.testing.assert_allclose(ours()[f"hsic {debiased}"], want, rtol=1e-4)
    want /= np.sqrt(loop(X, X) * loop(Y, Y))
    np.testing.assert_allclose(ours()[f"kernel {debiased}"], want, rtol=1e-4)
    name = "debiased" if debiased else "linear_cka"
    np.testing.assert_allclose(ours()[name], want, rtol=1e-4)
    wide = jax.jit(functools.partial(similarity.linear_cka, debiased=debiased))
    few = (X[:5], Y[:5, :5])  # fewer examples than units: by Gram matrices
    want = loop(*few) / np.sqrt(loop(few[0], few[0]) * loop(few[1], few[1]))
    np.testing.assert_allclose(wide(*map(jnp.asarray, few)), want, rtol=1e-4)


def test_debiased_hsic_of_independent_data_is_zero_in_the_mean():
    x, y = (np.float32(random.normal(size=(3000, 6, 3))) for _ in range(2))

    def grams(x, y):
        k, l = x @ x.T, y @ y.T  # noqa: E741
        return similarity.hsic(k, l, debiased=True), similarity.hsic(k, l)

    new, old = map(np.asarray, jax.jit(jax.vmap(grams))(x, y))
    assert abs(new.mean()) < 4 * new.std() / np.sqrt(len(new))
    assert old.mean() > 20 * old.std() / np.sqrt(len(old))


def test_sums_over_batches():
    """All in one batch is the debiased CKA; several give the ratio of sums."""
    update = jax.jit(similarity.cka_update)
    whole = similarity.cka_value(update(similarity.cka_init(), X, Y))
    np.testing.assert_allclose(whole, ours()["debiased"], rtol=1e-4)
    batches = X.reshape(4, 10, 6), Y.reshape(4, 10, 6)
    step = lambda state, batch: (similarity.cka_update(state, *batch), None)  # noqa: E731
    state, _ = jax.lax.scan(step, similarity.cka_init(), batches)
    pairs = list(zip(*batches, strict=True))
    sums = [sum(gram_loop(*p) for p in which(pairs)) for which in (lambda p: p, first, second)]
    np.testing.assert_allclose(state, sums, rtol=1e-4)
    want = sums[0] / np.sqrt(sums[1] * sums[2])
    np.testing.assert_allclose(similarity.cka_value(state), want, rtol=1e-4)


def first(pairs):
    return [(x, x) for x, _ in pairs]


def second(pairs):
    return [(y, y) for _, y in pairs]


def rotated(x):
    q, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(x.shape[1],) * 2))
    return np.float32(3 * x @ q)


def test_rotations_and_scales_change_nothing():
    got = measured(jnp.asarray(rotated(X)), jnp.asarray(rotated(Y)))
    for name in set(MEASURES) - {"pwcca"}:  # whose weights are sums over the units of x
        np.testing.assert_allclose(got[name], ours()[name], atol=2e-4, err_msg=name)


def test_a_rotated_copy_is_the_same():
    got = measured(jnp.asarray(X), jnp.asarray(rotated(X)))
    for name in MEASURES:
        want = {"procrustes": 0, "cycle_knn": got["cycle_knn"]}.get(name, 1)
        np.testing.assert_allclose(got[name], want, atol=1e-4, err_msg=name)
    assert got["cycle_knn"] > 0.8


def test_shifts_change_nothing_where_means_are_taken_off():
    got = measured(jnp.asarray(X + 2), jnp.asarray(Y - 1))
    for name in ("linear_cka", "debiased", "cca", "svcca", "pwcca", "procrustes", "rsa"):
        np.testing.assert_allclose(got[name], ours()[name], atol=2e-4, err_msg=name)


def numpy_cca(x, y):
    """QR of each, singular values of the product."""
    x, y = (np.linalg.qr(a - a.mean(0))[0] for a in (np.float64(x), np.float64(y)))
    return np.linalg.svd(x.T @ y, compute_uv=False)


def test_canonical_correlations():
    np.testing.assert_allclose(ours()["cca"], numpy_cca(X, Y), atol=1e-5)
    skew = np.float32((np.eye(6) + 0.5 * np.eye(6, k=1)) * 10.0 ** np.arange(-3, 3))
    got = measured(jnp.asarray(X @ skew), jnp.asarray(Y))
    np.testing.assert_allclose(got["cca"], ours()["cca"], atol=2e-3)
    assert abs(got["linear_cka"] - ours()["linear_cka"]) > 0.05  # which is no such invariant
    # Units that repeat others add nothing.
    twice = np.concatenate([Y[:, :4], Y[:, :1] - Y[:, 1:2], np.zeros((40, 1), np.float32)], 1)
    want = np.append(numpy_cca(X, Y[:, :4]), [0, 0])
    np.testing.assert_allclose(measured(X, twice)["cca"], want, atol=1e-4)


def test_planted_correlations():
    """Columns ρ z + √(1 - ρ²) w of orthonormal z, w have the correlations ρ."""
    z = np.linalg.qr(np.c_[np.ones(30), random.normal(size=(30, 6))])[0][:, 1:]
    rho = np.array([0.9, 0.6, 0.0])
    x, y = z[:, :3], rho * z[:, :3] + np.sqrt(1 - rho**2) * z[:, 3:]
    x, y = np.float32(x), np.float32(y)
    measures = jax.jit(
        lambda x, y: (
            similarity.cca(x, y),
            similarity.svcca(x, y, variance=1.0),
            similarity.procrustes(x, y),
            similarity.linear_cka(x, y),
            similarity.pwcca(x, y),
            similarity.svcca(x, y, variance=0.9),
        )
    )
    got = measures(x, y)
    np.testing.assert_allclose(got[0], rho, atol=1e-5)
    want = rho.mean(), 2 - 2 * rho.mean(), (rho**2).sum() / 3
    np.testing.assert_allclose(got[1:4], want, atol=1e-5)
    # Scaled columns weigh in PWCCA by their lengths; two of them hold SVCCA's 90 %.
    big = np.float32([10, 5, 1])
    got = measures(x * big, y * big)
    np.testing.assert_allclose(got[4], (rho @ big) / 16, atol=1e-5)
    kept = [np.linalg.svd(np.float64(a * big))[0][:, :2] for a in (x, y)]
    want = np.linalg.svd(kept[0].T @ kept[1], compute_uv=False).mean()
    np.testing.assert_allclose(got[5], want, atol=1e-4)


def test_procrustes_is_scipys():
    x, y = (np.float64(a) - a.mean(0) for a in (X, Y))
    x, y = (a / np.linalg.norm(a) for a in (x, y))
    turn, _ = orthogonal_procrustes(y, x)
    want = np.sum((x - y @ turn) ** 2)
    np.testing.assert_allclose(ours()["procrustes"], want, rtol=1e-4)


@pytest.mark.parametrize("metric", ["correlation", "cosine", "euclidean"])
def test_dissimilarities_are_scipys(metric):
    got = jax.jit(functools.partial(similarity.dissimilarity, metric=metric))(X)
    np.testing.assert_allclose(got, squareform(pdist(X, metric)), atol=1e-5)


def test_comparisons_are_scipys():
    d, e = (np.float32(squareform(pdist(a)).round()) for a in (X, Y))  # with ties
    above = np.triu_indices(40, 1)
    one, other = d[above], e[above]
    assert len(np.unique(one)) < len(one) / 2
    names = ("spearman", "pearson", "cosine")
    compare = lambda d, e: [  # noqa: E731
        similarity.compare_dissimilarities(d, e, comparison=name) for name in names
    ]
    cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    want = spearmanr(one, other)[0], pearsonr(one, other)[0], cosine
    np.testing.assert_allclose(jax.jit(compare)(d, e), want, atol=1e-5)


def neighbours(x, k):
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    model = NearestNeighbors(n_neighbors=k + 1, algorithm="brute").fit(x)
    return model.kneighbors(x, return_distance=False)[:, 1:]


def lcs(a, b):
    if not a or not b:
        return 0
    if a[0] == b[0]:
        return 1 + lcs(a[1:], b[1:])
    return max(lcs(a[1:], b), lcs(a, b[1:]))


def edits(a, b):
    if not a or not b:
        return len(a) + len(b)
    change = edits(a[1:], b[1:]) + (a[0] != b[0])
    return min(change, 1 + edits(a[1:], b), 1 + edits(a, b[1:]))


def test_neighbours_are_scikit_learns():
    near, close = neighbours(X, 5), neighbours(Y, 5)
    np.testing.assert_array_equal(ours()["nearest"][0], near)
    shared = [len(set(a) & set(b)) / 5 for a, b in zip(near, close, strict=True)]
    np.testing.assert_allclose(ours()["mutual_knn"], np.mean(shared), atol=1e-6)
    back = [any(i in near[j, :3] for j in close[i, :3]) for i in range(40)]
    np.testing.assert_allclose(ours()["cycle_knn"], np.mean(back), atol=1e-6)
    lists = [(list(a[:4]), list(b[:4])) for a, b in zip(near, close, strict=True)]
    want = np.mean([lcs(a, b) / 4 for a, b in lists])
    np.testing.assert_allclose(ours()["lcs_knn"], want, atol=1e-6)
    want = np.mean([1 - edits(a, b) / 4 for a, b in lists])
    np.testing.assert_allclose(ours()["edit_knn"], want, atol=1e-6)


def test_nearest_kernel_alignment():
    unit = [a / np.linalg.norm(a, axis=1, keepdims=True) for a in (np.float64(X), np.float64(Y))]
    kernels = [u @ u.T for u in unit]
    masks = [np.zeros((40, 40)), np.zeros((40, 40))]
    for mask, a in zip(masks, (X, Y), strict=True):
        mask[np.arange(40)[:, None], neighbours(a, 5)] = 1

    def alike(i, j):
        k, l = (kernels[a] * masks[i] * masks[j] for a in (i, j))  # noqa: E741
        n, one = 40, np.ones(40)
        total = np.trace(k @ l) + one @ k @ one * (one @ l @ one) / (n - 1) / (n - 2)
        return total - 2 * one @ k @ l @ one / (n - 2)

    want = alike(0, 1) / np.sqrt(alike(0, 0) * alike(1, 1))
    np.testing.assert_allclose(ours()["cknna"], want, rtol=1e-4)
    # With all others as neighbours it is debiased CKA.
    x, y = (np.float32(u) for u in unit)
    got = jax.jit(functools.partial(similarity.cknna, k=39))(x, y)
    want = gram_loop(x, y) / np.sqrt(gram_loop(x, x) * gram_loop(y, y))
    np.testing.assert_allclose(got, want, rtol=1e-4)


def test_rbf_kernel():
    x = X[:9]
    square = squareform(pdist(x, "sqeuclidean"))
    width = 0.7 * np.median(np.sqrt(square[np.triu_indices(9, 1)]))
    got = jax.jit(functools.partial(similarity.rbf_kernel, bandwidth=0.7))(x)
    np.testing.assert_allclose(got, np.exp(-square / (2 * width**2)), atol=1e-5)


def test_unrelated_neighbours_are_shared_by_chance():
    x, y = (np.float32(random.normal(size=(300, 20))) for _ in range(2))
    assert abs(jax.jit(similarity.mutual_knn)(x, y) - 10 / 299) < 0.02


def test_layer_map():
    layers = {"a": X, "b": Y[:, :4], "c": X[:, ::-1] ** 2, "d": X.reshape(40, 2, 3)}
    layers = {name: jnp.asarray(value) for name, value in layers.items()}
    traces = []

    def counted(x, y):
        traces.append(1)
        return similarity.procrustes(x, y)

    other = {"b": layers["b"], "a": layers["a"] * 2}
    got = similarity.layer_map(layers, other, measure=counted)
    assert len(traces) == 4  # two shapes by two, not four layers by two
    pair = jax.jit(similarity.procrustes)
    want = [[pair(x.reshape(40, -1), y) for y in other.values()] for x in layers.values()]
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_what_never_changes_is_like_nothing():
    still = jnp.full((40, 6), 0.1)  # of the shape of Y, for the same program
    got = measured(jnp.asarray(X), still)
    zero = ("linear_cka", "debiased", "cca", "svcca", "pwcca", "rsa", "kernel False")
    for name in zero:
        np.testing.assert_array_equal(got[name], 0, err_msg=name)
    assert got["procrustes"] == 2
