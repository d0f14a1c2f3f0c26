import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.analysis import sparsity

RNG = np.random.default_rng(0)
HIDDEN, DOWN = RNG.normal(size=(3, 5, 12)), RNG.normal(size=(12, 4))
ARRAYS = jnp.asarray(HIDDEN, jnp.float32), jnp.asarray(DOWN, jnp.float32)
error = jax.jit(sparsity.cett)


def loop(threshold):
    """Drop unit after unit of each token, by the paper's definition."""
    errors, kept = np.zeros((3, 5)), HIDDEN.copy()
    for place in np.ndindex(3, 5):
        dropped = np.zeros(4)
        for i in range(12):
            added = HIDDEN[place][i] * DOWN[i]
            if np.linalg.norm(added) <= threshold:
                dropped += added
                kept[place][i] = 0
        errors[place] = np.linalg.norm(dropped) / np.linalg.norm(HIDDEN[place] @ DOWN)
    return errors, kept


@pytest.mark.parametrize("threshold", [0.0, 0.7, 2.0])
def test_equals_a_loop_over_units(threshold):
    errors, kept = loop(threshold)
    np.testing.assert_allclose(error(*ARRAYS, threshold), errors, rtol=1e-4, atol=1e-6)
    got = sparsity.truncate_units(*ARRAYS, threshold)
    np.testing.assert_allclose(got, kept, rtol=1e-6)


def test_nothing_and_everything():
    assert (error(*ARRAYS, 0.0) == 0).all()
    np.testing.assert_allclose(error(*ARRAYS, 1e9), 1, rtol=1e-6)
    assert (error(0 * ARRAYS[0], ARRAYS[1], 1.0) == 0).all()
    slope = jax.grad(lambda h: error(h, ARRAYS[1], 0.7).sum())(ARRAYS[0].at[0].set(0))
    assert jnp.isfinite(slope).all()


def test_threshold_meets_its_target_and_no_smaller_one_of_note():
    find = jax.jit(sparsity.cett_threshold)
    before = -1.0
    for target in (0.05, 0.2, 0.5):
        threshold = find(*ARRAYS, target)
        assert error(*ARRAYS, threshold).mean() <= target
        # The next unit breaks it: thresholds are the units' own sizes.
        sizes = np.sort(np.abs(HIDDEN * np.linalg.norm(DOWN, axis=1)).ravel())
        above = sizes[np.searchsorted(sizes, float(threshold) * (1 + 1e-4))]
        assert loop(above + 1e-9)[0].mean() > target
        assert threshold > before
        before = threshold
    # In another unit the units kept are the same.
    scaled = find(1e3 * ARRAYS[0], ARRAYS[1], 0.2)
    np.testing.assert_allclose(scaled, 1e3 * find(*ARRAYS, 0.2), rtol=1e-4)
    assert (sparsity.truncate_units(*ARRAYS, find(*ARRAYS, 1.0)) == 0).all()


def test_perplexity_allows_what_arithmetic_says():
    traces = []

    def evaluate(c):
        traces.append(1)
        return 2 + c**2, 0.25 + c / 2

    run = jax.jit(lambda: sparsity.ppl_p_sparsity(evaluate, increase=0.05, iterations=16))
    found = run()
    want = np.sqrt(np.log(1.05))
    assert want - 2**-15 < found.cett <= want
    np.testing.assert_allclose(found.sparsity, 0.25 + found.cett / 2, rtol=1e-6)
    np.testing.assert_allclose([found.dense_loss, found.loss], [2, 2 + found.cett**2], rtol=1e-6)
    assert len(traces) <= 2  # scan may look twice, however many halvings


def test_a_model_that_stands_nothing_keeps_what_is_exactly_zero():
    found = sparsity.ppl_p_sparsity(
        lambda c: (jnp.where(c > 0, 9.0, 1.0), jnp.where(c > 0, 1.0, 0.3)), increase=0.01
    )
    assert found.cett == 0
    assert found.sparsity == pytest.approx(0.3)


@pytest.mark.parametrize("rises", [True, False])
def test_laws_are_recovered(rises):
    data = np.geomspace(3.0, 3e4, 40)
    if rises:
        truth = sparsity.ActivationLaw(0.4, 0.35, 0.3, None)
        ratio = 0.4 - 0.35 / data**0.3
    else:
        truth = sparsity.ActivationLaw(0.06, 0.2, 0.4, -0.5)
        ratio = np.exp(-0.2 * data**0.4 - 0.5) + 0.06
    np.testing.assert_allclose(truth.curve(jnp.asarray(data, jnp.float32)), ratio, rtol=1e-4)
    law, explained = sparsity.fit_activation_law(data, ratio, rises=rises)
    assert explained > 1 - 1e-8
    np.testing.assert_allclose(law[:3], truth[:3], rtol=2e-2)
    np.testing.assert_allclose(law.curve(jnp.asarray(data, jnp.float32)), ratio, rtol=1e-3)
    # The other law cannot turn round.
    assert sparsity.fit_activation_law(data, ratio, rises=not rises)[1] < 0.1
