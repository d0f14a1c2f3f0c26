"""What a run is judged by: which of its states is the best, and when no better one is to come."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

from jaxnn._check import require, require_count
from jaxnn.train._checkpoint import Checkpoints
from jaxnn.train._feed import Record


@dataclasses.dataclass(frozen=True)
class Monitor:
    """Judge a run by a metric of its records: for :func:`fit` to keep the best and stop early.

    All is a function of the records, so a run that is resumed stops where one that was never
    interrupted does, and keeps the same best state. Records without the metric, and values that
    are not finite, are passed over.

    Args:
      metric: its name in the records, such as ``test_loss``.
      mode: whether less or more is better.
      min_delta: how much better a value must be to count.
      patience: stop after so many records with the metric, none of them better than the best
        before; never if ``None``.
      best: where to save the best state so far; usually ``Checkpoints(folder, keep=1)``, in a
        folder of its own. ``best.restore(state)`` reads it.

    Raises:
      ValueError: an option is out of range.

    Example:
      >>> monitor = train.Monitor("test_loss", patience=2)
      >>> [monitor.exhausted([{"test_loss": v} for v in (2.0, 1.0, *late)])
      ...     for late in ([1.5], [1.5, 1.2], [1.5, 0.9])]
      [False, True, False]
    """

    metric: str = "test_loss"
    mode: Literal["min", "max"] = "min"
    min_delta: float = 0.0
    patience: int | None = None
    best: Checkpoints | None = None

    def __post_init__(self) -> None:
        where = "Monitor"
        require(self.mode in ("min", "max"), where, "mode", self.mode, "'min' or 'max'")
        ok = self.min_delta >= 0
        require(ok, where, "min_delta", self.min_delta, "a number of at least 0")
        if self.patience is not None:
            require_count(where, patience=self.patience)

    def improved(self, history: Sequence[Record]) -> bool:
        """Say whether the last record is the best so far."""
        return bool(history) and self.metric in history[-1] and self._since_best(history) == 0

    def exhausted(self, history: Sequence[Record]) -> bool:
        """Say whether the last ``patience`` records brought nothing better."""
        return self.patience is not None and self._since_best(history) >= self.patience

    def _since_best(self, history: Sequence[Record]) -> int:
        """Count the records with the metric after the best one; all if none is finite."""
        sign = 1 if self.mode == "min" else -1
        best, since = math.inf, 0
        for record in history:
            if self.metric in record:
                value = sign * record[self.metric]
                better = math.isfinite(value) and value < best - self.min_delta
                best, since = (value, 0) if better else (best, since + 1)
        return since
