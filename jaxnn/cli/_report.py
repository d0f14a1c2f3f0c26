"""The report: every run's numbers, curves and figures on one self-contained page."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from jaxnn.cli._analysis import ModelAnalysis


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """What the report says of one trained model.

    Attributes:
      name: the run's name, unique in the report, e.g. ``"kan"``.
      model: the model's name as people say it, e.g. ``"KAN"``.
      dataset: the data it was trained on.
      task: whether ``metrics`` speak of accuracy or of error.
      config: every option it was trained with, plain values.
      parameters: how many numbers were learned.
      seconds: wall-clock time of the training, compilation included.
      steps_per_second: training speed after compilation.
      metrics: figures at the end of training, e.g. ``{"test_accuracy": 0.97}``.
      history: one row a logged step, e.g. ``{"step": 10, "loss": 0.5, "accuracy": 0.8}``.
      analysis: measures and figures, made by ``analyze_model``.
    """

    name: str
    model: str
    dataset: str
    config: Mapping[str, object]
    parameters: int
    seconds: float
    steps_per_second: float
    metrics: Mapping[str, float]
    task: Literal["classification", "regression"] = "classification"
    history: Sequence[Mapping[str, float]] = ()
    analysis: ModelAnalysis | None = None


def write_report(
    path: str | Path,
    *,
    title: str,
    seed: int,
    machine: str | Mapping[str, object],
    runs: Sequence[Run],
    command: str | None = None,
) -> Path:
    """Write the page to ``path``, whole or not at all, and give the path back."""
    raise NotImplementedError("write_report: being written")
