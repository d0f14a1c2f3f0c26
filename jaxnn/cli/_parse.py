"""Options from dataclasses by tyro; a mistake becomes one line and exit code 2."""

import contextlib
import io
import sys
from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")


class UsageError(Exception):
    """The command cannot be carried out as asked; the message is one line for the user."""


def parse(kind: Any, argv: Sequence[str], *, prog: str, default: Any = None) -> Any:
    """Parse a command's arguments into its dataclass of options.

    Args:
      kind: the dataclass; its docstrings make the help text.
      argv: arguments after the command's name.
      prog: the command as typed, for the usage line.
      default: an instance with the defaults; the dataclass's own if ``None``.

    Returns:
      An instance of ``kind``.

    Raises:
      UsageError: an argument is unknown, missing or has a wrong value.
      SystemExit: help was asked for and printed (code 0).
    """
    import tyro

    captured = io.StringIO()
    options = {} if default is None else {"default": default}
    # The flag markers keep options short: --resume, not --resume and --no-resume.
    marked = tyro.conf.OmitArgPrefixes[tyro.conf.FlagCreatePairsOff[kind]]
    try:
        with contextlib.redirect_stdout(captured), contextlib.redirect_stderr(captured):
            return tyro.cli(marked, args=list(argv), prog=prog, **options)
    except SystemExit as stop:
        if stop.code in (0, None):
            sys.stdout.write(captured.getvalue())
            raise
        raise UsageError(f"{_first_message(captured.getvalue())} (see {prog} --help)") from None


def _first_message(box: str) -> str:
    """Take the sentence out of tyro's box: its lines up to the rule, and near misses."""
    lines = [line.strip("│ ").rstrip() for line in box.splitlines() if line.startswith("│")]
    parts: list[list[str]] = [[]]
    for line in lines:
        if line and set(line) <= {"─"}:
            parts.append([])
        elif line:
            parts[-1].append(line)
    message = " ".join(parts[0]) or "the arguments cannot be parsed"
    for part in parts[1:]:
        if part and part[0].startswith("Perhaps you meant"):
            message += f"; did you mean {part[1].split()[0]}?"
    return message
