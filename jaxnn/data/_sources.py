"""Examples that stay on disk until their batch comes: tokens, images, Hugging Face data sets.

A source has a length and ``gather(rows)``, which reads the rows of one batch at once;
:func:`grain_loader` shuffles, batches, shares out to processes and keeps the position.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from jaxnn._check import require, require_count
from jaxnn.data._dataset import Split
from jaxnn.data._files import require_file

IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


@runtime_checkable
class Source(Protocol):
    """Examples to be read batch by batch."""

    def __len__(self) -> int:
        """Give the number of examples."""
        ...

    def gather(self, rows: np.ndarray) -> Split:
        """Read the examples of these numbers, in this order."""
        ...


class TokenFile:
    """Windows of a long file of tokens, memory-mapped: as many tokens and the ones after them.

    Args:
      path: a one-axis ``.npy`` of integers; any other file is taken for bare numbers of
        ``dtype``, as tokenised corpora are often kept.
      context: tokens in a window. Windows lie side by side; tokens left at the end are not used.
      dtype: of the numbers in a bare file.

    Raises:
      ValueError: the file is missing, empty, no array of integers on one axis, has fewer tokens
        than one window and its next, or is no whole number of tokens.
    """

    def __init__(
        self, path: str | PathLike[str], *, context: int, dtype: np.typing.DTypeLike = np.uint16
    ) -> None:
        where, path = f"TokenFile({str(path)!r})", Path(path)
        require_count(where, context=context)
        require_file(where, path)
        if path.suffix == ".npy":
            try:
                tokens = np.load(path, mmap_mode="r", allow_pickle=False)
            except (OSError, EOFError, ValueError) as error:
                raise ValueError(f"{where}: the file cannot be read ({error}).") from None
        else:
            size, item = path.stat().st_size, np.dtype(dtype).itemsize
            if size % item:
                raise ValueError(
                    f"{where}: the file has {size} bytes; `dtype` {np.dtype(dtype)} needs a "
                    f"multiple of {item}."
                )
            tokens = np.memmap(path, dtype, mode="r")
        if tokens.ndim != 1 or tokens.dtype.kind not in "iu":
            raise ValueError(
                f"{where}: the file holds {tokens.dtype} in shape {tokens.shape}; it needs "
                "integers on one axis."
            )
        if len(tokens) <= context:
            raise ValueError(
                f"{where}: the file has {len(tokens)} tokens; `context` {context} needs "
                f"{context + 1}."
            )
        self.tokens, self.context = tokens, context

    def __len__(self) -> int:
        """Give the number of windows."""
        return (len(self.tokens) - 1) // self.context

    def gather(self, rows: np.ndarray) -> Split:
        """Read windows: tokens and the ones that follow, both ``(rows, context)`` int32."""
        places = np.asarray(rows)[:, None] * self.context + np.arange(self.context + 1)
        tokens = self.tokens[places].astype(np.int32)
        return Split(tokens[:, :-1], tokens[:, 1:])


class ImageFolder:
    """Images in a folder for each class, read when their batch comes.

    Args:
      root: the folder; each of its folders is a class, named so, counted in sorted order, with
        image files at any depth.
      size: height and width that all are resized to, bilinearly, after the longer side is cut
        to the same shape around the centre.
      channels: 3 for colour, 1 for grey.
      threads: how many read at once.

    Attributes:
      classes: their names.
      paths: the files, and ``labels`` their classes.

    Raises:
      ValueError: there is no such folder, it has no class or a class no image, or a number is out
        of range. ``gather`` raises it, too, for a file that is no image, and names it.
    """

    def __init__(
        self,
        root: str | PathLike[str],
        *,
        size: tuple[int, int],
        channels: int = 3,
        threads: int = 8,
    ) -> None:
        where, root = f"ImageFolder({str(root)!r})", Path(root)
        ok = len(size) == 2 and all(isinstance(n, int) and n > 0 for n in size)
        require(ok, where, "size", size, "a height and a width above zero")
        require(channels in (1, 3), where, "channels", channels, "1 or 3")
        require_count(where, threads=threads)
        if not root.is_dir():
            raise ValueError(f"{where}: there is no such folder.")
        folders = sorted(path for path in root.iterdir() if path.is_dir())
        if not folders:
            raise ValueError(f"{where}: the folder has no folders; it needs one for each class.")
        self.size, self.channels, self.threads = size, channels, threads
        self.classes = tuple(folder.name for folder in folders)
        self.paths: list[Path] = []
        labels: list[int] = []
        for label, folder in enumerate(folders):
            found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGES)
            if not found:
                kinds = " ".join(IMAGES)
                raise ValueError(f"{where}: class {folder.name!r} has no image ({kinds}).")
            self.paths += found
            labels += [label] * len(found)
        self.labels = np.array(labels, np.int32)

    def __len__(self) -> int:
        """Give the number of images."""
        return len(self.paths)

    def gather(self, rows: np.ndarray) -> Split:
        """Read images, ``(rows, height, width, channels)`` float32 in [0, 1], and their classes."""
        paths = [self.paths[row] for row in rows]
        with ThreadPoolExecutor(self.threads) as pool:
            pixels = np.stack(list(pool.map(self._read, paths)))
        x = pixels.reshape(len(paths), *self.size, self.channels).astype(np.float32) / 255
        return Split(x, self.labels[rows])

    def _read(self, path: Path) -> np.ndarray:
        from PIL import Image, ImageOps

        height, width = self.size
        try:
            with Image.open(path) as image:
                shaped = image.convert("RGB" if self.channels == 3 else "L")
                return np.asarray(ImageOps.fit(shaped, (width, height), Image.Resampling.BILINEAR))
        except OSError as error:
            raise ValueError(f"ImageFolder: {path} cannot be read as an image ({error}).") from None


class HuggingFaceSource:
    """Columns of a Hugging Face data set, read when their batch comes.

    Args:
      dataset: a ``datasets.Dataset`` (a split, such as ``load_dataset(...)["train"]``).
      x: the column, or columns, of the inputs. Several are stacked along the last axis.
      y: the column of the targets.

    Raises:
      ValueError: there is no such column, or the data set has no length. ``gather`` raises it,
        too, for values that make no array: give the data set a transform that makes numbers
        of them (``dataset.with_transform``).
    """

    def __init__(self, dataset: Any, *, x: str | Sequence[str], y: str) -> None:
        where = "HuggingFaceSource"
        names = getattr(dataset, "column_names", None)
        ok = hasattr(dataset, "__len__") and isinstance(names, list)
        needs = "a datasets.Dataset with a length: one split, not streamed"
        require(ok, where, "dataset", type(dataset).__name__, needs)
        self.dataset, self.y = dataset, y
        self.x = (x,) if isinstance(x, str) else tuple(x)
        for column in (*self.x, y):
            if column not in (names or ()):
                raise ValueError(f"{where}: there is no column {column!r}; it has {names}.")

    def __len__(self) -> int:
        """Give the number of examples."""
        return len(self.dataset)

    def gather(self, rows: np.ndarray) -> Split:
        """Read rows: whole numbers as int32, others as float32."""
        batch = self.dataset[np.asarray(rows).tolist()]
        columns = [_array(column, batch[column]) for column in self.x]
        x = columns[0] if len(columns) == 1 else np.stack(columns, axis=-1)
        return Split(x, _array(self.y, batch[self.y]))


def _array(column: str, values: Any) -> np.ndarray:
    try:
        array = np.asarray([np.asarray(value) for value in values])
    except ValueError:
        array = np.empty(0, object)
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"HuggingFaceSource: column {column!r} makes no array of numbers of one shape; give "
            "the data set a transform that does (with_transform)."
        )
    return array.astype(np.float32 if array.dtype.kind == "f" else np.int32)
