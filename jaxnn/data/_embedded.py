"""Data that are already on every machine that jaxnn runs on: no download, no account.

The tables come with scikit-learn, the text with Python. Each split is fixed.
"""

import difflib
import os
import sysconfig
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxnn.data._dataset import Dataset, Split, divide, table

TEST_FRACTION = 0.2


def digits() -> Dataset:
    """Load 1,797 handwritten digits: x ``(n, 8, 8)`` in [0, 1], 1,437 to train, 360 to test.

    Each class has its share of both parts.
    """
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    x = (bunch.images / 16).astype(np.float32)  # the images count 0 to 16 dots a pixel
    y = bunch.target.astype(np.int32)
    train, test = divide(len(x), 360, 0, y)
    return Dataset(
        train=Split(x[train], y[train]),
        test=Split(x[test], y[test]),
        task="classification",
        num_classes=10,
        feature_names=tuple(bunch.feature_names),
        class_names=tuple(map(str, range(10))),
        name="digits",
    )


def breast_cancer() -> Dataset:
    """Load 569 tumours of 30 measurements, malignant (0) or benign (1): 455 to train, 114 to test.

    Features are standardised by the mean and deviation of the training part.
    """
    from sklearn.datasets import load_breast_cancer

    return _table("breast-cancer", load_breast_cancer())


def wine() -> Dataset:
    """Load 178 wines of 13 measurements from three growers: 142 to train, 36 to test.

    Features are standardised by the mean and deviation of the training part.
    """
    from sklearn.datasets import load_wine

    return _table("wine", load_wine())


def diabetes() -> Dataset:
    """Load 442 patients, 10 measurements each: 354 to train, 88 to test; a regression.

    y is how far the disease went within a year, an index of 25 to 346. Features and y are
    standardised by the mean and deviation of the training part; ``y * target_scale +
    target_mean`` is the index.
    """
    from sklearn.datasets import load_diabetes

    # scikit-learn's scaled form was scaled by all patients, those of the test part too.
    return _table("diabetes", load_diabetes(scaled=False))


def stdlib_text(limit: int | None = None) -> Dataset:
    """Load the source of Python's standard library as bytes, to predict the next one.

    x and y are views of one uint8 array, y one byte further than x; :func:`windows` cuts
    them into rows. One file in ten is for testing; the files' order is that of a checksum of
    their paths, so that even a small part is mixed. Tests, installed packages and files that
    describe one machine are left out.

    The text is that of the running interpreter: figures from different Python versions
    cannot be compared.

    Args:
      limit: read at most this many bytes, nine tenths of them to train on; all if ``None``.

    Raises:
      ValueError: ``limit`` is below 20, or the library has no source files here.
    """
    if limit is not None and limit < 20:
        raise ValueError(f"stdlib_text: `limit` is {limit}; it needs at least 20 bytes.")
    root = Path(sysconfig.get_paths()["stdlib"])
    files = sorted(_sources(root), key=lambda path: (zlib.crc32(path.encode()), path))
    if len(files) < 2:
        raise ValueError(f"stdlib_text: {root} holds no source files; Python may be zipped.")
    num_test = None if limit is None else limit // 10
    num_train = None if limit is None or num_test is None else limit - num_test
    held_out = set(files[::10])
    return Dataset(
        train=_text(root, [path for path in files if path not in held_out], num_train),
        test=_text(root, files[::10], num_test),
        task="classification",
        num_classes=256,
        name="stdlib-text",
    )


def _sources(root: Path) -> Iterator[str]:
    """List the library's source files by their paths below ``root``, with forward slashes."""
    foreign = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}
    for folder, inner, names in os.walk(root):
        # Installed packages are not even looked at; there may be thousands.
        inner[:] = [name for name in inner if name not in foreign and name[:7] != "config-"]
        for name in names:
            if name.endswith(".py") and not name.startswith("_sysconfigdata"):
                yield (Path(folder) / name).relative_to(root).as_posix()


def _text(root: Path, files: list[str], limit: int | None) -> Split:
    parts: list[bytes] = []
    size = 0
    for path in files:
        if limit is not None and size >= limit:
            break
        parts.append((root / path).read_bytes().replace(b"\r\n", b"\n"))
        size += len(parts[-1])
    text = np.frombuffer(b"".join(parts)[:limit], np.uint8)
    return Split(text[:-1], text[1:])


def windows(split: Split, *, length: int) -> Split:
    """Cut a sequence and its targets into rows ``(n, length)``; an incomplete row is dropped.

    Args:
      split: arrays whose first axis is time, e.g. ``stdlib_text().train``.
      length: time steps in a row.

    Returns:
      Views of the arrays of ``split``.

    Raises:
      ValueError: ``length`` is below one or beyond the sequence.
    """
    time = len(split.x)
    if not 1 <= length <= time:
        raise ValueError(f"windows: `length` is {length}; it needs a number in [1, {time}].")
    rows = time // length
    x, y = (
        part[: rows * length].reshape(rows, length, *part.shape[1:]) for part in (split.x, split.y)
    )
    return Split(x, y)


def _table(name: str, bunch: Any) -> Dataset:
    names = getattr(bunch, "target_names", None)
    return table(
        name,
        bunch.data,
        bunch.target,
        num_test=round(TEST_FRACTION * len(bunch.data)),
        feature_names=list(bunch.feature_names),  # some are arrays
        class_names=None if names is None else names.tolist(),
    )


LOADERS: dict[str, Callable[[], Dataset]] = {
    "digits": digits,
    "breast-cancer": breast_cancer,
    "wine": wine,
    "diabetes": diabetes,
    "stdlib-text": stdlib_text,
}


def load(name: str) -> Dataset:
    """Load embedded data by name, e.g. one given on a command line.

    Args:
      name: ``digits``, ``breast-cancer``, ``wine``, ``diabetes`` or ``stdlib-text``.

    Returns:
      What the function of that name returns.

    Raises:
      ValueError: no data have this name.
    """
    if name not in LOADERS:
        near = difflib.get_close_matches(str(name), LOADERS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"load: no data are called {name!r}; there are {', '.join(LOADERS)}.{hint} "
            "Files are read by load_npz and load_csv."
        )
    return LOADERS[name]()
