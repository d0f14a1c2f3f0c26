"""Data of the user's own: arrays in a ``.npz``, or a table in a ``.csv``.

Whatever is wrong with a file ends in one ``ValueError`` that names the file, the place and
what was needed. Nothing in a file is executed: pickled objects are refused.
"""

import csv
import dataclasses
import difflib
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from jaxnn.data._dataset import Dataset, Split, Task, table

KEYS = ("x_train", "y_train", "x_test", "y_test")
# What NumPy and zipfile raise depends on which byte is damaged.
DAMAGE = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error),
    *(NotImplementedError, RuntimeError, SyntaxError, MemoryError),
)
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})


def load_npz(path: str | PathLike[str]) -> Dataset:
    """Load four arrays saved by ``np.savez(path, x_train=, y_train=, x_test=, y_test=)``.

    Args:
      path: the file. ``x_*`` hold numbers, the first axis examples; ``y_*`` hold as many
        targets: integers are classes, counted from 0, anything else is a regression.

    Returns:
      The arrays as they are, x in float32, y in int32 (classes) or float32; nothing is scaled.

    Raises:
      ValueError: the file cannot be read, lacks an array, or holds arrays of other shapes,
        other types, pickled objects or numbers that are not finite.
    """
    where = f"load_npz({str(path)!r})"
    arrays = _read_npz(where, Path(path))
    for key, array in arrays.items():
        if array.dtype.kind not in "biuf":
            raise ValueError(f"{where}: `{key}` holds {array.dtype}; it needs numbers.")
        if not len(array.shape) or not array.size:
            raise ValueError(f"{where}: `{key}` has shape {array.shape}; it needs examples.")
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.ndim < 2:
            raise ValueError(
                f"{where}: `x_{part}` has shape {x.shape}; it needs (examples, features, ...)."
            )
        if len(x) != len(y):
            raise ValueError(
                f"{where}: `x_{part}` has {len(x)} examples but `y_{part}` has {len(y)}; "
                "each example needs one target."
            )
    for name in ("x", "y"):
        train, test = arrays[f"{name}_train"], arrays[f"{name}_test"]
        if train.shape[1:] != test.shape[1:]:
            raise ValueError(
                f"{where}: examples have shape {train.shape[1:]} in `{name}_train` but "
                f"{test.shape[1:]} in `{name}_test`; they need to agree."
            )
    integer = {key: arrays[key].dtype.kind in "biu" for key in ("y_train", "y_test")}
    if integer["y_train"] != integer["y_test"]:
        raise ValueError(
            f"{where}: `y_train` holds {arrays['y_train'].dtype} but `y_test` "
            f"{arrays['y_test'].dtype}; integers are classes, so both need to be, or neither."
        )
    num_classes = _num_classes(where, arrays) if integer["y_train"] else None
    for key, array in arrays.items():
        arrays[key] = _finite(where, key, array, whole=integer.get(key, False))
    return Dataset(
        train=Split(arrays["x_train"], arrays["y_train"]),
        test=Split(arrays["x_test"], arrays["y_test"]),
        task="regression" if num_classes is None else "classification",
        num_classes=num_classes,
        class_names=tuple(map(str, range(num_classes or 0))),
        name=Path(path).stem,
    )


def _read_npz(where: str, path: Path) -> dict[str, np.ndarray]:
    require_file(where, path)
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if start == b"\x93NUM":
            raise ValueError("it is a single array")
        if start not in (b"PK\x03\x04", b"PK\x05\x06"):
            # NumPy would take anything it does not know for a pickle, and say so.
            raise ValueError("it is no archive")
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in KEYS if key not in archive.files]
            arrays = {} if missing else {key: archive[key] for key in KEYS}
            present = ", ".join(archive.files) or "nothing"
    except DAMAGE as error:
        raise ValueError(f"{where}: {_reason(error)}") from None
    if missing:
        raise ValueError(
            f"{where}: the file lacks {', '.join(missing)}; it holds {present}. "
            "Save it with np.savez(path, x_train=..., y_train=..., x_test=..., y_test=...)."
        )
    return arrays


def _reason(error: Exception) -> str:
    if "allow_pickle" in str(error):
        return (
            "the file holds pickled objects, which are not loaded because they could run code. "
            "It needs arrays of numbers."
        )
    return (
        "the file cannot be read as the .npz of np.savez; it is damaged, cut short or of "
        f"another kind ({type(error).__name__}: {error})."
    )


def require_file(where: str, path: Path) -> None:
    """Raise ``ValueError`` unless there is a file with something in it."""
    if path.is_dir():
        raise ValueError(f"{where}: this is a directory; it needs a file.")
    if not path.exists():
        raise ValueError(f"{where}: there is no such file.")
    if path.is_file() and not path.stat().st_size:
        raise ValueError(f"{where}: the file is empty.")


def _num_classes(where: str, arrays: dict[str, np.ndarray]) -> int:
    for key in ("y_train", "y_test"):
        y = arrays[key]
        if y.ndim != 1:
            raise ValueError(
                f"{where}: `{key}` holds integers in shape {y.shape}; classes need shape "
                "(examples,). Save numbers to regress on as floats."
            )
        if y.min() < 0:
            raise ValueError(
                f"{where}: `{key}` holds {y.min()}; classes are counted from 0. "
                "Save numbers to regress on as floats."
            )
    count = int(max(arrays["y_train"].max(), arrays["y_test"].max())) + 1
    if count > max(2, len(arrays["y_train"])):
        raise ValueError(
            f"{where}: the integers in `y_train` and `y_test` would be {count} classes of "
            f"{len(arrays['y_train'])} training examples. Save numbers to regress on as floats."
        )
    return count


def _finite(where: str, key: str, array: np.ndarray, *, whole: bool) -> np.ndarray:
    if whole:
        return array.astype(np.int32)
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    bad = ~np.isfinite(array)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"{where}: `{key}` holds {int(bad.sum())} numbers that are not finite in float32, "
            f"the first at {first}; it needs finite ones."
        )
    return array


def load_csv(
    path: str | PathLike[str],
    *,
    target: str,
    test_fraction: float = 0.2,
    seed: int = 0,
    task: Task | None = None,
) -> Dataset:
    """Load a table with a header row, one example a row, and split it.

    Features are standardised by the mean and deviation of the training part, and so is the
    target of a regression. Classes have their share of both parts.

    Args:
      path: the file, comma-separated, in UTF-8.
      target: the column to predict. Words or integers are classes, in sorted order; decimals
        ("12.0") are a regression. All other columns are features and need numbers.
      test_fraction: share of the rows to test on.
      seed: makes the split.
      task: overrules what the target's column looks like.

    Returns:
      The two parts; ``feature_names`` from the header, ``class_names`` as the file has them.

    Raises:
      ValueError: the file cannot be read, the target is not in the header, values are missing
        or not numbers, a class has one example, or ``test_fraction`` leaves a part empty.
    """
    where = f"load_csv({str(path)!r})"
    header, rows, lines = _read_csv(where, Path(path))
    options = TableOptions(target, test_fraction, seed, task)
    options.check(where, header, len(rows))
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    _require_present(where, columns, lines)
    targets = columns.pop(target)
    x = np.stack([_numbers(where, name, columns[name], lines) for name in columns], axis=1)
    if (task or _looks_like(targets)) == "regression":
        y, class_names = _numbers(where, target, targets, lines), None
    else:
        y, class_names = classes_of(where, target, targets)
    return options.divide(where, Path(path).stem, x, y, tuple(columns), class_names)


@dataclasses.dataclass(frozen=True)
class TableOptions:
    """What is asked of a table, of whatever kind of file."""

    target: str
    test_fraction: float
    seed: int
    task: Task | None

    def check(self, where: str, header: Sequence[str], count: int) -> None:
        """Raise ``ValueError`` unless a table of these columns and so many rows can serve."""
        if self.target not in header:
            near = difflib.get_close_matches(self.target, header, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"{where}: `target` is {self.target!r}; it needs one of the columns "
                f"{', '.join(header)}.{hint}"
            )
        if len(header) < 2:
            raise ValueError(f"{where}: {self.target!r} is the only column; it needs features too.")
        fraction = self.test_fraction
        if not 0 < fraction < 1:
            raise ValueError(f"{where}: `test_fraction` is {fraction}; it needs to be in (0, 1).")
        if self.seed < 0:
            raise ValueError(f"{where}: `seed` is {self.seed}; it needs a number of at least 0.")
        if not 0 < round(fraction * count) < count:
            raise ValueError(
                f"{where}: `test_fraction` {fraction} of {count} rows leaves a part empty."
            )
        if self.task not in (None, "classification", "regression"):
            raise ValueError(
                f"{where}: `task` is {self.task!r}; it needs 'classification', 'regression' or "
                "None."
            )

    def divide(
        self,
        where: str,
        name: str,
        x: np.ndarray,
        y: np.ndarray,
        features: tuple[str, ...],
        class_names: tuple[str, ...] | None,
    ) -> Dataset:
        """Split the rows, and see that every class is trained on."""
        dataset = table(
            name,
            x,
            y,
            num_test=round(self.test_fraction * len(x)),
            seed=self.seed,
            feature_names=features,
            class_names=class_names,
        )
        if class_names is not None:
            unseen = set(range(len(class_names))) - set(dataset.train.y.tolist())
            if unseen:
                raise ValueError(
                    f"{where}: `test_fraction` {self.test_fraction} leaves no "
                    f"{class_names[min(unseen)]!r} to train on; it needs to be smaller."
                )
        return dataset


def load_text(path: str | PathLike[str], *, test_fraction: float = 0.1) -> Dataset:
    """Load a file as bytes, to predict the next one.

    Args:
      path: the file, of any kind.
      test_fraction: share of the bytes to test on, those at the end.

    Returns:
      The two parts; x and y are views of one uint8 array, y one byte further than x;
      :func:`windows` cuts them into rows.

    Raises:
      ValueError: the file is missing, a directory or cannot be read, or a part would have fewer
        than two bytes.
    """
    where = f"load_text({str(path)!r})"
    if not 0 < test_fraction < 1:
        raise ValueError(f"{where}: `test_fraction` is {test_fraction}; it needs to be in (0, 1).")
    require_file(where, Path(path))
    try:
        text = np.frombuffer(Path(path).read_bytes(), np.uint8)
    except OSError as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{where}: the file cannot be read ({reason}).") from None
    num_train = len(text) - round(test_fraction * len(text))
    if min(num_train, len(text) - num_train) < 2:
        raise ValueError(
            f"{where}: {len(text)} bytes are too few to train and to test on; it needs two in "
            "each part."
        )
    parts = text[:num_train], text[num_train:]
    return Dataset(
        *(Split(part[:-1], part[1:]) for part in parts),
        task="classification",
        num_classes=256,
        name=Path(path).stem,
    )


def _read_csv(where: str, path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """Read the header, the rows, and the line of the file that each row ends on."""
    require_file(where, path)
    rows, lines = [], []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            for row in reader:
                if row:  # an empty line is no example
                    rows.append([cell.strip() for cell in row])
                    lines.append(reader.line_num)
    except (OSError, UnicodeError, csv.Error) as error:
        raise ValueError(
            f"{where}: the file cannot be read as comma-separated text in UTF-8 "
            f"({type(error).__name__}: {error})."
        ) from None
    if len(rows) < 2:
        raise ValueError(f"{where}: the file has {len(rows)} rows; it needs a header and examples.")
    header, rows, lines = rows[0], rows[1:], lines[1:]
    if not all(header) or len(set(header)) < len(header):
        raise ValueError(
            f"{where}: the header is {', '.join(map(repr, header))}; "
            "each column needs a name of its own."
        )
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(header):
            raise ValueError(
                f"{where}: line {line} has {len(row)} values but the header {len(header)}."
            )
    if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
        raise ValueError(
            f"{where}: the header has one column, {header[0]!r}; values need commas in between."
        )
    return header, rows, lines


def _require_present(where: str, columns: dict[str, tuple[str, ...]], lines: Iterable[int]) -> None:
    gaps = []
    for name, values in columns.items():
        at = [line for value, line in zip(values, lines, strict=True) if value.lower() in MISSING]
        if at:
            gaps.append(f"{name!r} lacks {len(at)}, first on line {at[0]}")
    if gaps:
        raise ValueError(
            f"{where}: values are missing: {'; '.join(gaps)}. Fill them in or drop the rows."
        )


def _numbers(where: str, name: str, values: tuple[str, ...], lines: Iterable[int]) -> np.ndarray:
    numbers = []
    for value, line in zip(values, lines, strict=True):
        number = _number(value)
        if number is None or not abs(number) <= np.finfo(np.float32).max:
            raise ValueError(
                f"{where}: column {name!r} holds {value!r} on line {line}; "
                "it needs finite numbers. Encode words as numbers, or leave the column out."
            )
        numbers.append(number)
    return np.array(numbers)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _is_integer(text: str) -> bool:
    return text.lstrip("+-").isdecimal()


def _looks_like(targets: tuple[str, ...]) -> Task:
    if all(_is_integer(value) for value in targets):
        return "classification"
    numbers = [_number(value) for value in targets]
    # One word among numbers makes the whole column words.
    return "classification" if None in numbers else "regression"


def classes_of(where: str, name: str, values: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Number the classes of a column in sorted order, and name them."""
    counts: dict[str, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    single = [value for value, count in counts.items() if count == 1]
    if single:
        raise ValueError(
            f"{where}: column {name!r} has {len(counts)} classes, of which {len(single)} have "
            f"one example, e.g. {single[0]!r}; each needs two, to train on and to test on. "
            "For a regression pass task='regression'."
        )
    if len(counts) < 2:
        raise ValueError(
            f"{where}: column {name!r} always says {values[0]!r}; it needs two classes."
        )
    whole = all(_is_integer(value) for value in counts)
    names = sorted(counts, key=(lambda value: (int(value), value)) if whole else None)
    place = {value: index for index, value in enumerate(names)}
    return np.array([place[value] for value in values]), tuple(names)
