"""Lazy packages: a family is imported when one of its names is first used.

Importing several hundred small files costs the better part of a second; a user of one
mechanism should not pay for the others. Every package mirrors its names under
``TYPE_CHECKING`` so that editors and type checkers see them as ordinary imports.
"""

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping


def attach(
    package: str, *, submodules: Iterable[str] = (), names: Mapping[str, str] | None = None
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Make the ``__getattr__`` and ``__dir__`` of a package that loads on first use.

    Args:
      package: the package's ``__name__``.
      submodules: public subpackages, importable as attributes.
      names: public name to the private submodule that defines it, e.g.
        ``{"MLP": "_mlp"}``.

    Returns:
      The two functions, to be assigned to ``__getattr__`` and ``__dir__``.
    """
    modules = frozenset(submodules)
    homes = dict(names or {})

    def __getattr__(name: str) -> object:
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        if name in homes:
            value = getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
            setattr(sys.modules[package], name, value)
            return value
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[package]), *modules, *homes})

    return __getattr__, __dir__
