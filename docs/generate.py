"""Write the reference and the table of mechanisms from what the packages export.

Every public name appears once in the reference; the table says which laws each is held to and
where its values are checked, from the rows of the law suite.
"""

import importlib
import shutil
from pathlib import Path
from types import ModuleType

import jaxnn

ROOMS = ("layers", "models", "train", "analysis", "data", "claims")


def write_all(docs: Path) -> None:
    """Write docs/_generated anew."""
    out = docs / "_generated"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    pages = []
    for room in ROOMS:
        for path, module in _modules(importlib.import_module(f"jaxnn.{room}"), room):
            (out / f"{path}.md").write_text(_reference(path, module))
            pages.append(path)
    toctree = "\n".join(pages)
    (out / "index.md").write_text(
        f"# Reference\n\n```{{toctree}}\n:maxdepth: 1\n\n{toctree}\n```\n"
    )
    (out / "mechanisms.md").write_text(_mechanisms())
    (out / "activations.md").write_text(_activations())
    shutil.copytree(docs.parent / "notebooks", out / "notebooks", dirs_exist_ok=True)


def _modules(module: ModuleType, path: str) -> list[tuple[str, ModuleType]]:
    """List a room and the families in it that export names."""
    families = [(f"{path}.{name}", getattr(module, name)) for name in module.__all__]
    inner = [(p, m) for p, m in families if isinstance(m, ModuleType)]
    own = [(path, module)] if len(inner) < len(families) else []
    return own + [found for p, m in inner for found in _modules(m, p)]


def _reference(path: str, module: ModuleType) -> str:
    lines = [f"# {path}", "", "```{eval-rst}", f".. automodule:: jaxnn.{path}", ""]
    for name in module.__all__:
        value = getattr(module, name)
        if isinstance(value, ModuleType):
            continue
        kind = "autoclass" if isinstance(value, type) else "autofunction"
        if not callable(value):
            kind = "py:data"  # a table has no docstring of its own
        lines += [f".. {kind}:: jaxnn.{path}.{name}", ""]
    return "\n".join([*lines, "```", ""])


def _mechanisms() -> str:
    from tests.laws.case import LAWS, Case
    from tests.laws.registry import rows

    head = ["# Mechanisms", "", "Every public mechanism, the laws it is held to (✓, or – with the"]
    head += ["reason below), and the test that holds its values against something independent.", ""]
    table = [f"| name | {' | '.join(LAWS)} | values |", f"|---|{'---|' * len(LAWS)}---|"]
    reasons: list[str] = []
    for row in sorted(rows(), key=lambda row: row.name):
        if isinstance(row, Case):
            marks = ["–" if law in row.exempt else "✓" for law in LAWS]
            reasons += [f"- `{row.name}`, {law}: {why}" for law, why in row.exempt.items()]
        else:
            marks = [""] * len(LAWS)
            reasons.append(f"- `{row.name}`: {row.reason}")
        table.append(f"| `{row.name}` | {' | '.join(marks)} | {Path(row.parity).name} |")
    lines = [*head, *table, "", "## Exemptions", "", *reasons, ""]
    return "\n".join(lines)


def _activations() -> str:
    from jaxnn.layers.activations import CATALOGUE

    lines = ["# Activations by name", "", "Parameters in bold are those that the source trains; §"]
    lines += ['is a section of "Three Decades of Activations" (2024).', ""]
    lines += [
        "| name | formula | range | turns | parameters | source |",
        "|---|---|---|---|---|---|",
    ]
    for name, entry in sorted(CATALOGUE.items()):
        low, high = (f"{bound:.6g}" for bound in entry.range)
        parameters = ", ".join(
            f"**{p}** = {value:.6g}" if p in entry.trained else f"{p} = {value:.6g}"
            for p, value in entry.parameters.items()
        )
        turns = "" if entry.monotonic else "✓"
        row = (
            f"`{name}`",
            f"`{entry.formula}`",
            f"{low} … {high}",
            turns,
            parameters,
            entry.source,
        )
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    write_all(Path(jaxnn.__file__).parents[1] / "docs")
