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
    """Take the sentence out of tyro's box: its lines up to the first rule, and near misses."""
    lines = [line.strip("│|╭╮╰╯+ ") for line in box.splitlines()]
    parts: list[list[str]] = [[]]
    for line in [line for line in lines if line][1:]:  # the first is the box's title
        if set(line) <= set("─-"):
            parts.append([])
        else:
            parts[-1].append(line)
    filled = [part for part in parts if part]
    message = " ".join(filled[0]) if filled else "the arguments cannot be parsed"
    for part in filled[1:]:
        if part[0].startswith("Perhaps you meant") and len(part) > 1:
            message += f"; did you mean {part[1].split()[0]}?"
    return message
