"""What a run is trained on and judged by: data by name or file, losses and metrics by task."""

import dataclasses
import functools
import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn import data, train
from jaxnn.cli._models import Training
from jaxnn.cli._parse import UsageError

PerExample = Callable[[Any, Any], jax.Array]
SCORED = 512  # windows of a text's part that are scored


@dataclasses.dataclass(frozen=True)
class Task:
    """A data set with its loss and metrics.

    Attributes:
      dataset: the examples.
      source: what ``config.json`` says of them, enough to load the same again.
      outputs: how many numbers a model must give.
      metrics: per-example functions for records and evaluation, by name.
      scored: the examples that are evaluated: all, or of a text windows evenly spread.
    """

    dataset: data.Dataset
    source: dict[str, Any]
    outputs: int
    metrics: Mapping[str, PerExample]
    scored: data.Dataset

    @property
    def text(self) -> bool:
        """Whether examples are windows of a text, with a target at each place."""
        return self.dataset.task == "classification" and self.dataset.train.y.ndim == 2

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return self.dataset.train.x.shape[1:]

    def loss(self, options: Training) -> PerExample:
        """Give the training loss."""
        if self.dataset.task == "regression":
            return train.losses.squared_error
        cross_entropy = train.losses.cross_entropy
        if options.label_smoothing:
            cross_entropy = functools.partial(
                cross_entropy, label_smoothing=options.label_smoothing
            )
        return _of_bytes(cross_entropy) if self.text else cross_entropy


def load_task(name: str, *, target: str = "", context: int | None = None) -> Task:
    """Load built-in data by name, or a file.

    Args:
      name: of the data; a file ends in .npz or .csv, or is a text.
      target: for a .csv, the column to predict.
      context: for a model of text, the length of its windows; all data are text then.

    Raises:
      UsageError: there is no such data, or the file cannot be used.
    """
    if context is not None:
        return _text_task(name, context)
    path = Path(name)
    source: dict[str, Any] = {"name": name}
    try:
        if path.suffix.lower() == ".npz":
            dataset = data.load_npz(path)
        elif path.suffix.lower() == ".csv":
            if not target:
                raise UsageError(f"{name}: name the column to predict with --target COLUMN")
            dataset = data.load_csv(path, target=target)
            source["target"] = target
        else:
            dataset = data.load(name)
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from None
    if dataset.train.x.ndim < 2:
        raise UsageError(f"{name} is one long sequence; this model needs examples, gpt does not")
    return _task(dataset, source | _file(path) if path.suffix else source)


def _file(path: Path) -> dict[str, Any]:
    """Say which file it was, and what was in it."""
    content = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"name": str(path.absolute()), "sha256": content}


def _text_task(name: str, context: int) -> Task:
    source: dict[str, Any] = {"name": name}
    try:
        if name == "stdlib-text":
            dataset = data.stdlib_text()
            # The library differs between versions of Python.
            source["sha256"] = hashlib.sha256(dataset.train.x.tobytes()).hexdigest()
        elif not (Path(name).suffix or Path(name).exists()):
            raise UsageError(f"{name!r} is no text; gpt reads stdlib-text, or a file of yours")
        else:
            dataset = data.load_text(name)
            source |= _file(Path(name))
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from None
    sizes = [len(part.x) for part in (dataset.train, dataset.test)]
    if min(sizes) < context:
        raise UsageError(
            f"{name} has {sizes[0]} bytes to train and {sizes[1]} to test on; --context {context} "
            "needs a window of each"
        )
    return text_task(dataset, source, context)


def text_task(dataset: data.Dataset, source: dict[str, Any], context: int) -> Task:
    """Make the task of guessing each next byte in windows of a text."""
    try:
        parts = [data.windows(part, length=context) for part in (dataset.train, dataset.test)]
    except ValueError as error:
        raise UsageError(str(error)) from None
    cut = dataclasses.replace(dataset, train=parts[0], test=parts[1])
    some = dataclasses.replace(cut, train=_spread(cut.train), test=_spread(cut.test))
    return Task(cut, source, dataset.num_classes or 256, TEXT_METRICS, some)


def blank_text(source: dict[str, Any], context: int, rows: int) -> Task:
    """Make a text task without its text, for a model that is only to write."""
    none = np.broadcast_to(np.uint8(0), (rows * context,))
    blank = data.Split(none, none)
    return text_task(
        data.Dataset(blank, blank, task="classification", num_classes=256), source, context
    )


def _spread(split: data.Split) -> data.Split:
    count = len(split.x)
    rows = np.unique(np.linspace(0, count - 1, min(SCORED, count)).round().astype(int))
    return data.Split(split.x[rows], split.y[rows])


def reload_task(source: Mapping[str, Any], *, context: int | None = None) -> Task:
    """Load the data that a run was trained on.

    Raises:
      UsageError: it is gone, or the file has changed since.
    """
    task = load_task(source["name"], target=source.get("target", ""), context=context)
    if task.source.get("sha256") != source.get("sha256"):
        raise UsageError(f"{source['name']} has changed since the run was trained on it")
    return task


def _task(dataset: data.Dataset, source: dict[str, Any]) -> Task:
    if dataset.task == "regression":
        # Targets are standardised for training; errors are reported in their own units.
        scale = dataset.target_scale
        metrics = {
            "absolute_error": lambda outputs, y: scale * train.losses.absolute_error(outputs, y),
            "squared_error": lambda outputs, y: scale**2 * train.losses.squared_error(outputs, y),
        }
        return Task(dataset, source, 1, metrics, dataset)
    if dataset.num_classes is None:
        raise UsageError(f"{source['name']}: the number of classes is unknown")
    metrics = {"loss": train.losses.cross_entropy, "accuracy": train.losses.accuracy}
    return Task(dataset, source, dataset.num_classes, metrics, dataset)


def _of_bytes(function: PerExample) -> PerExample:
    """Let a loss take targets that are kept as bytes."""
    return lambda outputs, y: function(outputs, y.astype(jnp.int32))


def _bits(outputs: Any, y: Any) -> jax.Array:
    return train.losses.cross_entropy(outputs, y) / math.log(2)


TEXT_METRICS = {
    "loss": _of_bytes(train.losses.cross_entropy),
    "bits_per_byte": _of_bytes(_bits),
    "accuracy": _of_bytes(train.losses.accuracy),
}
