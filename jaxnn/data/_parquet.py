"""Tables in Parquet files, read by pyarrow."""

from os import PathLike
from pathlib import Path

import numpy as np

from jaxnn.data._dataset import Dataset, Task
from jaxnn.data._files import TableOptions, classes_of, require_file


def load_parquet(
    path: str | PathLike[str],
    *,
    target: str,
    test_fraction: float = 0.2,
    seed: int = 0,
    task: Task | None = None,
) -> Dataset:
    """Load a table of a Parquet file, one example a row, and split it, as :func:`load_csv` does.

    Args:
      path: the file.
      target: the column to predict. Text, truth values and integers are classes, floating-point
        numbers a regression. All other columns are features and need numbers or truth values.
      test_fraction: share of the rows to test on.
      seed: makes the split.
      task: overrules what the target's type says.

    Returns:
      The two parts, features standardised by the training part's mean and deviation, and so the
      target of a regression.

    Raises:
      ImportError: pyarrow is not installed (``pip install 'jaxnn[parquet]'``).
      ValueError: the file cannot be read, the target is not a column, values are missing, not
        numbers or not finite in float32, a class has one example, or ``test_fraction`` leaves a
        part empty.
    """
    where = f"load_parquet({str(path)!r})"
    columns = _read(where, Path(path))
    options = TableOptions(target, test_fraction, seed, task)
    count = len(next(iter(columns.values()), ()))
    options.check(where, list(columns), count)
    targets = columns.pop(target)
    x = np.stack([_numbers(where, name, column) for name, column in columns.items()], axis=1)
    continuous = targets.dtype.kind == "f"
    if (task or ("regression" if continuous else "classification")) == "regression":
        y, class_names = _numbers(where, target, targets), None
    else:
        y, class_names = classes_of(where, target, [str(value) for value in targets.tolist()])
    return options.divide(where, Path(path).stem, x, y, tuple(columns), class_names)


def _read(where: str, path: Path) -> dict[str, np.ndarray]:
    """Read all columns, whole ones only."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError(f"{where} needs pyarrow: pip install 'jaxnn[parquet]'") from error
    require_file(where, path)
    try:
        table = parquet.read_table(path)
    except (OSError, pa.ArrowException) as error:
        line = str(error).splitlines()[0]
        raise ValueError(f"{where}: the file cannot be read as Parquet ({line}).") from None
    gaps = [
        f"{name!r} lacks {column.null_count}"
        for name, column in zip(table.column_names, table.columns, strict=True)
        if column.null_count
    ]
    if gaps:
        raise ValueError(
            f"{where}: values are missing: {'; '.join(gaps)}. Fill them in or drop the rows."
        )
    return {
        name: column.to_numpy()
        for name, column in zip(table.column_names, table.columns, strict=True)
    }


def _numbers(where: str, name: str, column: np.ndarray) -> np.ndarray:
    if column.dtype.kind not in "biuf":
        raise ValueError(
            f"{where}: column {name!r} holds {type(column.tolist()[0]).__name__} values; it needs "
            "numbers. Encode words as numbers, or leave the column out."
        )
    numbers = column.astype(np.float64)
    bad = ~(np.abs(numbers) <= np.finfo(np.float32).max)
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(
            f"{where}: column {name!r} holds {column[row]} in row {row}; it needs finite numbers."
        )
    return numbers
