"""A run's folder: ``config.json``, ``metrics.jsonl``, ``checkpoints/``, and a lock.

A folder is made whole or not at all, never overwritten, and used by one process at a time.
"""

import contextlib
import dataclasses
import fcntl
import json
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxnn._files import write_text
from jaxnn.train._checkpoint import Checkpoints


@dataclasses.dataclass(frozen=True)
class Run:
    """A run's folder and what it was started with.

    Attributes:
      folder: where the run is.
      config: the content of ``config.json``.
    """

    folder: Path
    config: dict[str, Any]

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.folder / "checkpoints"

    @property
    def metrics(self) -> Path:
        """The file of records, one JSON object a line."""
        return self.folder / "metrics.jsonl"

    def open_best(self) -> Checkpoints:
        """Open the folder of the best state, where a run keeps it."""
        return Checkpoints(self.folder / "best", keep=1)

    def open_checkpoints(self, *, keep: int = 3) -> Checkpoints:
        """Open the run's checkpoints."""
        return Checkpoints(self.checkpoints, keep=keep)

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a record to ``metrics.jsonl``."""
        with self.metrics.open("a") as file:
            file.write(json.dumps(dict(record)) + "\n")

    def rewrite(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Replace ``metrics.jsonl``, atomically, by these records."""
        write_text(self.metrics, "".join(json.dumps(dict(r)) + "\n" for r in records))

    def records(self) -> list[dict[str, Any]]:
        """Read ``metrics.jsonl``; a last line cut short by a kill is left out.

        Warns:
          UserWarning: a line before the last cannot be read; it is left out too.
        """
        if not self.metrics.is_file():
            return []
        found = []
        lines = self.metrics.read_text(errors="replace").splitlines()
        for number, line in enumerate(lines, 1):
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError:
                if number < len(lines):
                    warnings.warn(
                        f"{self.metrics}: line {number} cannot be read and is left out",
                        stacklevel=2,
                    )
        return found

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process.

        Raises:
          ValueError: another process holds it.
        """
        with (self.folder / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(f"run {self.folder} is in use by another process") from None
            yield


def create_run(folder: str | Path, config: Mapping[str, Any]) -> Run:
    """Make a run's folder with its config, in one atomic step.

    Args:
      folder: the new folder.
      config: JSON-able description of the run.

    Returns:
      The run.

    Raises:
      ValueError: the folder exists; its content is left alone.
    """
    folder = Path(folder)
    if folder.exists():
        raise ValueError(f"run {folder} exists; continue it with --resume, or choose another name")
    folder.parent.mkdir(parents=True, exist_ok=True)
    plain: dict[str, Any] = json.loads(json.dumps(dict(config)))
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        write_text(made / "config.json", json.dumps(plain, indent=2) + "\n")
        made.chmod(0o755)
        try:
            made.rename(folder)
        except OSError:
            raise ValueError(f"run {folder} exists; choose another name") from None
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    return Run(folder, plain)


def open_run(folder: str | Path) -> Run:
    """Open a run that exists.

    Raises:
      ValueError: there is no run there, or its config cannot be read.
    """
    folder = Path(folder)
    path = folder / "config.json"
    if not path.is_file():
        near = sorted(p.parent.name for p in folder.parent.glob("*/config.json"))
        known = f"; {folder.parent} has {', '.join(near)}" if near else ""
        raise ValueError(f"no run at {folder} (it has no config.json){known}")
    try:
        return Run(folder, json.loads(path.read_text()))
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
