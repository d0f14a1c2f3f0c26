"""What a trained model is made of, measured and drawn: the analysis behind the report."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True, kw_only=True)
class FigureEntry:
    """One figure of the report.

    Attributes:
      title: a short heading.
      caption: what the picture shows and what to look for, in plain words.
      svg: the drawing, a self-contained SVG element.
    """

    title: str
    caption: str
    svg: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelAnalysis:
    """The figures and numbers of one model, all JSON-able.

    Attributes:
      measures: name to value; nested mappings hold one value a layer or a method.
      figures: in reading order.
    """

    measures: Mapping[str, object]
    figures: tuple[FigureEntry, ...] = ()
