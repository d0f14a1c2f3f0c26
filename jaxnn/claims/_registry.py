"""Finding the claims: every public module in a family's folder defines one ``CLAIM``."""

import dataclasses
import difflib
import importlib
import pkgutil

from jaxnn.claims._claim import Claim

HOME = "jaxnn.claims"


@dataclasses.dataclass(frozen=True)
class Registry:
    """The claims of a package.

    Attributes:
      claims: name to claim, sorted by name.
      homes: name to the module that defines it.
      broken: module that should define a claim and does not, to the reason in one line.
    """

    claims: dict[str, Claim]
    homes: dict[str, str]
    broken: dict[str, str]


def find_claims(package: str = HOME) -> Registry:
    """Import every claim below ``package``; a module that fails is reported, not raised.

    Claims live in the packages inside ``package``, one a module, named ``CLAIM``; modules
    whose name starts with an underscore are helpers. Importing them runs no experiment.

    Args:
      package: dotted name of the package that holds the families' folders.

    Returns:
      The claims sorted by name, where each lives, and the modules without a sound claim.
    """
    found: dict[str, tuple[str, Claim]] = {}
    broken: dict[str, str] = {}
    root = importlib.import_module(package)

    def failed(module: str) -> None:
        broken[module] = "does not import"

    for info in pkgutil.walk_packages(root.__path__, f"{package}.", onerror=failed):
        families, _, module = info.name.removeprefix(f"{package}.").rpartition(".")
        private = any(part.startswith("_") for part in (*families.split("."), module))
        if info.ispkg or not families or private:
            continue
        try:
            claim = getattr(importlib.import_module(info.name), "CLAIM", None)
        except Exception as error:  # One unfinished claim must not hide the others.
            broken[info.name] = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        if not isinstance(claim, Claim):
            broken[info.name] = "defines no `CLAIM = Claim(...)`"
        elif claim.name in found:
            broken[info.name] = f"has the name {claim.name!r}, as has {found[claim.name][0]}"
        else:
            found[claim.name] = (info.name, claim)
    names = sorted(found)
    return Registry(
        claims={name: found[name][1] for name in names},
        homes={name: found[name][0] for name in names},
        broken=broken,
    )


def require_names(names: tuple[str, ...], registry: Registry) -> None:
    """Raise ``ValueError`` naming every unknown claim and the known names nearest to it."""
    unknown = [name for name in dict.fromkeys(names) if name not in registry.claims]
    if not unknown:
        return
    hints = []
    for name in unknown:
        near = difflib.get_close_matches(name, registry.claims, n=3, cutoff=0.5)
        hints.append(f"{name!r} (nearest: {', '.join(near)})" if near else repr(name))
    raise ValueError(
        f"no claim is named {'; nor '.join(hints)}. `jaxnn claims list` shows all names."
    )
