"""A claim: one paper bound to the library by checks that run."""

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Literal, SupportsFloat, get_args

import jax

from jaxnn._check import describe

Relation = Literal["=", "<=", ">=", "<", ">"]


@dataclasses.dataclass(frozen=True, init=False)
class Check:
    """A measured value, held against a bound that was chosen before it was measured.

    Attributes:
      name: what was measured, with its unit.
      value: the measured number.
      relation: how ``value`` must stand to ``bound``.
      bound: from the paper or from arithmetic; finite.
      tolerance: how far apart the two sides of ``"="`` may be; zero for the other relations.

    Example:
      >>> Check("row sums", 0.9999999, "=", 1.0, tolerance=1e-6).ok
      True
      >>> Check("accuracy below softmax, points", 3.1, "<=", 2.0).ok
      False
    """

    name: str
    value: float
    relation: Relation
    bound: float
    tolerance: float = 0.0

    def __init__(
        self,
        name: str,
        value: SupportsFloat,
        relation: Relation,
        bound: SupportsFloat,
        tolerance: SupportsFloat = 0.0,
    ):
        """Convert the numbers (arrays of one entry too) to floats and refuse senseless ones."""
        where = f"Check({name!r})"
        if not name:
            raise ValueError("Check: `name` is empty; it needs to say what was measured.")
        if relation not in get_args(Relation):
            raise ValueError(
                f"{where}: `relation` is {relation!r}; it needs one of {get_args(Relation)}."
            )
        numbers = {}
        for argument, number in (("value", value), ("bound", bound), ("tolerance", tolerance)):
            try:
                numbers[argument] = float(number)
            except (TypeError, ValueError):
                raise TypeError(
                    f"{where}: `{argument}` is {describe(number)}; it needs one number."
                ) from None
        if not math.isfinite(numbers["bound"]):
            raise ValueError(f"{where}: `bound` is {numbers['bound']}; it needs a finite number.")
        # A slack hidden in a tolerance would loosen "<=" without showing in the bound.
        if not 0 <= numbers["tolerance"] < math.inf or (relation != "=" and numbers["tolerance"]):
            raise ValueError(
                f"{where}: `tolerance` is {numbers['tolerance']} with relation {relation!r}; "
                "it needs a finite number of at least zero, and zero unless the relation is '='."
            )
        for field, content in {"name": name, "relation": relation, **numbers}.items():
            object.__setattr__(self, field, content)

    @property
    def ok(self) -> bool:
        """Whether the relation holds; a value that is not finite holds nothing."""
        if not math.isfinite(self.value):
            return False
        match self.relation:
            case "=":
                return abs(self.value - self.bound) <= self.tolerance
            case "<=":
                return self.value <= self.bound
            case ">=":
                return self.value >= self.bound
            case "<":
                return self.value < self.bound
            case ">":
                return self.value > self.bound


Part = Callable[[jax.Array], list[Check]]


@dataclasses.dataclass(frozen=True)
class Claim:
    """What a paper says, and the experiment that shows it: functions of a random key.

    The three parts come in the order of their worth. Each must hold for any key.

    Attributes:
      name: lower-case words joined by hyphens, unique among all claims.
      title: the paper's title; a tuple when several papers say it.
      year: the year it appeared, the earliest of several.
      says: the claim in one sentence.
      identities: identities and closed forms.
      agreements: agreement with an independent implementation.
      effects: the paper's effect on data, against an honest baseline.
      quick: whether all parts run in a few seconds, so that the tests run them all.
    """

    name: str
    title: str | tuple[str, ...]
    year: int
    says: str
    identities: Part | None = None
    agreements: Part | None = None
    effects: Part | None = None
    quick: bool = True

    def __post_init__(self):
        """Refuse a claim that could not be listed or that checks nothing."""
        where = f"Claim({self.name!r})"
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", self.name):
            raise ValueError(
                f"{where}: `name` is {self.name!r}; it needs lower-case words joined by hyphens."
            )
        if not self.titles or not all(title.strip() for title in self.titles):
            raise ValueError(f"{where}: `title` is {self.title!r}; it needs a paper's title.")
        if not 1900 <= self.year <= 2100:
            raise ValueError(f"{where}: `year` is {self.year}; it needs the year of the paper.")
        if not self.says.strip():
            raise ValueError(f"{where}: `says` is empty; it needs the claim in one sentence.")
        if not self.parts:
            raise ValueError(
                f"{where}: `identities`, `agreements` and `effects` are all None; "
                "it needs at least one of them."
            )

    @property
    def titles(self) -> tuple[str, ...]:
        """All papers that say it."""
        return (self.title,) if isinstance(self.title, str) else self.title

    @property
    def parts(self) -> dict[str, Part]:
        """The parts that there are, by name, in order."""
        parts = {part: getattr(self, part) for part in PARTS}
        return {part: function for part, function in parts.items() if function is not None}


PARTS: tuple[str, ...] = ("identities", "agreements", "effects")
