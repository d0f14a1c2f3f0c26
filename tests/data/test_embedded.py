import subprocess
import sys

import numpy as np
import pytest
from sklearn import datasets

from jaxnn import data

TABLES = {
    "breast-cancer": (datasets.load_breast_cancer, {}, 455, 114),
    "wine": (datasets.load_wine, {}, 142, 36),
    "diabetes": (datasets.load_diabetes, {"scaled": False}, 354, 88),
}


def both(dataset):
    return [np.concatenate(pair) for pair in zip(dataset.train, dataset.test, strict=True)]


def rows(x, y):
    """Sort examples with their targets, so that two orders can be compared."""
    table = np.column_stack([x.reshape(len(x), -1), y])
    return table[np.lexsort(table.T)]


def test_digits_are_scikit_learns():
    dataset, theirs = data.digits(), datasets.load_digits()
    assert dataset.train.x.shape == (1437, 8, 8)
    assert dataset.test.x.shape == (360, 8, 8)
    assert dataset.train.x.dtype == np.float32
    assert dataset.train.y.dtype == np.int32
    assert (dataset.train.x.min(), dataset.train.x.max()) == (0.0, 1.0)
    x, y = both(dataset)
    np.testing.assert_array_equal(rows(x * 16, y), rows(theirs.images, theirs.target))
    assert dataset.num_classes == 10
    assert dataset.feature_names[9] == "pixel_1_1"


@pytest.mark.parametrize("name", ["digits", "breast-cancer", "wine"])
def test_each_class_has_its_share_of_the_test_part(name):
    dataset = data.load(name)
    _, y = both(dataset)
    sizes = np.bincount(y)
    shares = np.bincount(dataset.test.y) - sizes * len(dataset.test.y) / len(y)
    assert np.abs(shares).max() < 1
    assert len(sizes) == dataset.num_classes == len(dataset.class_names)


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_scikit_learns_and_scaled_by_the_training_part_alone(name):
    load, options, num_train, num_test = TABLES[name]
    dataset, theirs = data.load(name), load(**options)
    assert (len(dataset.train.x), len(dataset.test.x)) == (num_train, num_test)
    np.testing.assert_allclose(dataset.train.x.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(dataset.train.x.std(0), 1, atol=1e-5)
    # Had the test part been looked at, the mean of all rows would be zero.
    x, y = both(dataset)
    assert np.abs(x.mean(0)).max() > 1e-3
    # Up to one shift and one positive scale a column the rows are scikit-learn's, each once.
    theirs_x = np.asarray(theirs.data)
    ours, wanted = ((v - v.min(0)) / (v.max(0) - v.min(0)) for v in (x.astype(float), theirs_x))
    distance = np.abs(ours[:, None] - wanted[None]).max(-1)
    match = distance.argmin(1)
    assert distance.min(1).max() < 1e-5
    assert sorted(match) == list(range(len(x)))
    y = y * dataset.target_scale + dataset.target_mean
    np.testing.assert_allclose(y, theirs.target[match], rtol=1e-5)
    assert dataset.feature_names == tuple(theirs.feature_names)


def test_diabetes_targets_are_standardised():
    dataset = data.diabetes()
    assert dataset.task == "regression"
    assert dataset.num_classes is None
    assert dataset.train.y.dtype == np.float32
    assert abs(dataset.train.y.mean()) < 1e-5
    assert 25 <= dataset.test.y.min() * dataset.target_scale + dataset.target_mean < 60


def test_splits_never_change():
    """A change here changes every published figure."""
    assert data.digits().test.y[:12].tolist() == [0, 6, 3, 8, 1, 8, 4, 1, 5, 8, 9, 7]
    assert data.wine().test.y[:12].tolist() == [0, 2, 1, 1, 0, 0, 1, 0, 1, 0, 2, 1]


def test_text_is_the_standard_librarys_with_the_next_byte_as_target():
    dataset = data.stdlib_text()
    train, test = dataset.train, dataset.test
    assert train.x.dtype == np.uint8
    np.testing.assert_array_equal(train.x[1:], train.y[:-1])
    text = {part: bytes(part_split.x) for part, part_split in (("train", train), ("test", test))}
    import difflib
    import textwrap

    for module in (difflib, textwrap):
        with open(module.__file__, "rb") as file:
            source = file.read()[:-1].replace(b"\r\n", b"\n")
        assert (source in text["train"]) != (source in text["test"])
    assert b"import pytest" not in text["train"]
    assert 0.02 < len(text["test"]) / len(text["train"]) < 0.5


def test_text_takes_a_limit_and_is_repeatable():
    first, again = data.stdlib_text(limit=1000), data.stdlib_text(limit=1000)
    assert (len(first.train.x) + 1, len(first.test.x) + 1) == (900, 100)
    np.testing.assert_array_equal(first.train.x, again.train.x)
    with pytest.raises(ValueError, match="stdlib_text: `limit` is 3; it needs at least 20"):
        data.stdlib_text(limit=3)


def test_windows_are_consecutive():
    split = data.windows(data.Split(np.arange(10), np.arange(1, 11)), length=3)
    assert split.x.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert split.y.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    with pytest.raises(ValueError, match=r"windows: `length` is 11; it needs a number in \[1, 10"):
        data.windows(data.Split(np.arange(10), np.arange(10)), length=11)


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(
        ValueError, match=r"'digit'; there are digits, breast-cancer, .*mean 'digits'"
    ):
        data.load("digit")


def test_importing_data_is_light():
    code = "import jaxnn.data, sys; sys.exit(bool({'sklearn', 'grain', 'jax'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
