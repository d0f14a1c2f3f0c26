"""``jaxnn demo | train | sweep | evaluate | analyze | generate | claims | bench``: the commands.

Exit codes: 0 done; 1 the work was done and the answer is no (a claim fails); 2 the command
could not be carried out as asked, nothing was written; 74 a disk is full or failing, what was
saved before is intact; 130 and 143 stopped by Ctrl-C or SIGTERM after saving.
"""

import errno
import os
import sys
from collections.abc import Callable, Sequence

from jaxnn._version import __version__
from jaxnn.cli._parse import UsageError, parse

__all__ = ["main"]

DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)

HELP = """\
usage: jaxnn COMMAND ...

Neural networks as pure functions in JAX.

commands:
  demo              train four networks on handwritten digits, analyse them, write a report
  train MODEL DATA  train a network on built-in data or your own .npz, .csv or text
  sweep MODEL DATA  train many times, options chosen by Optuna
  evaluate RUN      score a trained run on all its examples
  analyze RUN       attribution, sparsity and pictures of a run, as an HTML report
  generate RUN      let a trained gpt write
  claims            list the papers' claims, or run them
  bench             time ours beside others on the same work

options:
  -h, --help        this text; jaxnn COMMAND --help has each command's
  --version         the version"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit code.

    Args:
      argv: arguments without the program's name; the process's own if ``None``.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = arguments[0] if arguments else "--help"
    if command in ("-h", "--help"):
        print(HELP)
        return 0 if arguments else 2
    if command == "--version":
        print(__version__)
        return 0
    try:
        return _commands(command)(arguments[1:])
    except UsageError as error:
        print(f"jaxnn {command}: {error}", file=sys.stderr)
        return 2
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    except BrokenPipeError:  # the reader, such as head, has gone
        sys.stderr.close()
        return 0
    except OSError as error:
        if error.errno not in DISK_FAULTS:
            raise
        print(f"jaxnn {command}: {error.strerror}: {error.filename or 'disk'}", file=sys.stderr)
        return os.EX_IOERR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _commands(command: str) -> Callable[[Sequence[str]], int]:
    """Find a command; each imports what it needs when it is called.

    Their names differ from the submodules', which importing binds in this package.
    """
    found = {
        "demo": _run_demo,
        "train": _run_train,
        "sweep": _run_sweep,
        "evaluate": _run_evaluate,
        "analyze": _run_analyze,
        "generate": _run_generate,
        "claims": _run_claims,
        "bench": _run_bench,
    }.get(command)
    if found is None:
        known = "demo, train, sweep, evaluate, analyze, generate, claims, bench"
        print(f"jaxnn: unknown command {command!r}; the commands are {known}", file=sys.stderr)
        raise SystemExit(2)
    return found


def _run_demo(argv: Sequence[str]) -> int:
    from jaxnn.cli._demo import DemoOptions, demo

    return demo(parse(DemoOptions, argv, prog="jaxnn demo"))


def _run_train(argv: Sequence[str]) -> int:
    from jaxnn.cli._train import parse_train, train_command

    return train_command(parse_train(argv))


def _run_sweep(argv: Sequence[str]) -> int:
    from jaxnn.cli._sweep import parse_sweep, sweep

    return sweep(parse_sweep(argv))


def _run_evaluate(argv: Sequence[str]) -> int:
    from jaxnn.cli._evaluate import EvaluateOptions, evaluate_command

    return evaluate_command(parse(EvaluateOptions, argv, prog="jaxnn evaluate"))


def _run_analyze(argv: Sequence[str]) -> int:
    from jaxnn.cli._analyze import AnalyzeOptions, analyze_command

    return analyze_command(parse(AnalyzeOptions, argv, prog="jaxnn analyze"))


def _run_generate(argv: Sequence[str]) -> int:
    from jaxnn.cli._generate import GenerateOptions, generate_command

    return generate_command(parse(GenerateOptions, argv, prog="jaxnn generate"))


def _run_claims(argv: Sequence[str]) -> int:
    from jaxnn.cli import _claims as claims

    actions = {
        "list": (claims.ClaimsListOptions, claims.claims_list),
        "run": (claims.ClaimsRunOptions, claims.claims_run),
        "render": (claims.ClaimsRenderOptions, claims.claims_render),
    }
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: jaxnn claims list|run|render ...\n")
        for name, (options, _) in actions.items():
            print(f"  {name:<8}{(options.__doc__ or '').splitlines()[0]}")
        return 0 if argv else 2
    if argv[0] not in actions:
        raise UsageError(f"unknown action {argv[0]!r}; the actions are {', '.join(actions)}")
    options, action = actions[argv[0]]
    return action(parse(options, argv[1:], prog=f"jaxnn claims {argv[0]}"))


def _run_bench(argv: Sequence[str]) -> int:
    from jaxnn.cli._bench import BenchOptions, bench

    return bench(parse(BenchOptions, argv, prog="jaxnn bench"))
