"""``jaxnn claims list | run | render``: the papers' claims from the command line.

Each command is a frozen dataclass of options and a function of it that returns the exit
status: 0 all hold, 1 some fail, 2 the command was misused.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Annotated

import tyro

import jaxnn
from jaxnn import claims
from jaxnn._files import write_text
from jaxnn.claims._evidence import Evidence
from jaxnn.claims._registry import HOME, Registry, find_claims, require_names
from jaxnn.claims._render import tally, text_list, with_count

# Of a checkout; an installed package has no docs beside it, and then all claims are unrun.
ROOT = Path(jaxnn.__file__).resolve().parents[1]

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]


@dataclasses.dataclass(frozen=True)
class ClaimsListOptions:
    """List the claims with their paper and the state of the evidence last committed."""

    json: Flag = False
    """Print the list as JSON, the evidence file without its checks."""
    paper: str = ""
    """Only claims of papers whose title contains this text, in upper or lower case."""
    root: tyro.conf.Suppress[Path] = ROOT


@dataclasses.dataclass(frozen=True)
class ClaimsRunOptions:
    """Run claims and show their checks; the status is 1 if any fails."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = ()
    """Claims to run, as `jaxnn claims list` names them."""
    all: Flag = False
    """Run every claim there is."""
    seed: int = 0
    """Seed of the random key; a claim should hold for any."""
    seeds: tuple[int, ...] = ()
    """Run each claim once for each of these seeds, instead of `--seed`."""
    jobs: int = 1
    """How many claims run at a time, each in a process of its own if more than one."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write the evidence to this file; rows of other claims in it are kept. Of several seeds
    a claim's row is the first that fails, else the first."""


@dataclasses.dataclass(frozen=True)
class ClaimsRenderOptions:
    """Write docs/claims.md and the README's count from the evidence in docs/claims.json."""

    check: Flag = False
    """Write nothing; the status is 1 if a file is not up to date."""
    root: tyro.conf.Suppress[Path] = ROOT


def claims_list(options: ClaimsListOptions, *, package: str = HOME) -> int:
    """Print the claims, as text or as JSON."""
    try:
        rows = _rows(options.root, _found(package))
    except ValueError as error:
        return _misused("list", error)
    text = options.paper.casefold()
    rows = [
        row
        for row in rows
        if any(text in title.casefold() for title in row.get("titles", [row["title"]]))
    ]
    if options.json:
        short = [{key: row[key] for key in row if key != "checks"} for row in rows]
        print(json.dumps({"claims": short}, indent=1, ensure_ascii=False))
    elif rows or not text:
        print(text_list(rows))
    else:
        print(f"No claim is of a paper whose title contains {options.paper!r}.")
    return 0


def claims_run(options: ClaimsRunOptions, *, package: str = HOME) -> int:
    """Run claims, print each as it ends, and keep the evidence."""
    registry = _found(package)
    seeds = tuple(dict.fromkeys(options.seeds)) or (options.seed,)
    try:
        names = _chosen(options, registry)
        if options.jobs < 1:
            raise ValueError(f"`--jobs` is {options.jobs}; it needs at least 1.")
        if not all(0 <= seed < 2**32 for seed in seeds):
            raise ValueError(f"a seed of {seeds} is outside [0, 2**32).")
        kept = _kept(options, registry)
    except ValueError as error:
        return _misused("run", error)

    told: dict[str, list[Evidence]] = {}

    def report(row: Evidence) -> None:
        print(claims.text_block(row), flush=True)
        runs = told.setdefault(row["name"], [])
        runs.append(row)
        if options.json is not None:  # at once, so that an interrupted run keeps what it has
            failed = [run for run in runs if run["state"] == "fails"]
            kept[row["name"]] = (failed or runs)[0]
            claims.write_evidence(options.json, kept.values())

    for seed in seeds:
        claims.run_claims(
            names, seed, options.jobs, registry=registry, report=report, progress=True
        )
    rows = [row for runs in told.values() for row in runs]
    failing = [name for name, runs in told.items() if any(r["state"] == "fails" for r in runs)]
    if len(rows) > 1:
        print(f"\n{tally(rows)}" + (f" ({', '.join(failing)})" if failing else ""))
    return 1 if failing or (options.all and registry.broken) else 0


def claims_render(options: ClaimsRenderOptions, *, package: str = HOME) -> int:
    """Write the page and the count, or check that they are up to date."""
    page, readme = options.root / "docs" / "claims.md", options.root / "README.md"
    try:
        if not (options.root / "docs" / "claims.json").is_file():
            raise ValueError(f"{options.root} has no docs/claims.json; `make claims` writes it.")
        rows = _rows(options.root, _found(package))
        wanted = {page: claims.markdown_page(rows)}
        wanted[readme] = with_count(readme.read_text(encoding="utf-8"), rows)
    except (OSError, ValueError) as error:
        return _misused("render", error)
    stale = [
        path
        for path, text in wanted.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    for path in stale:
        name = path.relative_to(options.root)
        if options.check:
            print(f"{name} is not what `jaxnn claims render` writes.")
        else:
            write_text(path, wanted[path])
            print(f"wrote {name}")
    return 1 if options.check and stale else 0


def _found(package: str) -> Registry:
    registry = find_claims(package)
    for module, reason in registry.broken.items():
        print(f"jaxnn claims: {module} {reason}", file=sys.stderr)
    return registry


def _misused(command: str, error: Exception) -> int:
    print(f"jaxnn claims {command}: {error}", file=sys.stderr)
    return 2


def _rows(root: Path, registry: Registry) -> list[Evidence]:
    path = root / "docs" / "claims.json"
    return claims.board(registry.claims, claims.read_evidence(path) if path.is_file() else [])


def _chosen(options: ClaimsRunOptions, registry: Registry) -> tuple[str, ...]:
    if options.all == bool(options.names):
        raise ValueError("give the names of claims or `--all`, one of the two.")
    if options.all:
        return tuple(registry.claims)
    require_names(options.names, registry)
    return tuple(dict.fromkeys(options.names))


def _kept(options: ClaimsRunOptions, registry: Registry) -> dict[str, Evidence]:
    """Read the rows that the file keeps, before hours are spent on what cannot be written."""
    path = options.json
    if path is None:
        return {}
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ValueError(f"`--json` is {path}; it needs a file in a folder that exists.")
    rows = claims.read_evidence(path) if path.exists() else []
    # A whole run is the whole truth: it drops the claims that are gone.
    return {row["name"]: row for row in rows if not options.all or row["name"] in registry.claims}
