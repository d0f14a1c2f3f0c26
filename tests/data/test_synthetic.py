import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import data

# Compiled as a whole, since op by op each small test would compile dozens of programs.
two_spirals = jax.jit(data.two_spirals, static_argnames=("n", "turns", "noise"))
teacher_student = jax.jit(
    data.teacher_student, static_argnames=("n", "inputs", "units", "outputs", "noise")
)
spike_patterns = jax.jit(
    data.spike_patterns,
    static_argnames=("n", "classes", "channels", "steps", "spikes", "jitter"),
)
delay_coincidence = jax.jit(
    data.delay_coincidence, static_argnames=("n", "channels", "lags", "steps", "noise")
)
teacher_outputs = jax.jit(data.teacher_outputs)


def test_spirals_angle_follows_their_radius(key):
    x, y = two_spirals(key, 200, turns=2.0)
    x, y = np.asarray(x, np.float64), np.asarray(y)
    radius = np.hypot(*x.T)
    turned = np.arctan2(x[:, 1], x[:, 0]) / (2 * np.pi) - 2.0 * radius - 0.5 * y
    # A whole number of turns is left; the sign of the winding and the class's offset show.
    np.testing.assert_allclose(turned - turned.round(), 0, atol=1e-4)
    assert np.bincount(y).tolist() == [100, 100]
    assert radius.max() < 1
    # Uniform along r^2: a quarter of the points lie in the inner half.
    assert abs((radius < 0.5).mean() - 0.25) < 0.1


def test_spirals_noise_has_its_deviation(key):
    clean, _ = two_spirals(key, 4000)
    noisy, _ = two_spirals(key, 4000, noise=0.1)
    # Standard error of a deviation from 8,000 draws: 0.1 / sqrt(16,000), below 1%.
    assert abs(np.std(noisy - clean) - 0.1) < 4e-3


def test_the_teacher_answers_as_planted(key):
    task = teacher_student(key, 50, inputs=6, units=3, outputs=2)
    x, hidden, readout = (np.asarray(v, np.float64) for v in (task.x, *task.teacher))
    np.testing.assert_allclose(np.maximum(x @ hidden, 0) @ readout, task.y, atol=1e-5)
    np.testing.assert_array_equal(teacher_outputs(task.teacher, task.x), task.y)
    # Moving any parameter is noticed.
    moved = task.teacher._replace(hidden=task.teacher.hidden + 0.1)
    assert np.abs(teacher_outputs(moved, task.x) - task.y).max() > 1e-2


def test_a_teacher_is_asked_again(key):
    train = teacher_student(key, 10, inputs=6, units=3)
    test = teacher_student(jax.random.key(1), 20, teacher=train.teacher)
    assert test.x.shape == (20, 6)
    np.testing.assert_array_equal(teacher_outputs(train.teacher, test.x), test.y)


def test_preactivations_have_unit_variance(key):
    task = teacher_student(key, 2000, inputs=400, units=50)
    # Over 50 units of 400 inputs the variance is 1 with a spread of about 1%.
    assert abs(np.var(task.x @ task.teacher.hidden) - 1) < 0.05


def test_noise_on_answers(key):
    clean = teacher_student(key, 4000)
    noisy = teacher_student(key, 4000, noise=0.3)
    assert abs(np.std(noisy.y - clean.y) - 0.3) < 0.015


def test_patterns_without_jitter_are_their_templates(key):
    task = spike_patterns(key, 9, classes=3, channels=4, steps=10, spikes=2, jitter=0.0)
    want = np.zeros((9, 10, 4))
    for i, times in enumerate(np.asarray(task.times)[np.arange(9) % 3]):
        for channel in range(4):
            want[i, times[channel], channel] = 1
    np.testing.assert_array_equal(task.x, want)
    np.testing.assert_array_equal(task.y, np.arange(9) % 3)
    assert (task.x.sum(axis=1) == 2).all()


def test_jitter_moves_spikes_by_its_deviation(key):
    task = spike_patterns(key, 400, classes=1, channels=8, steps=200, jitter=3.0)
    times = np.asarray(task.times)[0, :, 0]
    inside = (times > 20) & (times < 180)
    moves = np.asarray(task.x).argmax(axis=1)[:, inside] - times[inside]
    # Rounding to whole steps adds a variance of 1/12.
    assert abs(np.std(moves) - np.sqrt(9 + 1 / 12)) < 0.2
    assert abs(np.mean(moves)) < 0.3


def test_spikes_jittered_out_are_lost_and_do_not_wrap():
    times = jnp.array([[-1, 0], [9, 10]])
    want = np.zeros((10, 2))
    want[0, 0] = want[9, 1] = 1
    np.testing.assert_array_equal(data.spike_trains(times, steps=10), want)


def test_templates_are_used_again(key):
    train = spike_patterns(key, 8, jitter=0.0)
    test = spike_patterns(jax.random.key(1), 4, jitter=0.0, times=train.times)
    np.testing.assert_array_equal(test.x, train.x[:4])


def test_followers_lag_their_leaders_by_the_class(key):
    x, y = delay_coincidence(key, 600, channels=6, lags=(0, 4, 7), steps=20)
    assert x.shape == (600, 20, 6)
    np.testing.assert_array_equal(x.sum(axis=1), 1)
    times = np.asarray(x).argmax(axis=1)
    want = np.array([0, 4, 7])[np.asarray(y)][:, None]
    assert ((times[:, 3:] - times[:, :3]) % 20 == want).all()
    assert np.bincount(y).tolist() == [200, 200, 200]
    # Leaders and followers of other pairs are uniform: 5 standard deviations of 1,800 draws.
    for values in (times, times[:, 3:] - times[:, [1, 2, 0]]):
        counts = np.bincount(values.ravel() % 20, minlength=20) / values.size
        assert np.abs(counts - 0.05).max() < 5 * np.sqrt(0.05 * 0.95 / values.size * 2)


def test_stray_spikes_come_at_their_rate(key):
    x, _ = delay_coincidence(key, 500, channels=4, steps=40, noise=0.1)
    # One planted spike in 40 steps, and a tenth of the other 39; five deviations of 80,000.
    assert abs(np.mean(x) - (1 + 0.1 * 39) / 40) < 5 * np.sqrt(0.1 * 0.9 / 8e4)
    assert set(np.unique(x)) == {0, 1}


@pytest.mark.parametrize(
    "make",
    [data.two_spirals, data.teacher_student, data.spike_patterns, data.delay_coincidence],
    ids=lambda f: f.__name__,
)
def test_pure_functions_of_a_key(make, key):
    eager = make(key, 8)
    compiled = jax.jit(make, static_argnums=1)(key, 8)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), eager, compiled)
    legacy = make(jax.random.key_data(key), 8)
    jax.tree.map(np.testing.assert_array_equal, eager, legacy)
    other = make(jax.random.key(1), 8)
    assert not np.allclose(eager[0], other[0])
    batch = jax.vmap(functools.partial(make, n=8))(jax.random.split(key, 3))
    one = make(jax.random.split(key, 3)[1], 8)
    np.testing.assert_allclose(batch[0][1], one[0], atol=1e-5)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda k: data.two_spirals(0, 8), TypeError, "two_spirals: `key` is 0"),
        (lambda k: data.two_spirals(k, 0), ValueError, "two_spirals: `n` is 0"),
        (lambda k: data.two_spirals(k, 8, noise=-1.0), ValueError, "two_spirals: `noise` is -1.0"),
        (lambda k: data.teacher_student(k, 8, units=0), ValueError, "teacher_student: `units` is"),
        (lambda k: data.teacher_student(k, 8, noise=-1.0), ValueError, "student: `noise` is -1.0"),
        (
            lambda k: data.teacher_outputs(data.teacher_student(k, 8).teacher, jnp.ones((2, 3))),
            ValueError,
            r"teacher_outputs: `x` is .*\(2, 3\).* needs a last axis of 16",
        ),
        (
            lambda k: data.teacher_outputs(data.teacher_student(k, 8).teacher, [1.0]),
            TypeError,
            "teacher_outputs: `x` is",
        ),
        (lambda k: data.spike_patterns(k, 8, jitter=-1.0), ValueError, "patterns: `jitter` is -1"),
        (lambda k: data.spike_patterns(k, 8, steps=2, spikes=3), ValueError, "at most one a step"),
        (
            lambda k: data.spike_patterns(k, 8, times=jnp.ones((2, 3), int)),
            ValueError,
            r"`times` is .* needs shape \(classes, channels, spikes\)",
        ),
        (lambda k: data.delay_coincidence(k, 8, channels=3), ValueError, "`channels` is 3; .*even"),
        (
            lambda k: data.delay_coincidence(k, 8, steps=10),
            ValueError,
            "`lags` is .*`steps`, .* 10",
        ),
        (lambda k: data.delay_coincidence(k, 8, noise=2.0), ValueError, "`noise` is 2.0"),
        (lambda k: data.spike_trains(jnp.ones((2, 3)), steps=4), TypeError, "needs integers"),
        (lambda k: data.spike_trains(jnp.ones(3, int), steps=4), ValueError, "`times` is .*shape"),
        (lambda k: data.spike_trains(jnp.ones((2, 3), int), steps=0), ValueError, "`steps` is 0"),
    ],
)
def test_bad_input_is_named(key, call, error, match):
    with pytest.raises(error, match=match):
        call(key)
