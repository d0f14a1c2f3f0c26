import contextlib
import pickle
import re

import numpy as np
import pytest

from jaxnn import data


def arrays(**changes):
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.normal(size=(6, 3)),
        "y_train": np.array([0, 1, 2, 0, 1, 2]),
        "x_test": rng.normal(size=(2, 3)),
        "y_test": np.array([0, 2]),
        **changes,
    }


def save(path, **changes):
    np.savez(path, **arrays(**changes))
    return path


def test_npz_with_integer_targets_is_a_classification(tmp_path):
    dataset = data.load_npz(save(tmp_path / "mine.npz"))
    np.testing.assert_array_equal(dataset.train.x, arrays()["x_train"].astype(np.float32))
    np.testing.assert_array_equal(dataset.test.y, [0, 2])
    assert dataset.test.y.dtype == np.int32
    assert (dataset.task, dataset.num_classes, dataset.name) == ("classification", 3, "mine")


def test_npz_with_float_targets_is_a_regression(tmp_path):
    y = np.linspace(0, 1, 6)
    path = save(tmp_path / "mine.npz", y_train=y, y_test=np.array([0.5, 2.0]))
    dataset = data.load_npz(path)
    np.testing.assert_array_equal(dataset.train.y, y.astype(np.float32))
    assert (dataset.task, dataset.num_classes) == ("regression", None)
    assert (dataset.target_mean, dataset.target_scale) == (0.0, 1.0)


SPOILT = np.ones((6, 3))
SPOILT[2, 1] = np.nan


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"x_train": np.ones((5, 3))}, "`x_train` has 5 examples but `y_train` has 6"),
        ({"x_test": np.ones((2, 4))}, r"\(3,\) in `x_train` but \(4,\) in `x_test`"),
        ({"x_train": np.ones(6), "x_test": np.ones(2)}, r"`x_train` has shape \(6,\)"),
        ({"x_train": np.ones((0, 3)), "y_train": np.ones(0)}, r"`x_train` has shape \(0, 3\)"),
        ({"x_train": np.full((6, 3), "a")}, "`x_train` holds <U1; it needs numbers"),
        ({"x_train": SPOILT}, r"`x_train` holds 1 numbers .* not finite.* at \(2, 1\)"),
        ({"x_test": np.full((2, 3), 1e300)}, "`x_test` holds 6 numbers .* not finite in float32"),
        ({"y_test": np.array([0.0, 1.0])}, "`y_train` holds int64 but `y_test` float64"),
        ({"y_train": np.array([-1, 1, 1, 0, 0, 0])}, "`y_train` holds -1; classes are counted"),
        ({"y_test": np.array([0, 1999])}, "would be 2000 classes of 6 training examples"),
        ({"y_train": np.zeros((6, 1), int), "y_test": np.zeros((2, 1), int)}, "classes need shape"),
        ({"x_train": np.array([[{}]] * 6)}, "pickled objects, which are not loaded"),
    ],
)
def test_npz_errors_name_the_array(tmp_path, changes, match):
    path = save(tmp_path / "mine.npz", **changes)
    with pytest.raises(ValueError, match=re.escape(f"load_npz('{path}'): ") + ".*" + match):
        data.load_npz(path)


def test_pickles_are_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    path = save(tmp_path / "mine.npz", x_train=np.array([[Bomb()]] * 6))
    with pytest.raises(ValueError, match="could run code"):
        data.load_npz(path)
    bare = tmp_path / "bare.npy"
    np.save(bare, np.array([Bomb()]))
    with pytest.raises(ValueError, match="it is a single array"):
        data.load_npz(bare)
    assert not (tmp_path / "ran").exists()


def test_npz_without_an_array_names_what_is_there(tmp_path):
    np.savez(tmp_path / "mine.npz", x_train=np.ones((2, 2)), labels=np.ones(2))
    with pytest.raises(ValueError, match="lacks y_train, x_test, y_test; it holds x_train, labels"):
        data.load_npz(tmp_path / "mine.npz")


@pytest.mark.parametrize("load", [data.load_npz, lambda path: data.load_csv(path, target="y")])
def test_a_file_that_is_none(tmp_path, load):
    with pytest.raises(ValueError, match="directory; it needs a file"):
        load(tmp_path)
    with pytest.raises(ValueError, match="no such file"):
        load(tmp_path / "nothing")
    (tmp_path / "empty").touch()
    with pytest.raises(ValueError, match="the file is empty"):
        load(tmp_path / "empty")


def test_a_damaged_npz_is_one_error_wherever_it_is_cut(tmp_path):
    whole = save(tmp_path / "whole.npz").read_bytes()
    np.savez_compressed(tmp_path / "packed.npz", **arrays())
    packed = (tmp_path / "packed.npz").read_bytes()
    for content in (whole, packed):
        for place in range(1, len(content), 37):
            (tmp_path / "cut.npz").write_bytes(content[:place])
            with pytest.raises(ValueError, match="damaged, cut short or of another kind"):
                data.load_npz(tmp_path / "cut.npz")
            flipped = bytearray(content)
            flipped[place] ^= 0xFF
            (tmp_path / "flipped.npz").write_bytes(flipped)
            # A byte that no checksum covers may be harmless; any error is ours.
            with contextlib.suppress(ValueError):
                data.load_npz(tmp_path / "flipped.npz")
    (tmp_path / "text.npz").write_text("x_train, y_train")
    with pytest.raises(ValueError, match="damaged, cut short or of another kind"):
        data.load_npz(tmp_path / "text.npz")
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps(arrays()))
    with pytest.raises(ValueError, match="damaged, cut short or of another kind"):
        data.load_npz(tmp_path / "pickle.npz")


def write(path, header, rows):
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def flowers(path):
    """20 roses and 10 tulips; height i and a constant."""
    rows = [f"{i},7,{'tulip' if i % 3 == 0 else 'rose'}" for i in range(30)]
    return write(path, "height,pots,kind", rows)


def test_csv_with_words_is_a_stratified_classification(tmp_path):
    dataset = data.load_csv(flowers(tmp_path / "flowers.csv"), target="kind", test_fraction=0.3)
    assert (dataset.task, dataset.class_names) == ("classification", ("rose", "tulip"))
    assert np.bincount(dataset.train.y).tolist() == [14, 7]
    assert np.bincount(dataset.test.y).tolist() == [6, 3]
    assert dataset.feature_names == ("height", "pots")
    # Scaled by the training rows alone; a constant column becomes zero, not NaN.
    np.testing.assert_allclose(dataset.train.x.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(dataset.train.x.std(0), [1, 0], atol=1e-6)
    # Heights are whole steps from each other, and every third is a tulip.
    heights = np.concatenate([dataset.train.x, dataset.test.x])[:, 0]
    steps = (heights - heights.min()) / np.diff(np.sort(heights)).mean()
    np.testing.assert_allclose(np.sort(steps), np.arange(30), atol=1e-4)
    labels = np.concatenate([dataset.train.y, dataset.test.y])
    np.testing.assert_array_equal(labels == 1, steps.round() % 3 == 0)


def test_csv_split_depends_on_the_seed_alone(tmp_path):
    path = flowers(tmp_path / "flowers.csv")
    first, again = (data.load_csv(path, target="kind", seed=1) for _ in range(2))
    np.testing.assert_array_equal(first.test.x, again.test.x)
    other = data.load_csv(path, target="kind", seed=2)
    assert not np.array_equal(first.test.x, other.test.x)


def test_csv_integers_are_classes_and_decimals_a_regression(tmp_path):
    rows = [f"{i},{10 - i % 2 * 8}" for i in range(20)]
    classes = data.load_csv(write(tmp_path / "a.csv", "x,y", rows), target="y")
    assert classes.class_names == ("2", "10")  # by value, not by letter
    rows = [f"{i},{2 * i + 0.5}" for i in range(20)]
    line = data.load_csv(write(tmp_path / "b.csv", "x,y", rows), target="y")
    assert (line.task, line.class_names) == ("regression", ())
    np.testing.assert_allclose(line.train.y, line.train.x[:, 0], atol=1e-6)
    np.testing.assert_allclose(line.test.y, line.test.x[:, 0], atol=1e-6)
    heights = line.train.y * line.target_scale + line.target_mean
    np.testing.assert_allclose(heights % 2, 0.5, atol=1e-4)
    path = write(tmp_path / "c.csv", "x,y", [f"{i},{i}" for i in range(20)])
    assert data.load_csv(path, target="y", task="regression").task == "regression"


PLAIN = [f"{i},{i % 2}" for i in range(10)]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("header", "rows", "options", "match"),
    [
        ("age,y", PLAIN, {"target": "z"}, "`target` is 'z'; it needs one of the columns age, y"),
        ("age,kind", PLAIN, {"target": "kin"}, "Did you mean 'kind'"),
        ("age,y", [*PLAIN, "old,1"], {}, "column 'age' holds 'old' on line 12; .*finite numbers"),
        ("age,y", [*PLAIN, "inf,1"], {}, "column 'age' holds 'inf' on line 12"),
        ("age,y", [*PLAIN, ",1", "NA,"], {}, "'age' lacks 2, first on line 12; 'y' lacks 1, .*13"),
        ("age,y", [*PLAIN, "1,2,3"], {}, "line 12 has 3 values but the header 2"),
        ("age,age", PLAIN, {}, "the header is 'age', 'age'; each column needs a name of its own"),
        ("age,", PLAIN, {}, "each column needs a name"),
        ("age;y", ["1;2"], {"target": "age;y"}, "one column, 'age;y'; values need commas"),
        ("y", ["1", "0", "1"], {}, "'y' is the only column"),
        ("age,y", [], {}, "has 1 rows; it needs a header and examples"),
        ("age,y", [f"{i},{i}" for i in range(9)], {}, "9 have one example, .*task='regression'"),
        ("age,y", [f"{i},0" for i in range(9)], {}, "always says '0'; it needs two classes"),
        ("age,y", PLAIN, {"test_fraction": 1.5}, r"`test_fraction` is 1.5; .*\(0, 1\)"),
        ("age,y", PLAIN, {"test_fraction": 0.01}, "of 10 rows leaves a part empty"),
        ("age,y", ["1,0"] * 10 + ["1,1"] * 2, {"test_fraction": 0.9}, "leaves no '1' to train on"),
        ("age,y", PLAIN, {"seed": -1}, "`seed` is -1"),
        ("age,y", PLAIN, {"task": "guess"}, "`task` is 'guess'"),
        ("age,y", [*PLAIN, "1,rose", "2,rose"], {"task": "regression"}, "'y' holds 'rose' on line"),
        ("age,y", ['"1,2'], {}, "cannot be read as comma-separated text"),
    ],
)
def test_csv_errors_name_the_place(tmp_path, header, rows, options, match):
    path = write(tmp_path / "mine.csv", header, rows)
    with pytest.raises(ValueError, match=re.escape(f"load_csv('{path}'): ") + ".*" + match):
        data.load_csv(path, **{"target": "y", **options})


def test_csv_in_another_encoding(tmp_path):
    (tmp_path / "mine.csv").write_bytes("höhe,y\n1,2\n".encode("latin-1"))
    with pytest.raises(ValueError, match="UTF-8"):
        data.load_csv(tmp_path / "mine.csv", target="y")
    (tmp_path / "marked.csv").write_text(
        "\n".join(["y,höhe", *PLAIN]), encoding="utf-8-sig"
    )  # spreadsheets write a byte-order mark before the first name
    assert data.load_csv(tmp_path / "marked.csv", target="höhe").feature_names == ("y",)
