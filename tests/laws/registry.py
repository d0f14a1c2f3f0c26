"""All rows, found by file, and all public names that must have one."""

import functools
import importlib
import pkgutil
from types import ModuleType

from tests.laws import cases
from tests.laws.case import Case, Plain

# The packages whose every public name is held to the laws; the rest of `train` (state, steps,
# loops, files) has its own tests.
GOVERNED = ("layers", "analysis", "train.losses", "train.optimizers", "train.pruning")
# Figures and pages are looked at, not differentiated; tests/analysis holds them.
UNGOVERNED = frozenset({"analysis.visualization"})


@functools.cache
def rows() -> tuple[Case | Plain, ...]:
    """Collect ``CASES`` of every module in ``tests/laws/cases``."""
    found: list[Case | Plain] = []
    for info in pkgutil.iter_modules(cases.__path__):
        found.extend(importlib.import_module(f"{cases.__name__}.{info.name}").CASES)
    return tuple(found)


def public_names() -> list[str]:
    """List every governed public name, as ``layers.feedforward.dense``."""
    names: list[str] = []
    for room in GOVERNED:
        package = importlib.import_module(f"jaxnn.{room}")
        names.extend(_names(package, room))
    return names


def _names(package: ModuleType, path: str) -> list[str]:
    names: list[str] = []
    for name in package.__all__:
        inner = f"{path}.{name}"
        if inner in UNGOVERNED:
            continue
        value = getattr(package, name)
        names.extend(_names(value, inner) if isinstance(value, ModuleType) else [inner])
    return names
