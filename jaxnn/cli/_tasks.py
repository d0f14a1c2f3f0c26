"""What a run is trained on and judged by: data by name or file, losses and metrics by task."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from jaxnn import data, train
from jaxnn.cli._models import Training
from jaxnn.cli._parse import UsageError

PerExample = Callable[[Any, Any], jax.Array]


@dataclasses.dataclass(frozen=True)
class Task:
    """A data set with its loss and metrics.

    Attributes:
      dataset: the examples.
      source: what ``config.json`` says of them, enough to load the same again.
      outputs: how many numbers a model must give.
      metrics: per-example functions for records and evaluation, by name.
    """

    dataset: data.Dataset
    source: dict[str, Any]
    outputs: int
    metrics: Mapping[str, PerExample]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return self.dataset.train.x.shape[1:]

    def loss(self, options: Training) -> PerExample:
        """Give the training loss."""
        if self.dataset.task == "regression":
            return train.losses.squared_error
        if options.label_smoothing:
            return functools.partial(
                train.losses.cross_entropy, label_smoothing=options.label_smoothing
            )
        return train.losses.cross_entropy


def load_task(name: str, *, target: str = "") -> Task:
    """Load built-in data by name, or a file ending in .npz or .csv.

    Raises:
      UsageError: there is no such data, or the file cannot be used.
    """
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
        raise UsageError(f"{name} is one long sequence; these models need separate examples")
    if path.suffix:
        source = {
            **source,
            "name": str(path.absolute()),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
    return _task(dataset, source)


def reload_task(source: Mapping[str, Any]) -> Task:
    """Load the data that a run was trained on.

    Raises:
      UsageError: it is gone, or the file has changed since.
    """
    task = load_task(source["name"], target=source.get("target", ""))
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
        return Task(dataset, source, 1, metrics)
    if dataset.num_classes is None:
        raise UsageError(f"{source['name']}: the number of classes is unknown")
    metrics = {"loss": train.losses.cross_entropy, "accuracy": train.losses.accuracy}
    return Task(dataset, source, dataset.num_classes, metrics)
