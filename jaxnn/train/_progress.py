"""A progress bar with loss and rate; rich is imported only when a bar is shown."""

import sys
import time
from types import TracebackType
from typing import Any


class Progress:
    """A bar over training steps, or nothing.

    Args:
      show: ``True``, ``False``, a label, or ``None`` for "if the error stream is a terminal".
      total: number of steps in all.
      done: number of steps already made, e.g. before a resume.
    """

    def __init__(self, show: bool | str | None, *, total: int, done: int) -> None:
        # Padded: a column of few letters is the first that a narrow terminal gives up.
        self.label = (show if isinstance(show, str) else "training").ljust(8)
        shown = sys.stderr.isatty() if show is None else bool(show)
        self.total, self.first, self.shown = total, done, shown
        self.bar: Any = None

    def __enter__(self) -> "Progress":
        self.started = time.perf_counter()
        if self.shown:
            from rich import progress
            from rich.console import Console
            from rich.table import Column

            # In a narrow terminal the values are cut, from the right, and nothing else.
            def text(form: str, width: int) -> progress.TextColumn:
                return progress.TextColumn(form, table_column=Column(no_wrap=True, min_width=width))

            digits = len(str(self.total))
            self.bar = progress.Progress(
                text("{task.description}", len(self.label)),
                progress.BarColumn(bar_width=14, table_column=Column(no_wrap=True, min_width=14)),
                text(f"{{task.completed:>{digits}.0f}}/{{task.total:.0f}}", 2 * digits + 1),
                text("{task.fields[rate]:>8}", 8),
                progress.TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=7)),
                progress.TextColumn(
                    "{task.fields[values]}", table_column=Column(no_wrap=True, overflow="ellipsis")
                ),
                console=Console(stderr=True),
            )
            self.bar.start()
            self.task = self.bar.add_task(
                self.label, total=self.total, completed=self.first, rate="", values="compiling"
            )
        return self

    def update(self, done: int, record: dict[str, float] | None = None) -> None:
        """Move the bar; with a record, show its values too."""
        if self.bar is None:
            return
        seconds = time.perf_counter() - self.started
        fields = {"rate": f"{(done - self.first) / seconds:,.0f}/s"}
        if record is not None:
            shown = {k: v for k, v in record.items() if k not in ("step", "seconds")}
            if not shown.get("skipped"):  # which is what one hopes for
                shown.pop("skipped", None)
            fields["values"] = "  ".join(f"{name} {value:.3g}" for name, value in shown.items())
        self.bar.update(self.task, completed=done, **fields)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bar is not None:
            self.bar.stop()
