import functools
from typing import Any, cast

import jax
import numpy as np
import pytest
from scipy import ndimage

from jaxnn import data


def drawn(function, key, n, **sizes):
    """Draw a task in one program, since op by op it would compile dozens; NumPy arrays."""
    return jax.tree.map(np.asarray, jax.jit(functools.partial(function, n=n, **sizes))(key))


def test_digits_as_rows_and_pixels(key):
    whole = data.digits()
    rows, pixels = data.sequential_digits(), data.sequential_digits(order="pixel")
    np.testing.assert_array_equal(rows.train.x, whole.train.x)
    np.testing.assert_array_equal(pixels.test.x[:, 11, 0], whole.test.x[:, 1, 3])
    np.testing.assert_array_equal(pixels.train.y, whole.train.y)
    mixed = data.sequential_digits(key)
    assert mixed.train.x.shape == (1437, 8, 8)
    assert sorted(mixed.feature_names) == sorted(whole.feature_names) != list(mixed.feature_names)
    # Names go with the pixels, and all digits are mixed alike.
    at = mixed.feature_names.index("pixel_1_3")
    np.testing.assert_array_equal(mixed.test.x.reshape(-1, 64)[:, at], whole.test.x[:, 1, 3])
    again = data.sequential_digits(key, order="pixel")
    np.testing.assert_array_equal(again.train.x[..., 0], mixed.train.x.reshape(-1, 64))


def test_events_are_those_of_a_loop(key):
    """Pixel by pixel, on images moved by SciPy: down and right by 1, 0.5, then up, then back."""
    events = data.event_digits(key, steps=6, reach=1.0, threshold=0.15, noise=0.0)
    places = [(0, 0), (0.5, 0.25), (1, 0.5), (0.5, 0.75), (0, 1), (0, 0.5), (0, 0)]
    images = data.digits().test.x[:3].astype(np.float64)
    moved = [
        ndimage.shift(images, (0, -down, -right), order=1, mode="grid-constant")
        for down, right in places
    ]
    for i in range(3):
        for p, q in np.ndindex(8, 8):
            memory = moved[0][i, p, q]
            for t in range(6):
                change = moved[t + 1][i, p, q] - memory
                sign = int(change >= 0.15) - int(-change >= 0.15)
                memory += 0.15 * sign
                got = events.test.x[i, t].reshape(2, 8, 8)[:, p, q]
                assert got.tolist() == [sign > 0, sign < 0]
    assert events.train.x.shape == (1437, 6, 128)
    assert events.feature_names[64 + 11] == "pixel_1_3_off"


def test_events_sum_to_nothing_and_stray(key):
    """Slow enough to owe no event: back at its place, a pixel has seen as much up as down."""
    clean = data.event_digits(key, steps=36, noise=0.0).test.x
    assert 0.01 < clean.mean() < 0.2
    up, down = np.split(clean.sum(axis=1), 2, axis=-1)
    assert np.abs(up - down).max() <= 1
    noisy = data.event_digits(key, steps=36, noise=0.1).test.x
    assert set(np.unique(noisy)) == {0, 1}
    assert (noisy >= clean).all()
    # A million silent places: the standard error is 3e-4.
    assert abs(noisy[clean == 0].mean() - 0.1) < 2e-3


def test_copying_memory_by_hand(key):
    x, y = drawn(data.copying_memory, key, 50, symbols=5, length=3, delay=4)
    assert x.shape == y.shape == (50, 10)
    assert set(np.unique(x[:, :3])) == set(range(5))
    assert (x[:, 3:] == [5, 5, 5, 6, 5, 5, 5]).all()
    assert (y[:, :7] == 5).all()
    np.testing.assert_array_equal(y[:, 7:], x[:, :3])


def test_selective_copying_by_hand(key):
    x, y = drawn(data.selective_copying, key, 400, symbols=5, length=3, steps=11)
    seen = x[:, :8] < 5
    assert (seen.sum(axis=1) == 3).all()
    np.testing.assert_array_equal(x[:, :8][seen].reshape(-1, 3), y[:, 8:])
    assert (x[:, :8][~seen] == 5).all()
    assert (x[:, 8:] == 6).all()
    assert (y[:, :8] == -1).all()
    # Any place is as likely: 3 in 8, with a standard error of 0.024.
    assert np.abs(seen.mean(axis=0) - 3 / 8).max() < 0.1


def test_recall_asks_each_key_for_its_value(key):
    x, y = drawn(data.associative_recall, key, 200, vocabulary=13, pairs=3, steps=16)
    for tokens, answers in zip(x, y, strict=True):
        table = dict(zip(tokens[0:6:2], tokens[1:6:2], strict=True))
        assert len(table) == len(set(table.values())) == 3
        assert all(1 <= k < 6 <= v < 13 for k, v in table.items())
        (asked,) = np.nonzero(answers >= 0)
        assert (asked >= 6).all()
        assert (asked % 2 == 0).all()
        assert {k: table[k] for k in tokens[asked]} == table
        assert answers[asked].tolist() == [table[k] for k in tokens[asked]]
        assert (np.delete(tokens[6:], asked - 6) == 0).all()
    assert set(x[:, 0]) == set(range(1, 6))
    assert set(x[:, 1]) == set(range(6, 13))


def test_recall_gaps_have_their_odds(key):
    """One query among four places, at odds 1, 1/2, 1/3, 1/4; or none more likely."""
    for power, odds in ((1e-6, 1 / np.arange(1, 5)), (1.0, np.ones(4))):
        _, y = drawn(data.associative_recall, key, 4000, pairs=1, steps=10, power=power)
        seen = (y >= 0).mean(axis=0)[2::2]
        np.testing.assert_allclose(seen, odds / odds.sum(), atol=0.03)  # four deviations


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda k: data.sequential_digits(order=cast("Any", "column")),
            ValueError,
            "sequential_digits: `order` is 'column'; it needs one of .'row', 'pixel'",
        ),
        (
            lambda k: data.sequential_digits(cast("Any", 0)),
            TypeError,
            "sequential_digits: `key` is 0",
        ),
        (lambda k: data.event_digits(k, steps=4), ValueError, "`steps` is 4; .* multiple of 3"),
        (lambda k: data.event_digits(k, threshold=0), ValueError, "`threshold` is 0"),
        (lambda k: data.event_digits(k, noise=-1), ValueError, "`noise` is -1.* a probability"),
        (lambda k: data.copying_memory(k, 2, delay=0), ValueError, "copying_memory: `delay` is 0"),
        (
            lambda k: data.selective_copying(k, 2, length=3, steps=5),
            ValueError,
            "selective_copying: `steps` is 5; it needs at least 6",
        ),
        (
            lambda k: data.associative_recall(k, 2, pairs=8, vocabulary=17),
            ValueError,
            "associative_recall: `vocabulary` is 17; it needs at least 18",
        ),
        (
            lambda k: data.associative_recall(k, 2, pairs=8, steps=31),
            ValueError,
            "associative_recall: `steps` is 31; it needs at least 32",
        ),
    ],
)
def test_bad_input_is_named(key, unchecked, call, error, match):
    with pytest.raises(error, match=match):
        call(key)
