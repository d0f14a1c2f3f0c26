"""Evidence as text for the terminal, as the page of the docs, and as the README's count."""

import re
from collections import Counter
from collections.abc import Sequence

from jaxnn.claims._evidence import CheckEvidence, Evidence

WORDS = {"holds": "HOLDS", "fails": "FAILS", "unrun": "UNRUN"}
MARKERS = ("<!-- claims -->", "<!-- /claims -->")


def _titles(row: Evidence) -> list[str]:
    return row.get("titles", [row["title"]])


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value + 0.0:.6g}"  # not -0


def _side(check: CheckEvidence) -> tuple[str, str, str]:
    tolerance = f" to {check['tolerance']:g}" if "tolerance" in check else ""
    return _number(check["value"]), check["relation"], _number(check["bound"]) + tolerance


def _summary(row: Evidence) -> str:
    """Say how many checks hold, how long they took and from which seed."""
    passed = sum(check["ok"] for check in row["checks"])
    count = len(row["checks"])
    words = [f"{passed} of {count} {'check' if count == 1 else 'checks'}"]
    if row["seconds"] is not None:
        words.append(f"{row['seconds']:.1f} s")
    if row["seed"] is not None:
        words.append(f"seed {row['seed']}")
    return ", ".join(words)


def text_block(row: Evidence) -> str:
    """Show one claim with its checks, their columns aligned."""
    first, *others = _titles(row)
    lines = [f"{row['name']}   {first} ({row['year']})"]
    lines += [f"  also   {title}" for title in others]
    lines.append(f"  says   {row['says']}")
    sides = [_side(check) for check in row["checks"]]
    name_width = max((len(check["name"]) for check in row["checks"]), default=0)
    value_width = max((len(value) for value, _, _ in sides), default=0)
    for check, (value, relation, bound) in zip(row["checks"], sides, strict=True):
        word = "ok  " if check["ok"] else "FAIL"
        name, value = check["name"].ljust(name_width), value.ljust(value_width)
        lines.append(f"  {word}   {name}  {value}  {relation:<2} {bound}")
    lines.append(f"  {WORDS[row['state']]}  {_summary(row)}")
    return "\n".join(lines)


def text_list(rows: Sequence[Evidence]) -> str:
    """Show one line a paper: state, claim, year, title."""
    width = max((len(row["name"]) for row in rows), default=0)
    lines = [
        f"{WORDS[row['state']]}  {row['name']:<{width}}  {row['year']}  {title}"
        for row in rows
        for title in _titles(row)
    ]
    return "\n".join([*lines, tally(rows)])


def tally(rows: Sequence[Evidence]) -> str:
    """Count the claims by state, in words."""
    states = Counter(row["state"] for row in rows)
    count = f"{len(rows)} {'claim' if len(rows) == 1 else 'claims'}"
    parts = [f"{states['holds']} hold"]
    parts += [f"{states['fails']} fail"] if states["fails"] else []
    parts += [f"{states['unrun']} not run yet"] if states["unrun"] else []
    return f"{count}: {', '.join(parts)}"


def _papers(rows: Sequence[Evidence]) -> int:
    return len({title for row in rows for title in _titles(row)})


def markdown_page(rows: Sequence[Evidence]) -> str:
    """Render the score board: a table of all claims, then each with its checks."""
    lines = [
        "# Claims",
        "",
        "What papers say, as experiments that run on two CPU cores. This page is made by",
        "`make claims` from the evidence in `claims.json`; a claim that fails stays and shows",
        "its figures. Run one yourself, with any seed: `jaxnn claims run NAME --seed 7`, which",
        "also shows to what tolerance the two sides of an `=` need to agree.",
        "",
        f"**{tally(rows)}**, from {_papers(rows)} papers.",
        "",
        "| State | Claim | Paper | Year |",
        "|---|---|---|---|",
    ]
    for row in rows:
        papers = "; ".join(_escape(title) for title in _titles(row))
        link = f"[{row['name']}](#{row['name']})"
        lines.append(f"| {WORDS[row['state']]} | {link} | {papers} | {row['year']} |")
    for row in rows:
        lines += ["", *_section(row)]
    return "\n".join(lines) + "\n"


def _section(row: Evidence) -> list[str]:
    titles = [f"*{_escape(title)}*" for title in _titles(row)]
    lines = [f"## {row['name']}", "", f"{'; '.join(titles)} ({row['year']})", ""]
    lines.append(f"{_escape(row['says'])}")
    if row["checks"]:
        lines += ["", "| | Check | Measured | | Bound |", "|---|---|---|---|---|"]
    for check in row["checks"]:
        value, relation, bound = _side(check)
        cells = ["ok" if check["ok"] else "**FAIL**", _escape(check["name"]), value]
        lines.append(f"| {' | '.join([*cells, _escape(relation), bound])} |")
    summary = f": {_summary(row)}" if row["state"] != "unrun" else ""
    return [*lines, "", f"**{WORDS[row['state']]}**{summary}"]


def _escape(text: str) -> str:
    """Keep text from being read as Markdown or HTML, or from ending a table's cell."""
    return re.sub(r"([\\`*_\[\]<>|$])", r"\\\1", " ".join(text.split()))


def with_count(readme: str, rows: Sequence[Evidence]) -> str:
    """Put the count between the README's markers.

    Raises:
      ValueError: the markers are missing.
    """
    start, end = MARKERS
    pattern = re.compile(f"({re.escape(start)}\\n?).*?({re.escape(end)})", re.DOTALL)
    if not pattern.search(readme):
        raise ValueError(f"the README has no {start}...{end} to write the count between.")
    count = f"{tally(rows)}, from {_papers(rows)} papers"

    def between(match: re.Match[str]) -> str:
        # Markers on lines of their own stay there.
        return match[1] + count + ("\n" if match[1].endswith("\n") else "") + match[2]

    return pattern.sub(between, readme)
