"""The report: every run's numbers, curves and figures on one self-contained page.

The page loads nothing and runs no scripts. Figures are drawn once, for white paper; on the
page their inks become the page's colours, so that they are read in the dark as in print.
"""

import dataclasses
import datetime
import importlib.resources
import platform
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from jaxnn._files import write_text
from jaxnn.analysis import visualization
from jaxnn.cli._analysis_parts import LABELS, FigureEntry, ModelAnalysis


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """What the report says of one trained model.

    Attributes:
      name: the run's name, unique in the report, e.g. ``"KAN"``.
      model: the class of the model, e.g. ``"KAN"``; known ones are described in the page.
      dataset: the data it was trained on.
      config: every option it was trained with, plain values.
      parameters: how many numbers were learned.
      seconds: wall-clock time of the training, compilation included.
      steps_per_second: training speed.
      metrics: figures at the end of training, e.g. ``{"test_accuracy": 0.97}``.
      task: whether to speak of accuracy or of error.
      history: one row a logged step, e.g. ``{"step": 10, "loss": 0.5, "test_accuracy": 0.8}``.
      analysis: measures and figures, made by ``analyze_model``.
      description: a sentence about the model; a stored one if empty and the model is known.
    """

    name: str
    model: str
    dataset: str
    config: Mapping[str, Any]
    parameters: int
    seconds: float
    steps_per_second: float
    metrics: Mapping[str, float]
    task: Literal["classification", "regression"] = "classification"
    history: Sequence[Mapping[str, float]] = ()
    analysis: ModelAnalysis | None = None
    description: str = ""


ABOUT = {
    "MLP": (
        "A multi-layer perceptron: every unit sees all of the layer before it, and a fixed "
        "bend between the layers makes more of it than a straight line. The plainest of "
        "networks, and the yardstick for the others."
    ),
    "KAN": (
        "A Kolmogorov-Arnold network: each connection carries a curve of its own, learned from "
        "the data, and the nodes only add up. The curves can be looked at, one by one."
    ),
    "SpikingMLP": (
        "A spiking network: units add up what arrives over time and send a pulse when they have "
        "enough. Between pulses they are silent, which is what saves energy on the hardware "
        "made for it."
    ),
    "VisionTransformer": (
        "A vision transformer: the image is cut into patches, and each patch decides by "
        "attention which of the others to listen to, several times over."
    ),
    "GPT": (
        "A causal transformer over bytes: each byte of a text is guessed from those before it, "
        "which it listens to by attention. Guessing on, it writes."
    ),
    "Transformer": (
        "A transformer: each position of the sequence decides by attention which of the others "
        "to listen to, several times over."
    ),
}


PACKAGES = ("jaxnn", "jax", "flax", "optax", "numpy")  # whose versions the page names


@dataclasses.dataclass(frozen=True)
class _Column:
    """A column of the summary: how to find its value, and what to say about it."""

    head: str
    value: Callable[[Run], float | None]
    form: Callable[[float], str]
    best: Callable[[Iterable[float]], float] | None = None
    meter: bool = False
    tile: bool = True
    says: str = ""


def write_report(
    path: str | Path,
    *,
    title: str,
    seed: int,
    machine: str | Mapping[str, object],
    runs: Sequence[Run],
    command: str | None = None,
) -> Path:
    """Write the page to ``path``, whole or not at all.

    Args:
      path: the file; folders above it are made.
      title: the page's heading.
      seed: what all randomness came from.
      machine: what it was measured on, e.g. ``{"cpu": ..., "cores": 2}``.
      runs: the models, in reading order; names must differ.
      command: the command that made the page; this process's if ``None``.

    Returns:
      The path.

    Raises:
      ValueError: there are no runs, or two of the same name.
    """
    import jinja2

    path = Path(path)
    names = [run.name for run in runs]
    if not names or len(set(names)) < len(names):
        raise ValueError(
            f"write_report: `runs` has the names {names}; it needs one or more, all different."
        )
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    heads = _headings(runs)
    columns = [c for c in _columns(runs) if any(c.value(run) is not None for run in runs)]
    page = environment.get_template("report.html").render(
        title=title,
        lead=_lead(runs, seed),
        facts=_facts(machine, runs, seed),
        columns=columns,
        runs=[
            _section(run, heads[run.name], index, columns, runs) for index, run in enumerate(runs)
        ],
        overview=[_drawn(figure) for figure in _overview(runs, heads)],
        command=command or shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        versions=_versions(),
        written=f"Written {datetime.datetime.now().astimezone():%d %B %Y, %H:%M %Z}",
    )
    write_text(path, page)
    return path


def _template(name: str) -> str:
    folder = importlib.resources.files("jaxnn.cli") / "templates"
    return (folder / name).read_text(encoding="utf-8")


# --- words and numbers ---------------------------------------------------------------------


def percent(value: float) -> str:
    """Write a share: ``97.2 %``."""
    if 0 < abs(value) < 5e-4:
        return "<\N{NO-BREAK SPACE}0.1\N{NO-BREAK SPACE}%"
    return f"{100 * value:.1f}\N{NO-BREAK SPACE}%"


def number(value: float) -> str:
    """Write a number with three significant digits, or whole with separators."""
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    if value != value or abs(value) in (0, float("inf")):
        return str(value)
    if 1e-3 <= abs(value) < 1e3:
        digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
        return f"{value:.{digits if abs(value) >= 0.1 else 4}f}"
    if abs(value) >= 1e3:
        return number(round(value))
    return f"{value:.1e}"


def seconds(value: float) -> str:
    """Write a duration: ``8.3 s``, ``2 min 5 s``."""
    if value < 99.95:
        return f"{value:.1f}\N{NO-BREAK SPACE}s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes}\N{NO-BREAK SPACE}min {rest}\N{NO-BREAK SPACE}s"


def _measure(name: str) -> Callable[[Run], float | None]:
    def value(run: Run) -> float | None:
        found = run.metrics.get(name, run.metrics.get(name.removeprefix("test_")))
        if found is None and run.analysis is not None:
            found = run.analysis.measures.get(name)
        return float(found) if isinstance(found, int | float) else None

    return value


def _columns(runs: Sequence[Run]) -> list[_Column]:
    compare = len(runs) > 1
    labelled = [
        _Column(
            label.short,
            _measure(name),
            percent if label.share else number,
            tile=name in ("silent_activations", "spike_rate"),
            says=label.says,
        )
        for name, label in LABELS.items()
        if label.summary
    ]
    error = _Column("test error", _measure("test_error"), number, min if compare else None)
    loss = _Column("test loss", _measure("test_loss"), number, min if compare else None)
    regression = all(run.task == "regression" for run in runs)
    return [
        _Column(
            "test accuracy",
            _measure("test_accuracy"),
            percent,
            max if compare else None,
            meter=True,
            says="How many examples that were never trained on are named correctly.",
        ),
        *([error, loss] if regression else []),
        _Column(
            "parameters",
            lambda run: run.parameters,
            number,
            min if compare else None,
            says="How many numbers were learned from the data.",
        ),
        _Column(
            "training",
            lambda run: run.seconds,
            seconds,
            min if compare else None,
            says="Wall-clock time, with the compilation, which a second run has behind it.",
        ),
        _Column("steps/s", lambda run: run.steps_per_second, number, max if compare else None),
        *labelled,
    ]


def _lead(runs: Sequence[Run], seed: int) -> str:
    data = sorted({run.dataset for run in runs})
    what = f"{len(runs)} models" if len(runs) > 1 else f"One model, {runs[0].model},"
    rest = (
        "how well they do, what they look at, and how much of them is at work."
        if len(runs) > 1
        else "how well it does, what it looks at, and how much of it is at work."
    )
    return f"{what} trained on {' and '.join(data)} from seed {seed}, then taken apart: {rest}"


def _facts(machine: str | Mapping[str, object], runs: Sequence[Run], seed: int) -> list[str]:
    if isinstance(machine, str):
        facts = [machine]
    else:  # versions are in the footer
        facts = [f"{k} {v}" for k, v in machine.items() if k not in ("python", *PACKAGES)]
    trained = sum(run.seconds for run in runs)
    return [f"seed {seed}", f"{seconds(trained)} of training", *facts]


def _versions() -> list[str]:
    from importlib.metadata import PackageNotFoundError, version

    found = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return found


# --- sections ------------------------------------------------------------------------------


def _headings(runs: Sequence[Run]) -> dict[str, str]:
    """Head each run by its model, and by its own name too where models repeat."""
    models = [run.model for run in runs]
    alone = {run.name: models.count(run.model) == 1 for run in runs}
    return {run.name: run.model if alone[run.name] else f"{run.model}, {run.name}" for run in runs}


def _section(
    run: Run, heading: str, index: int, columns: Sequence[_Column], runs: Sequence[Run]
) -> dict[str, object]:
    measures = run.analysis.measures if run.analysis else {}
    slug = re.sub(r"[^a-z0-9]+", "-", run.name.lower()).strip("-")
    figures = list(run.analysis.figures) if run.analysis else []
    scalars = [(n, v) for n, v in measures.items() if isinstance(v, int | float)]
    # A number that came by two ways is written once.
    written: dict[str, str] = {}
    for name, value in [*run.metrics.items(), *scalars]:
        written.setdefault(_label(name), _text(name, value))
    return {
        "heading": heading,
        "name": run.name,
        "dataset": run.dataset,
        "anchor": f"run-{index}-{slug}",
        "about": run.description or _about(run.model),
        "cells": [_cell(column, run, runs) for column in columns],
        "tiles": [
            {"label": column.head, "text": column.form(value)}
            for column in columns
            if column.tile and (value := column.value(run)) is not None
        ],
        "columns": _in_columns([_drawn(figure) for figure in figures]),
        "scalars": [{"label": label, "text": text} for label, text in written.items()],
        "tables": [_table(n, v) for n, v in measures.items() if isinstance(v, Mapping) and v],
        "config": _grouped(run.config),
    }


def _about(model: str) -> str:
    """Find the words for a model by its name, however it is written."""
    known = {name.lower(): words for name, words in ABOUT.items()}
    known |= {"spiking": ABOUT["SpikingMLP"], "vit": ABOUT["VisionTransformer"]}
    return known.get(re.sub(r"[^a-z]", "", model.lower()), "")


def _grouped(config: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """List options by the group they are in; those in none come first, without a heading."""
    alone = [
        (name.replace("_", " "), _plain(v))
        for name, v in config.items()
        if not isinstance(v, Mapping)
    ]
    groups = [("", alone)] if alone else []
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            rows = [(inner.replace("_", " "), _plain(v)) for inner, v in value.items()]
            groups.append((name.replace("_", " "), rows))
    return groups


def _in_columns(figures: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Deal figures, in reading order, to whichever of two columns ends higher up."""
    columns: list[list[dict[str, Any]]] = [[], []]
    heights = [0.0, 0.0]
    for order, figure in enumerate(figures):
        shorter = heights.index(min(heights))
        columns[shorter].append({**figure, "order": order})
        words = 23 * (1 + len(figure["caption"]) // 58)  # lines of a caption, in pixels
        heights[shorter] += figure["height"] + words + 75
    return [column for column in columns if column]


def _cell(column: _Column, run: Run, runs: Sequence[Run]) -> dict[str, object]:
    value = column.value(run)
    if value is None:
        return {"text": "", "best": False, "meter": None}
    others = [v for r in runs if (v := column.value(r)) is not None]
    # Where all are alike nobody is best.
    best = column.best is not None and len(set(others)) > 1 and value == column.best(others)
    meter = f"{100 * min(max(value, 0), 1):.1f}" if column.meter else None
    return {"text": column.form(value), "best": best, "meter": meter}


def _label(name: str) -> str:
    return LABELS[name].label if name in LABELS else name.replace("_", " ")


def _text(name: str, value: object) -> str:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return _plain(value)
    share = LABELS[name].share if name in LABELS else "accuracy" in name
    return percent(value) if share else number(value)


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(_plain(v) for v in value) or "none"
    return str(value)


def _table(name: str, rows: Mapping[str, object]) -> dict[str, object]:
    """Make a table of nested measures: one row a layer or method, one column a measure."""
    nested = {k: v if isinstance(v, Mapping) else {name: v} for k, v in rows.items()}
    heads = list(dict.fromkeys(column for row in nested.values() for column in row))
    return {
        "title": _label(name),
        "heads": [LABELS[h].short if h in LABELS else _label(h) for h in heads],
        "rows": [
            {"label": label, "texts": [_text(h, row[h]) if h in row else "–" for h in heads]}
            for label, row in nested.items()
        ],
    }


def _overview(runs: Sequence[Run], heads: Mapping[str, str]) -> list[FigureEntry]:
    """Draw all runs in one picture, if there are several with a history of tests."""
    name = "test_accuracy"
    curves = {heads[run.name]: visualization.curve(run.history, name) for run in runs}
    curves = {label: c for label, c in curves.items() if len(c[0]) > 1}
    if len(curves) < 2:
        return []
    figure = visualization.compare_curves(curves, ylabel="", small=True)
    caption = (
        "Accuracy on examples kept apart from training, while training went on. Steep at the "
        "left means fast to learn; high at the right means good in the end. Steps are not "
        "seconds: how long one takes is in the table."
    )
    title = "Who learns how fast"
    svg = visualization.to_svg(figure, description=f"{title}: test accuracy over training steps")
    return [FigureEntry(title=title, caption=caption, svg=svg)]


# --- figures in the page -------------------------------------------------------------------

_STYLE = re.compile(r'style="([^"]*)"')


def _drawn(figure: FigureEntry) -> dict[str, Any]:
    """Fit a figure to the page: its colours, and its size from a phone's to its own."""
    import markupsafe

    width, height = _size(figure.svg)
    return {
        "title": figure.title,
        "caption": figure.caption,
        "svg": markupsafe.Markup(inline(figure.svg)),
        "height": height,
        "scrolls": LEAST * width > PHONE,
        "order": 0,
    }


LEAST = 0.75  # of a figure's size, at which its letters can still be read
PHONE = 328  # pixels that a narrow phone leaves for a figure


def _size(svg: str) -> tuple[float, float]:
    """Read a figure's width and height, in pixels."""
    found = [re.search(rf' {side}="([\d.]+)pt"', svg) for side in ("width", "height")]
    width, height = (float(m.group(1)) * 96 / 72 if m else 420.0 for m in found)
    return width, height


def inline(svg: str) -> str:
    """Rewrite a standalone SVG for a page: page colours, no namespaces, a fluid width.

    A figure shrinks to three quarters of its size on a narrow screen, where its letters can
    still be read, and scrolls in its own box below that.
    """

    def recolor(match: re.Match[str]) -> str:
        style = match.group(1)
        for name, ink in visualization.INKS.items():
            style = style.replace(ink, f"var(--{name},{ink})")
        return f'style="{style}"'

    width, _ = _size(svg)
    svg = _STYLE.sub(recolor, svg)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg, count=2)
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    fluid = f"--w:{width:.0f}px;min-width:{LEAST * width:.0f}px;"
    return svg.replace('style="font-family', f'style="{fluid}font-family', 1)
