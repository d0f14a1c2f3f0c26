"""Learning curves: of one run, and of several runs in one picture."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxnn._check import require
from jaxnn.analysis.visualization._style import (
    BLUE,
    DASHES,
    INK,
    MUTED,
    SERIES,
    VERMILION,
    Values,
    canvas,
    new_figure,
    owner,
    styled,
    text_width,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = Mapping[str, float]


def curve(history: Sequence[Row], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Take the steps and values of one name from the rows that have it and are finite."""
    rows = [(row["step"], row[name]) for row in history if name in row and "step" in row]
    points = np.asarray([r for r in rows if np.isfinite(r[1])], np.float64).reshape(-1, 2)
    return points[:, 0], points[:, 1]


@styled
def learning_curves(
    history: Sequence[Row],
    *,
    panels: Sequence[str] | None = None,
    axes: "Sequence[Axes] | None" = None,
) -> "Figure":
    """Draw training (solid) and test (dashed) values over the steps, one panel a quantity.

    Args:
      history: rows with ``step`` and any of ``loss``, ``test_loss``, ``accuracy``,
        ``test_accuracy`` and so on; a row need not have all.
      panels: the quantities; ``loss`` and all that were tested if ``None``. Losses above zero
        get a logarithmic axis.
      axes: where to draw, one a panel.

    Returns:
      The figure; the lines of panel ``name`` are labelled ``train`` and ``test``.
    """
    where = "learning_curves"
    names = {key for row in history for key in row} - {"step"}
    if panels is None:
        shown = {name.removeprefix("test_") for name in names if name.startswith("test_")}
        shown |= {"loss"} & names
        panels = sorted(shown, key=lambda n: (n != "loss", n != "accuracy", n)) or ["loss"]
    for name in panels:
        require(
            name in names or f"test_{name}" in names,
            where,
            "panels",
            list(panels),
            f"names that the history has: {sorted(names)}",
        )
    if axes is None:
        figure = new_figure(4.5, 0.35 + 1.75 * len(panels))
        grid = figure.add_gridspec(
            len(panels),
            1,
            left=0.13,
            right=0.88,
            top=1 - 0.25 / figure.get_figheight(),
            bottom=0.42 / figure.get_figheight(),
            hspace=0.42,
        )
        axes = [figure.add_subplot(grid[i, 0]) for i in range(len(panels))]
    else:
        figure = owner(axes[0])
    for index, (ax, name) in enumerate(zip(axes, panels, strict=True)):
        _panel(ax, history, name, last=index == len(panels) - 1)
    return figure


def _panel(ax: "Axes", history: Sequence[Row], name: str, *, last: bool) -> None:
    ends = []
    drawn: list[np.ndarray] = []
    for label, key, color, dash in (
        ("train", name, BLUE, "-"),
        ("test", f"test_{name}", VERMILION, DASHES[1]),
    ):
        steps, values = curve(history, key)
        if len(steps):
            mark = "o" if len(steps) < 25 and label == "test" else ""
            ax.plot(
                steps, values, color=color, linestyle=dash, label=label, marker=mark, markersize=3
            )
            ends.append((steps[-1], values[-1], label, color))
            drawn.append(values)
    ax.set_title(name.replace("_", " "))
    ax.grid(axis="y")
    share = "accuracy" in name
    everything = np.concatenate(drawn) if drawn else np.zeros(1)
    if not share and everything.min() > 0 and everything.max() > 3 * everything.min():
        ax.set_yscale("log")
        _plain_log(ax, float(everything.min()), float(everything.max()))
    if share:
        ax.set_ylim(min(0.0 if everything.min() < 0.5 else 0.5, everything.min()), 1.0)
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    if last:
        ax.set_xlabel("training steps")
    else:
        ax.tick_params(labelbottom=False)
    label_ends(ax, ends)


def _plain_log(ax: "Axes", low: float, high: float) -> None:
    """Put at most a few ticks on a logarithmic axis, as plain numbers."""
    from matplotlib.ticker import LogLocator, NullFormatter

    decades = np.log10(high / low)
    subs = (1.0,) if decades > 2.5 else (1.0, 3.0) if decades > 1.2 else (1.0, 2.0, 5.0)
    ax.yaxis.set_major_locator(LogLocator(subs=subs, numticks=8))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.tick_params(axis="y", which="minor", left=False)


def label_ends(ax: "Axes", ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write each line's name at its right end, moved apart where they would touch."""
    if not ends:
        return
    low, high = ax.get_ylim()
    log = ax.get_yscale() == "log"
    down, up = (np.log(low), np.log(high)) if log else (low, high)
    height = ax.get_position().height * owner(ax).get_figheight()
    least = 0.15 / max(height, 0.3)  # the height of a line of text, in axes
    places: list[tuple[float, str, str]] = []
    for _, value, label, color in ends:
        at = ((np.log(value) if log else value) - down) / max(up - down, 1e-12)
        places.append((float(np.clip(at, 0, 1)), label, color))
    places.sort()
    heights = [place[0] for place in places]
    for _ in range(60):  # push apart, symmetrically, until nobody touches
        moved = False
        for i in range(len(heights) - 1):
            overlap = least - (heights[i + 1] - heights[i])
            if overlap > 1e-9:
                heights[i] -= overlap / 2
                heights[i + 1] += overlap / 2
                moved = True
        top = heights[-1] - 1.02
        if top > 0:
            heights = [h - top for h in heights]
        if not moved:
            break
    for at, (_, label, color) in zip(heights, places, strict=True):
        ax.annotate(
            label,
            (1.015, at),
            xycoords="axes fraction",
            va="center",
            fontsize=8,
            color=color,
            annotation_clip=False,
        )


@styled
def compare_curves(
    curves: Mapping[str, tuple[Values, Values]],
    *,
    ylabel: str = "test accuracy",
    xlabel: str = "training steps",
    percent: bool = True,
    small: bool = False,
    axes: "Axes | None" = None,
) -> "Figure":
    """Draw one line a run, named at its end.

    Args:
      curves: run to its steps and values.
      ylabel: what the values are, shown as the title.
      xlabel: what the steps are.
      percent: whether the values are shares, to be shown as percentages up to 100.
      small: for a column, not for the width of a page.
      axes: where to draw.

    Returns:
      The figure; lines are labelled with the runs' names.
    """
    require(bool(curves), "compare_curves", "curves", curves, "at least one run")
    figure, axes = canvas(
        axes,
        4.5 if small else 6.4,
        2.5 if small else 2.9,
        right=0.12 + text_width(list(curves), 7.4),
        top=0.3 if ylabel else 0.15,
        left=0.5,
    )
    ends, lowest = [], 1.0
    for index, (name, (steps, values)) in enumerate(curves.items()):
        x, y = np.asarray(steps, np.float64), np.asarray(values, np.float64)
        require(x.shape == y.shape, "compare_curves", f"curves[{name!r}]", y, f"shape {x.shape}")
        if not len(x):
            continue
        color, dash = SERIES[index % len(SERIES)], DASHES[index % len(DASHES)]
        axes.plot(x, y, label=name, color=color, linestyle=dash)
        ends.append((x[-1], y[-1], name, color))
        lowest = min(lowest, float(y.min()))
    axes.set_title(ylabel)
    axes.set_xlabel(xlabel)
    axes.grid(axis="y")
    if percent:
        axes.set_ylim(0.0 if lowest < 0.4 else min(np.floor(lowest * 10) / 10, 0.9), 1.0)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    label_ends(axes, ends)
    return figure


@styled
def predicted_against_true(
    targets: Values,
    predictions: Values,
    *,
    name: str = "target",
    axes: "Axes | None" = None,
) -> "Figure":
    """Scatter a regression's predictions over the true values; on the diagonal is right.

    Args:
      targets: the true values, any shape.
      predictions: same shape.
      name: what is predicted.
      axes: where to draw.

    Returns:
      The figure; one scatter and the diagonal.
    """
    t, p = np.asarray(targets, np.float64).ravel(), np.asarray(predictions, np.float64).ravel()
    require(t.shape == p.shape, "predicted_against_true", "predictions", p, f"shape {t.shape}")
    figure, axes = canvas(axes, 3.9, 3.6, left=0.7)
    low, high = float(min(t.min(), p.min())), float(max(t.max(), p.max()))
    pad = 0.04 * max(high - low, 1e-12)
    axes.plot([low, high], [low, high], color=MUTED, linewidth=0.9, linestyle=DASHES[1])
    axes.scatter(t, p, s=10, color=BLUE, alpha=0.55, linewidths=0)
    axes.set_xlim(low - pad, high + pad)
    axes.set_ylim(low - pad, high + pad)
    axes.set_xlabel(f"true {name}")
    axes.set_ylabel(f"predicted {name}", color=INK)
    axes.grid()
    return figure
