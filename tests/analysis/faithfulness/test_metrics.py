"""Closed forms and loops for what quantus has no reference for, and for what it leaves open."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.analysis import attribution, faithfulness
from jaxnn.analysis.faithfulness._correlations import _subsets

RANDOM = np.random.default_rng(0)
START = RANDOM.bit_generator.state


@pytest.fixture(autouse=True)
def same_numbers_in_any_order():
    RANDOM.bit_generator.state = START


def draw(*shape):
    return RANDOM.normal(size=shape).astype(np.float32)


def test_linear_functions_are_explained_by_their_terms(key):
    w, x, off = (jnp.asarray(v) for v in draw(3, 12))
    terms = w * (x - off)
    f = lambda x: jnp.sum(w * x)  # noqa: E731

    @jax.jit
    def scores(a):
        return (
            faithfulness.faithfulness_correlation(
                f, x, a, subset_size=4, key=key, samples=30, baseline=off
            ),
            faithfulness.faithfulness_estimate(f, x, a, baseline=off),
            faithfulness.monotonicity_correlation(f, x, a, off[None]),
        )

    np.testing.assert_allclose(scores(terms), 1, atol=1e-5)
    np.testing.assert_allclose(scores(-terms), [-1, -1, 1], atol=1e-5)


def test_drawn_sets_are_even_and_of_the_size(key):
    """The mean sum of attributions over sets of k of n is k / n of the whole."""
    sets = np.asarray(_subsets("here", 6, 2, key, 3000))
    assert (sets.sum(1) == 2).all()
    # An entry's share over 3000 has a deviation of 0.0086.
    np.testing.assert_allclose(sets.mean(0), 1 / 3, atol=0.04)
    pairs = np.asarray(_subsets("here", 6, 2, None, 0))
    assert [tuple(np.flatnonzero(p)) for p in pairs] == list(itertools.combinations(range(6), 2))


def test_pixels_go_with_their_channels():
    """Attributions of pixels equal a function of pixels, whose channels are added up."""
    w, x, near = draw(3, 4), draw(3, 4, 2), draw(5, 3, 4, 2)
    a = draw(3, 4)
    wide = lambda x: jnp.sum(jnp.tanh(jnp.asarray(w) * x.sum(-1)))  # noqa: E731
    flat = lambda x: jnp.sum(jnp.tanh(jnp.asarray(w) * x))  # noqa: E731
    masks = np.repeat(np.arange(6), 2).reshape(3, 4)
    results = []
    for f, example, others in ((wide, x, near), (flat, x.sum(-1), near.sum(-1))):
        got = jax.jit(
            lambda a, x, near, f=f: (
                faithfulness.faithfulness_correlation(f, x, a, subset_size=2),
                faithfulness.faithfulness_estimate(f, x, a, group_size=3),
                faithfulness.monotonicity_correlation(f, x, a, near),
                faithfulness.region_perturbation(f, x, a, masks).sum(),
                faithfulness.infidelity(f, x, a, near),
                faithfulness.non_sensitivity(f, x, a, threshold=0.4).astype(jnp.float32),
            )
        )(*(jnp.asarray(v) for v in (a, example, others)))
        results.append(got)
    np.testing.assert_allclose(*results, rtol=1e-4)


def test_infidelity_is_that_of_the_quadratic_form():
    """Of the gradient of x^2 / 2 it is the mean of |I|^4 / 4; scaled best, it is below."""
    x, steps = jnp.asarray(draw(5)), jnp.asarray(draw(7, 5))
    f = lambda x: jnp.sum(x**2) / 2  # noqa: E731
    plain, best = (
        jax.jit(jax.vmap(lambda s, n=n: faithfulness.infidelity(f, x, s * x, steps, normalize=n)))
        for n in (False, True)
    )
    scales = jnp.linspace(-1, 2, 31)
    want = np.mean(np.sum(np.asarray(steps) ** 2, 1) ** 2) / 4
    near = plain(scales)
    np.testing.assert_allclose(near[20], want, rtol=1e-4)
    least = best(scales)[scales != 0]
    np.testing.assert_allclose(least, least[0], rtol=1e-4)  # the scale given does not matter
    assert near.min() * 0.9 <= least[0] <= near.min() + 1e-5


def test_monotonicity_reads_the_steps_between_entries():
    x = jnp.array([3.0, -1.0, 2.0])
    assert faithfulness.monotonicity(jnp.sum, x, x)  # the first step, -1, is not compared
    assert not faithfulness.monotonicity(jnp.sum, x, -x)
    assert not faithfulness.monotonicity(jnp.sum, x, jnp.array([3.0, 2.0, 1.0]))
    assert faithfulness.monotonicity(jnp.sum, x, jnp.array([3.0, 2.0, 1.0]), steps=1)


def test_imputation_solves_the_weighted_means():
    """A plane is its own neighbours' mean; other holes equal a dense solve; noise is as given."""
    rows, columns = np.mgrid[:5, :6].astype(np.float32)
    plane = 2 * rows - 3 * columns + 1
    inside = np.zeros((5, 6), bool)
    inside[1:4, 1:5] = True
    impute = jax.jit(faithfulness.noisy_linear_imputation)
    got = impute(jnp.where(inside, 50.0, plane), jnp.asarray(inside))
    np.testing.assert_allclose(got, plane, atol=1e-4)
    x, hole = draw(5, 6), RANDOM.random((5, 6)) < 0.6
    places = np.argwhere(hole)
    matrix, known = np.zeros((len(places),) * 2), np.zeros(len(places))
    for row, (i, j) in enumerate(places):
        for di, dj in itertools.product((-1, 0, 1), repeat=2):
            p, q = i + di, j + dj
            if (di, dj) == (0, 0) or not (0 <= p < 5 and 0 <= q < 6):
                continue
            weight = 1 / 6 if di * dj == 0 else 1 / 12
            matrix[row, row] += weight
            if hole[p, q]:
                matrix[row, (places == (p, q)).all(1).argmax()] -= weight
            else:
                known[row] += weight * x[p, q]
    want = x.copy()
    want[hole] = np.linalg.solve(matrix, known)
    clean = impute(jnp.asarray(x), jnp.asarray(hole))
    np.testing.assert_allclose(clean, want, atol=1e-4)
    keys = jax.random.split(jax.random.key(1), 100)
    noisy = jax.jit(
        jax.vmap(
            lambda k: faithfulness.noisy_linear_imputation(
                jnp.asarray(x), jnp.asarray(hole), key=k, noise=0.5
            )
        )
    )(keys)
    assert (np.asarray(noisy)[:, ~hole] == x[~hole]).all()
    # Over 100 draws a deviation of 0.5 is known to 0.035 for one pixel.
    np.testing.assert_allclose(np.std(noisy, 0)[hole], 0.5, atol=0.15)
    np.testing.assert_allclose(np.mean(noisy, 0)[hole], want[hole], atol=0.2)


def test_kept_halves_share_nothing_and_leave_nothing():
    x, off = jnp.asarray(draw(4, 3, 2)), jnp.asarray(draw(4, 3, 2))
    a = jnp.asarray([[1.0, 1, 0], [1, 2, 0], [0, 0, 5], [1, 1, 1]])
    one = faithfulness.keep_ranked(x, a, fraction=0.25, baseline=off)
    rest = faithfulness.keep_ranked(x, a, fraction=0.75, largest=False, baseline=off)
    kept = np.asarray(one == x).all(-1)
    assert kept.sum() == 3
    assert kept[[0, 1, 2], [0, 1, 2]].all()  # the two largest, and the first of equals
    np.testing.assert_array_equal(one + rest, x + off)


def test_diff_roar_is_top_less_bottom():
    x = jnp.asarray(draw(6, 4))
    got = faithfulness.diff_roar(jnp.sum, x, x, fraction=0.5)
    ordered = np.sort(np.asarray(x), 1)
    np.testing.assert_allclose(got, ordered[:, 2:].sum() - ordered[:, :2].sum(), rtol=1e-5)


def test_parameters_are_replaced_from_the_top_or_one_at_a_time():
    params = {"a": {"w": jnp.zeros(2), "b": jnp.zeros(1)}, "ab": jnp.zeros(1), "c": jnp.zeros(1)}
    fresh = jax.tree.map(jnp.ones_like, params)
    for cascading, first, both in ((True, [1, 1], [0, 1]), (False, [1, 0], [0, 1])):
        got = faithfulness.randomize_parameters(params, fresh, ["c", "a"], cascading=cascading)
        assert got["c"][:, 0].tolist() == first
        assert got["a"]["w"][:, 1].tolist() == got["a"]["b"][:, 0].tolist() == both
        assert got["ab"][:, 0].tolist() == [0, 0]  # `a` is not the start of it


def test_shifts_that_the_model_undoes():
    x, shift, w = (jnp.asarray(v) for v in draw(3, 6))
    f = lambda x: jnp.sum(jnp.tanh(x * w))  # noqa: E731
    slope, product = attribution.gradient, attribution.input_x_gradient
    assert faithfulness.input_invariance(slope, f, x, shift) < 1e-5
    want = jnp.abs(shift * jax.grad(f)(x)).max()
    np.testing.assert_allclose(faithfulness.input_invariance(product, f, x, shift), want, rtol=1e-4)


def test_table_equals_a_loop():
    x, labels, w = jnp.asarray(draw(7, 4)), jnp.arange(7) % 2, jnp.asarray(draw(2, 4))
    f = lambda y: lambda x: jnp.sum(jnp.tanh(x * w[y]))  # noqa: E731
    calls = []

    def slope(x, y):
        calls.append(1)
        return attribution.gradient(f(y), x)

    methods = {"slope": slope, "product": lambda x, y: attribution.input_x_gradient(f(y), x)}
    metrics = {
        "spread": lambda a, x, y: faithfulness.complexity(a),
        "curve": lambda a, x, y: faithfulness.deletion_curve(f(y), x, a, steps=2),
    }
    table = faithfulness.evaluate(methods, metrics, x, labels, batch_size=3)
    traces = len(calls)
    assert traces <= 2  # whole chunks and the rest: once for both metrics
    for method, row in table.items():
        for metric, column in row.items():
            want = [
                metrics[metric](methods[method](x, y), x, y) for x, y in zip(x, labels, strict=True)
            ]
            np.testing.assert_allclose(column, want, rtol=1e-4, atol=1e-6)


def test_table_hands_on_what_belongs_to_each_example_in_its_order():
    x, first, last = jnp.ones((3, 2)), jnp.arange(3.0), jnp.arange(3.0, 6.0)
    methods = {"method": lambda x, a, b: x * a - b}
    metrics = {"metric": lambda e, x, a, b: e.sum() + 10 * a + 100 * b}
    table = faithfulness.evaluate(methods, metrics, x, first, last)
    want = 2 * (first - last) + 10 * first + 100 * last
    np.testing.assert_array_equal(table["method"]["metric"], want)
