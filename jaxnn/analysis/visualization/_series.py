"""Attributions of time series: behind the line, behind all lines, or as the line's colour."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from jaxnn._check import require
from jaxnn.analysis.visualization._attribution import (
    SIGNS,
    Shades,
    Sign,
    color_key,
    color_scale,
    part,
    shades,
)
from jaxnn.analysis.visualization._curves import label_ends
from jaxnn.analysis.visualization._style import (
    DASHES,
    GREEN,
    INK,
    MUTED,
    ON_COLOR,
    ORANGE,
    PURPLE,
    RULE,
    Values,
    bare,
    canvas,
    inches,
    styled,
    text_width,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METHODS = ("individual", "combined", "colored")
# In the order of the channels, and their names beside: apart from the red and blue behind.
LINES = ((ON_COLOR, INK), ("#00664b", GREEN), ("#7a3b66", PURPLE), ("#8a5a00", ORANGE))
APART = 0.09  # between strips, in inches
LOW = 0.4  # too low for numbers at the side


@styled
def attribution_series(
    series: Values,
    attributions: Values,
    *,
    names: Sequence[str] | None = None,
    x: Values | None = None,
    method: Literal["individual", "combined", "colored"] = "individual",
    sign: Sign = "all",
    outlier_percentile: float = 2.0,
    xlabel: str = "time step",
    axes: "Axes | None" = None,
) -> "Figure":
    """Draw a time series with the attributions of its steps, all on one scale of colours.

    Args:
      series: (time, channels), or (time,) for a single channel; NaN leaves a gap.
      attributions: same shape.
      names: one a channel.
      x: where the steps lie, (time,), rising; 0, 1, ... if ``None``. The colour of a step
        reaches half way to its neighbours.
      method: ``"individual"``, a strip a channel, its attributions behind the line;
        ``"combined"``, all channels in one strip, for which they should be of one scale, the
        mean of their attributions behind; ``"colored"``, a strip a channel, the line itself
        coloured.
      sign: which attributions, or means of them, to show: ``"all"``, ``"positive"``,
        ``"negative"``, or the magnitudes of all, ``"absolute"``.
      outlier_percentile: see :func:`color_scale`.
      xlabel: what ``x`` is.
      axes: where to draw; the strips share the place of these axes.

    Returns:
      The figure. The strips are the first ``child_axes`` of its axes, from the top: each has
      an image of the attributions and, after its white casing, a line a channel; or, coloured,
      a collection of short lines, one a step.

    Raises:
      ValueError: shapes disagree, attributions are not finite, ``x`` does not rise, or
        ``method`` or ``sign`` is unknown.

    Differs: captum sums the attributions of channels drawn together; the mean stays on the
    scale of one channel.
    """
    where = "attribution_series"
    values = np.asarray(series, np.float64)
    require(
        values.ndim in (1, 2) and values.size > 0,
        where,
        "series",
        series,
        "shape (time, channels) or (time,); choose one example",
    )
    worth = np.asarray(attributions, np.float64)
    needs = f"the shape of `series`, {values.shape}"
    require(worth.shape == values.shape, where, "attributions", attributions, needs)
    ok = bool(np.isfinite(worth).all())
    require(ok, where, "attributions", attributions, "finite numbers")
    values, worth = values.reshape(len(values), -1), worth.reshape(len(values), -1)
    time, channels = values.shape
    words = None if names is None else [str(name) for name in names]
    ok = words is None or len(words) == channels
    require(ok, where, "names", names, f"{channels} names, one a channel")
    at = np.arange(time, dtype=np.float64) if x is None else np.asarray(x, np.float64)
    ok = at.shape == (time,) and bool(np.isfinite(at).all() and (np.diff(at) > 0).all())
    require(ok, where, "x", x, f"{time} rising numbers, one a step")
    require(method in METHODS, where, "method", method, f"one of {', '.join(METHODS)}")
    require(sign in SIGNS, where, "sign", sign, f"one of {', '.join(SIGNS)}")

    together = method == "combined"
    shown = part(worth.mean(1, keepdims=True) if together else worth, sign)
    colors = shades(sign, color_scale(shown, outlier_percentile=outlier_percentile))
    strips = 1 if together else channels
    tall = float(np.clip(3.6 / strips, 0.26, 1.5))
    left = 0.5 if words is None or together else 0.6 + text_width(words)
    right = 0.15 if words is None or not together else 0.3 + text_width(words)
    figure, axes = canvas(
        axes,
        left + 4.0 + right,
        0.3 + strips * (tall + APART) - APART + 0.42,
        left=left,
        right=right,
        top=0.3,
        bottom=0.42,
    )
    bare(axes)
    wide, high = inches(axes)
    apart = min(APART, 0.3 * high / strips)
    tall = (high - (strips - 1) * apart) / strips
    panels = [
        axes.inset_axes((0, (strips - 1 - row) * (tall + apart) / high, 1, tall / high))
        for row in range(strips)
    ]
    edges = _edges(at)
    for place, ax in enumerate(panels):
        own = values if together else values[:, place : place + 1]
        seen = own[np.isfinite(own)]
        least, most = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 1.0)
        pad = 0.1 * (most - least) or 1.0
        heights = least - pad, most + pad
        ax.set_xlim(edges[0], edges[-1])
        ax.set_ylim(*heights)
        if method == "colored":
            _colored(ax, at, own[:, 0], shown[:, place], edges, colors)
        else:
            _behind(ax, shown[:, place], edges, heights, colors)
            _lines(ax, at, own)
            if words is not None and together:
                _names(ax, own, words)
        ax.set_xlim(edges[0], edges[-1])
        ax.set_ylim(*heights)
        ax.locator_params(axis="y", nbins=4 if tall > 0.8 else 2)
        if tall < LOW:
            ax.set_yticks([])
        last = place == strips - 1
        ax.tick_params(axis="x", labelbottom=last, bottom=last)
        ax.spines[["left", "bottom"]].set_color(RULE)
        if words is not None and not together:
            ax.set_ylabel(words[place], rotation=0, ha="right", va="center", color=INK, fontsize=8)
            ax.yaxis.set_label_coords(-(0.1 if tall < LOW else 0.42) / wide, 0.5)
    panels[-1].set_xlabel(xlabel)
    color_key(axes, colors)
    return figure


def _edges(at: np.ndarray) -> np.ndarray:
    """Find the borders of the steps: half way between them, and as far at the ends."""
    if len(at) == 1:
        return np.array([at[0] - 0.5, at[0] + 0.5])
    middle = (at[1:] + at[:-1]) / 2
    return np.concatenate([[2 * at[0] - middle[0]], middle, [2 * at[-1] - middle[-1]]])


def _behind(
    ax: "Axes", worth: np.ndarray, edges: np.ndarray, heights: tuple[float, float], colors: Shades
) -> None:
    limits = {"cmap": colors.cmap, "vmin": colors.low, "vmax": colors.high}
    if np.allclose(np.diff(edges), edges[1] - edges[0]):
        box = (edges[0], edges[-1], *heights)
        ax.imshow(worth[None], extent=box, aspect="auto", interpolation="none", **limits)
    else:
        ax.pcolorfast(edges, np.asarray(heights), worth[None], **limits)


def _lines(ax: "Axes", at: np.ndarray, values: np.ndarray) -> None:
    """Draw each channel cased in white, which stands out on every colour."""
    mark = "o" if len(at) == 1 else ""
    for place, line in enumerate(values.T):
        color, dash = LINES[place % len(LINES)][0], DASHES[place % len(DASHES)]
        ax.plot(at, line, color="white", linewidth=2.8, alpha=0.85, label="_casing")
        ax.plot(at, line, color=color, linestyle=dash, linewidth=1.2, marker=mark, markersize=3)


def _names(ax: "Axes", values: np.ndarray, names: list[str]) -> None:
    """Write each channel's name where its line ends."""
    ends = []
    for place, (name, line) in enumerate(zip(names, values.T, strict=True)):
        seen = line[np.isfinite(line)]
        if seen.size:
            ends.append((0.0, float(seen[-1]), name, LINES[place % len(LINES)][1]))
    label_ends(ax, ends)


def _colored(
    ax: "Axes",
    at: np.ndarray,
    line: np.ndarray,
    worth: np.ndarray,
    edges: np.ndarray,
    colors: Shades,
) -> None:
    """Draw the line in pieces, one a step, cased in grey since no attribution is white."""
    from matplotlib.collections import LineCollection

    half = (line[1:] + line[:-1]) / 2
    before = np.concatenate([line[:1], half])
    after = np.concatenate([half, line[-1:]])
    starts = np.concatenate([at[:1], edges[1:-1]])
    stops = np.concatenate([edges[1:-1], at[-1:]])
    points = np.stack([np.stack([starts, at, stops], 1), np.stack([before, line, after], 1)], -1)
    ax.plot(at, line, color=MUTED, linewidth=3.6, solid_capstyle="butt", label="_casing")
    pieces = LineCollection(list(points), cmap=colors.cmap, linewidths=2.4, capstyle="butt")
    pieces.set_array(worth)
    pieces.set_clim(colors.low, colors.high)
    ax.add_collection(pieces)
