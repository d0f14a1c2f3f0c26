r"""Attribution maps beside their inputs, and attributions of named features.

Colour scale: as in captum, the scale s of a map is the smallest of its largest magnitudes that
together hold all but ``outlier_percentile`` per cent of the total magnitude, so that one hot
pixel does not wash out the rest. Colours run from -s (blue) over 0 (white) to s (red). Where one
sign is shown, its half of these colours serves and s is that of the part shown; magnitudes,
which are neither for nor against, run from white to purple.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from jaxnn._check import require
from jaxnn.analysis.visualization._style import (
    DIVERGING,
    INK,
    MAGNITUDE,
    MUTED,
    RULE,
    SEQUENTIAL,
    SERIES,
    VERMILION,
    Values,
    bare,
    canvas,
    inches,
    styled,
    text_width,
)

# Low to high, for points: blue over grey to orange, apart in lightness on white and on black.
SHADES = ("#1f6fb5", "#6fa3cf", "#a0a7b1", "#e2a05a", "#c85a00")

OVER = 0.6  # how much of a blended picture is the map

Sign = Literal["all", "positive", "negative", "absolute"]
SIGNS = ("all", "positive", "negative", "absolute")
Method = Literal["heat_map", "blended", "masked", "alpha"]
METHODS = ("heat_map", "blended", "masked", "alpha")

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure


def color_scale(values: Values, *, outlier_percentile: float = 2.0) -> float:
    """Find the magnitude at which the colours of a signed map should saturate.

    Args:
      values: any shape.
      outlier_percentile: the share of the summed magnitude, in per cent, left to saturate.

    Returns:
      The smallest magnitude below which (and at which) at least ``100 - outlier_percentile``
      per cent of the total lies; 1 for a map of zeros.

    Example:
      >>> color_scale(np.array([1.0] * 99 + [-2.0]))
      1.0
    """
    require(
        0 <= outlier_percentile < 100,
        "color_scale",
        "outlier_percentile",
        outlier_percentile,
        "a number from 0 to below 100",
    )
    magnitude = np.sort(np.abs(np.asarray(values, np.float64)).ravel())
    total = np.cumsum(magnitude)
    if total.size == 0 or not total[-1] > 0:
        return 1.0
    # A hair below, so that rounding of the sum never pushes the threshold past the end.
    threshold = total[-1] * (1 - outlier_percentile / 100) * (1 - 1e-12)
    return float(magnitude[np.searchsorted(total, threshold)])


def part(values: np.ndarray, sign: str) -> np.ndarray:
    """Take the part of a map that is shown; what is left out is 0."""
    if sign == "positive":
        return np.maximum(values, 0)
    if sign == "negative":
        return np.minimum(values, 0)
    return np.abs(values) if sign == "absolute" else values


class Shades(NamedTuple):
    """The colours of the shown part of a map, from ``low`` to ``high``."""

    sign: str
    cmap: "str | Colormap"
    low: float
    high: float

    def of(self, values: np.ndarray) -> np.ndarray:
        """Give the colours, (..., red, green, blue, opacity)."""
        from matplotlib import colormaps

        cmap = colormaps[self.cmap] if isinstance(self.cmap, str) else self.cmap
        return cmap((np.asarray(values, np.float64) - self.low) / (self.high - self.low))


def shades(sign: str, scale: float) -> Shades:
    """Give the colours of the part of a map that is shown, saturated at ``scale``."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    if sign == "all":
        return Shades(sign, DIVERGING, -scale, scale)
    if sign == "absolute":
        return Shades(sign, MAGNITUDE, 0.0, scale)
    ends = (0.5, 1.0) if sign == "positive" else (0.0, 0.5)
    half = ListedColormap(colormaps[DIVERGING](np.linspace(*ends, 256)), name=f"{sign} half")
    return Shades(sign, half, *((0.0, scale) if sign == "positive" else (-scale, 0.0)))


def color_key(axes: "Axes", colors: Shades) -> None:
    """Draw the colours with their ends as a small strip at the right, above the axes."""
    wide, high = inches(axes)
    against = f"against \N{MINUS SIGN}{-colors.low:.2g}" if colors.low else "0"
    word = "in magnitude" if colors.sign == "absolute" else "for"
    favour = f"{colors.high:.2g} {word}" if colors.high else "0"
    end = wide - 0.9 * text_width([favour], 7) - 0.05
    bar = axes.inset_axes(((end - 0.7) / wide, 1 + 0.1 / high, 0.7 / wide, 0.09 / high))
    bar.imshow(
        np.linspace(colors.low, colors.high, 64)[None], cmap=colors.cmap, vmin=colors.low,
        vmax=colors.high, extent=(0, 1, 0, 1), aspect="auto", interpolation="none",
    )  # fmt: skip
    frame(bar, (0, 1, 0, 1))
    bare(bar)
    bar.text(-0.07, 0.5, against, ha="right", va="center_baseline", fontsize=7, color=MUTED)
    bar.text(1.07, 0.5, favour, ha="left", va="center_baseline", fontsize=7, color=MUTED)


@styled
def attribution_panels(
    inputs: Values,
    maps: Mapping[str, Values],
    *,
    labels: Sequence[str] | None = None,
    marks: Sequence[bool] | None = None,
    outlier_percentile: float = 2.0,
    share: bool = True,
    sign: Sign = "all",
    method: Method = "heat_map",
    axes: "Axes | None" = None,
) -> "Figure":
    """Draw each input image beside its attribution maps, one row an example.

    Args:
      inputs: images, (examples, height, width) or with a last axis of channels.
      maps: method to maps of the shape of ``inputs``; channels are summed.
      labels: a few words a row, at its left.
      marks: rows to be set off, such as wrong predictions, by a coloured label.
      outlier_percentile: see :func:`color_scale`.
      share: give all examples of a method one colour scale, so that rows can be compared; else
        every map has its own. Methods never share one: their units differ.
      sign: which attributions to show: ``"all"``, ``"positive"``, ``"negative"``, or the
        magnitudes of all, ``"absolute"``. The colour scale is that of the part shown.
      method: how to show them: ``"heat_map"``; ``"blended"``, the map over the image in grey;
        ``"masked"``, the image, from 0 to 1, times the magnitude as a share of the colour
        scale, at most 1; ``"alpha"``, the image with that share as its opacity. The last two
        show both signs alike.
      axes: where to draw; a new figure of readable size if ``None``.

    Returns:
      The figure. Its axes hold one image a panel, row by row: of a heat map the values shown,
      else colours, (height, width, 4).

    Raises:
      ValueError: shapes disagree, there is no map, or ``sign`` or ``method`` is unknown.

    Differs: captum refuses to mask by maps of both signs, and takes magnitudes by default.
    """
    where = "attribution_panels"
    pictures = np.asarray(inputs, np.float32)
    require(
        pictures.ndim in (3, 4) and pictures.shape[0] > 0,
        where,
        "inputs",
        inputs,
        "shape (examples, height, width) or (examples, height, width, channels)",
    )
    require(bool(maps), where, "maps", maps, "at least one method")
    require(sign in SIGNS, where, "sign", sign, f"one of {', '.join(SIGNS)}")
    require(method in METHODS, where, "method", method, f"one of {', '.join(METHODS)}")
    summed: dict[str, np.ndarray] = {}
    for name, values in maps.items():
        array = np.asarray(values, np.float32)
        require(
            array.shape == pictures.shape,
            where,
            f"maps[{name!r}]",
            array,
            f"the shape of `inputs`, {pictures.shape}",
        )
        summed[name] = part(array.sum(-1) if array.ndim == 4 else array, sign)
    count, height, width = pictures.shape[:3]
    words = list(labels) if labels is not None else []
    side = 0.62  # inches a panel
    left = text_width(words) + 0.12 if words else 0.05
    columns = 1 + len(summed)
    gap, head = 0.09, 0.42
    figure, axes = canvas(
        axes,
        left + columns * (side + gap) + 0.05,
        head + count * (side * height / width + gap) + 0.05,
        left=left,
        right=0.05,
        top=head,
        bottom=0.05,
    )
    unit = gap / side  # the gap in panel widths
    tall = height / width
    for row in range(count):
        top = row * (tall + unit)
        _input_panel(axes, pictures[row], (0, 1, top + tall, top))
        for column, values in enumerate(summed.values(), start=1):
            reference = values if share else values[row]
            scale = color_scale(reference, outlier_percentile=outlier_percentile)
            start = column * (1 + unit) + unit
            box = (start, start + 1, top + tall, top)
            colors = shades(sign, scale)
            if method == "heat_map":
                axes.imshow(
                    values[row],
                    cmap=colors.cmap,
                    vmin=colors.low,
                    vmax=colors.high,
                    extent=box,
                    interpolation="none",
                )
            else:
                shown = _mixed(pictures[row], values[row], colors, scale, method)
                axes.imshow(shown, extent=box, interpolation="none")
            frame(axes, box)
        if words:
            wrong = marks is not None and bool(marks[row])
            axes.text(
                -0.12,
                top + tall / 2,
                words[row],
                ha="right",
                va="center",
                fontsize=8,
                color=VERMILION if wrong else INK,
                fontweight="bold" if wrong else "normal",
            )
    for column, name in enumerate(["input", *summed]):
        start = column * (1 + unit) + (unit if column else 0)
        axes.text(
            start + 0.5,
            -0.1,
            _two_lines(name),
            ha="center",
            va="bottom",
            fontsize=7.5,
            color=MUTED,
            linespacing=1.1,
        )
    axes.set_xlim(-0.02, columns * (1 + unit) + 0.02)
    axes.set_ylim(count * (tall + unit), -0.02)
    axes.set_aspect("equal", anchor="NW")
    bare(axes)
    return figure


def _input_panel(axes: "Axes", picture: np.ndarray, box: tuple[float, float, float, float]) -> None:
    low, high = float(picture.min()), float(picture.max())
    if picture.ndim == 3 and picture.shape[-1] in (3, 4):
        shown = (picture - low) / max(high - low, 1e-12)
        axes.imshow(shown, extent=box, interpolation="none")
    else:
        flat = picture.mean(-1) if picture.ndim == 3 else picture
        axes.imshow(flat, cmap=SEQUENTIAL, vmin=low, vmax=high, extent=box, interpolation="none")
    frame(axes, box)


def _mixed(
    picture: np.ndarray, values: np.ndarray, colors: Shades, scale: float, method: str
) -> np.ndarray:
    """Mix a picture, looking as in its own panel, with its map: (height, width, 4)."""
    from matplotlib import colormaps

    share = np.minimum(np.abs(values) / scale, 1)[..., None]
    low, high = float(picture.min()), float(picture.max())
    unit = (picture.astype(np.float64) - low) / max(high - low, 1e-12)
    colored = unit.ndim == 3 and unit.shape[-1] in (3, 4)
    if not colored:
        flat = unit.mean(-1) if unit.ndim == 3 else unit
        shown = colormaps[SEQUENTIAL](flat * share[..., 0] if method == "masked" else flat)
    else:
        shown = np.ones((*unit.shape[:2], 4))
        shown[..., : unit.shape[-1]] = unit
    if method == "blended":
        grey = shown[..., :3].mean(-1, keepdims=True)
        shown[..., :3] = (1 - OVER) * grey + OVER * colors.of(values)[..., :3]
    elif method == "alpha":
        shown[..., 3:] *= share
    elif colored:
        shown[..., :3] *= share
    return shown


def frame(axes: "Axes", box: tuple[float, float, float, float]) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(
        Rectangle(
            (box[0], box[3]),
            box[1] - box[0],
            box[2] - box[3],
            fill=False,
            edgecolor=RULE,
            linewidth=0.6,
        )
    )


def _two_lines(name: str) -> str:
    """Break a name near its middle, at a space, when it is long."""
    words = name.split()
    if len(name) <= 9 or len(words) == 1:
        return name
    cuts = range(1, len(words))
    best = min(cuts, key=lambda c: max(len(" ".join(words[:c])), len(" ".join(words[c:]))))
    return " ".join(words[:best]) + "\n" + " ".join(words[best:])


@styled
def feature_bars(
    values: Mapping[str, Values],
    names: Sequence[str],
    *,
    limit: int = 12,
    xlabel: str = "share of the total attribution",
    axes: "Axes | None" = None,
) -> "Figure":
    """Draw how much each feature matters according to each method, strongest first.

    Args:
      values: method to one value a feature, e.g. the mean magnitude over examples.
      names: the features' names.
      limit: draw only so many features, ranked by the mean over methods; the caption should
        say so when there are more.
      xlabel: what the values are.
      axes: where to draw.

    Returns:
      The figure; one group of bars a feature, one colour a method.
    """
    from matplotlib.ticker import MaxNLocator

    where = "feature_bars"
    require(bool(values), where, "values", values, "at least one method")
    table = np.stack([np.asarray(v, np.float64) for v in values.values()])
    require(
        table.shape == (len(values), len(names)),
        where,
        "values",
        table,
        f"one value for each of the {len(names)} names",
    )
    order = np.argsort(-np.abs(table).mean(0), kind="stable")[:limit]
    shown = [str(names[i]) for i in order]
    figure, axes = canvas(
        axes,
        4.4,
        0.75 + 0.3 * len(shown) + 0.16 * len(values),
        left=min(text_width(shown) + 0.2, 1.9),
        right=0.2,
        top=0.1 + 0.18 * len(values),
    )
    thick = 0.8 / len(values)
    for index, (name, row) in enumerate(zip(values, table, strict=True)):
        at = np.arange(len(shown)) + (index - (len(values) - 1) / 2) * thick
        axes.barh(at, row[order], height=thick * 0.9, color=SERIES[index % 6], label=name)
    axes.axvline(0, color=MUTED, linewidth=0.7)
    axes.set_yticks(range(len(shown)), shown)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel(xlabel)
    if len(values) > 1:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.2)
    return figure


@styled
def feature_swarm(
    attributions: Values,
    values: Values,
    names: Sequence[str],
    *,
    limit: int = 12,
    xlabel: str = "attribution to the output",
    axes: "Axes | None" = None,
) -> "Figure":
    """Draw every example's attributions, one row a feature, coloured by the feature's value.

    Args:
      attributions: (examples, features).
      values: the features' values, same shape; ranked within a feature for the colour.
      names: the features' names.
      limit: draw only so many features, by mean magnitude.
      xlabel: what the attributions are in.
      axes: where to draw.

    Returns:
      The figure; features are at heights 0, 1, ... strongest first; each has one line of points
      a shade, labelled ``feature shade``.
    """
    where = "feature_swarm"
    a, v = np.asarray(attributions, np.float64), np.asarray(values, np.float64)
    require(
        a.ndim == 2 and a.shape[1] == len(names),
        where,
        "attributions",
        a,
        f"shape (examples, {len(names)}), one column a name",
    )
    require(v.shape == a.shape, where, "values", v, f"the shape of `attributions`, {a.shape}")
    order = np.argsort(-np.abs(a).mean(0), kind="stable")[:limit]
    shown = [str(names[i]) for i in order]
    figure, axes = canvas(
        axes,
        4.4,
        0.85 + 0.3 * len(shown),
        left=min(text_width(shown) + 0.2, 1.9),
        right=0.2,
        top=0.3,
    )
    axes.axvline(0, color=MUTED, linewidth=0.7)
    for row, feature in enumerate(order):
        rank = np.argsort(np.argsort(v[:, feature], kind="stable")) / max(len(v) - 1, 1)
        height = row + _spread(a[:, feature])
        # A few shades, one artist each: a colour a point would write a style a point.
        shade = np.minimum((rank * len(SHADES)).astype(int), len(SHADES) - 1)
        for index, color in enumerate(SHADES):
            axes.plot(
                a[shade == index, feature],
                height[shade == index],
                linestyle="",
                marker="o",
                markersize=2.7,
                markeredgewidth=0,
                color=color,
                label=f"{names[feature]} {index}",
            )
    axes.set_yticks(range(len(shown)), shown)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(xlabel)
    axes.text(
        1,
        1.01,
        "colour: the feature is low (blue) to high (orange)",
        transform=axes.transAxes,
        ha="right",
        va="bottom",
        fontsize=7,
        color=MUTED,
    )
    return figure


def _spread(x: np.ndarray, bins: int = 40) -> np.ndarray:
    """Move points that fall together apart, in a fixed order: a swarm without randomness."""
    low, high = float(x.min()), float(x.max())
    place = np.minimum(((x - low) / max(high - low, 1e-12) * bins).astype(int), bins - 1)
    offset = np.zeros(len(x))
    for b in np.unique(place):
        inside = np.flatnonzero(place == b)
        steps = np.arange(len(inside))
        offset[inside] = np.where(steps % 2, 1, -1) * ((steps + 1) // 2)
    return 0.38 * offset / max(float(np.abs(offset).max()), 6.0)
