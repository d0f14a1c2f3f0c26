"""Evidence: what running the claims gave, as a JSON file that can be updated in part.

    {"claims": [{"name", "title", "year", "says", "state", "seconds", "seed",
                 "checks": [{"name", "value", "relation", "bound", "ok"}]}]}

A claim that several papers make has all their titles in ``titles`` too. ``state`` is
``holds``, ``fails`` or ``unrun``; an unrun claim has null for ``seconds`` and ``seed``. A
measured value that is not finite is null.
"""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, NotRequired, TypedDict

from jaxnn._files import write_text
from jaxnn.claims._claim import Check, Claim, Relation

State = Literal["holds", "fails", "unrun"]


class CheckEvidence(TypedDict):
    """One check of a run."""

    name: str
    value: float | None
    relation: Relation
    bound: float
    ok: bool
    tolerance: NotRequired[float]  # of an equality that has one; shown, not kept in files


class Evidence(TypedDict):
    """One claim with what its last run gave."""

    name: str
    title: str
    titles: NotRequired[list[str]]
    year: int
    says: str
    state: State
    seconds: float | None
    seed: int | None
    checks: list[CheckEvidence]


def checked(check: Check) -> CheckEvidence:
    """Turn a check into what JSON can hold."""
    row: CheckEvidence = {
        "name": check.name,
        "value": check.value if math.isfinite(check.value) else None,
        "relation": check.relation,
        "bound": check.bound,
        "ok": check.ok,
    }
    if check.tolerance:
        row["tolerance"] = check.tolerance
    return row


def evidence(
    claim: Claim,
    *,
    state: State = "unrun",
    seconds: float | None = None,
    seed: int | None = None,
    checks: Iterable[CheckEvidence] = (),
) -> Evidence:
    """Put a claim and its run into one row; without a run, an unrun row."""
    first, *others = claim.titles
    row: Evidence = {
        "name": claim.name,
        "title": first,
        "year": claim.year,
        "says": claim.says,
        "state": state,
        "seconds": seconds,
        "seed": seed,
        "checks": list(checks),
    }
    if others:
        row["titles"] = [first, *others]
    return row


def board(claims: Mapping[str, Claim], rows: Iterable[Evidence]) -> list[Evidence]:
    """Give every claim there is its row of the evidence, or an unrun one.

    Titles and sentences are the claims' own; evidence of claims that are gone is left out.
    """
    known = {row["name"]: row for row in rows}
    return [
        evidence(
            claim,
            state=known[name]["state"],
            seconds=known[name]["seconds"],
            seed=known[name]["seed"],
            checks=known[name]["checks"],
        )
        if name in known
        else evidence(claim)
        for name, claim in claims.items()
    ]


def read_evidence(path: Path) -> list[Evidence]:
    """Read the rows of an evidence file.

    Raises:
      ValueError: the file cannot be read or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = content["claims"]
        complete = all(set(row) >= Evidence.__required_keys__ for row in rows)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{path} does not hold the evidence of claims ({type(error).__name__}: {error}); "
            "move it away or name another file."
        ) from None
    if not complete:
        raise ValueError(
            f"{path} holds a claim without {sorted(Evidence.__required_keys__)}; "
            "move it away or name another file."
        )
    return rows


def write_evidence(path: Path, rows: Iterable[Evidence]) -> None:
    """Write the rows, sorted by name, in one step: readers see the old file or the new one."""
    ordered = [
        {**row, "checks": [_kept(check) for check in row["checks"]]}
        for row in sorted(rows, key=lambda row: row["name"])
    ]
    text = json.dumps({"claims": ordered}, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def _kept(check: CheckEvidence) -> dict:
    return {field: value for field, value in check.items() if field != "tolerance"}
