"""One value a layer, and how predictions fall among the classes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxnn._check import require
from jaxnn.analysis.visualization._style import (
    INK,
    MUTED,
    RULE,
    SERIES,
    VERMILION,
    Values,
    canvas,
    styled,
    text_width,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@styled
def sparsity_bars(
    values: Mapping[str, Mapping[str, float]],
    *,
    xlabel: str = "sparsity: 0 = spread evenly, 1 = all in one",
    axes: "Axes | None" = None,
) -> "Figure":
    """Draw measures between 0 and 1 for each layer, as dots on a common scale.

    Args:
      values: measure to layer to value; layers keep their order, and may miss a measure.
      xlabel: what 0 and 1 mean.
      axes: where to draw.

    Returns:
      The figure; one scatter a measure, labelled, with layers at heights 0, 1, ...
    """
    require(bool(values), "sparsity_bars", "values", values, "at least one measure")
    layers = list(dict.fromkeys(layer for row in values.values() for layer in row))
    figure, axes = canvas(
        axes,
        4.4,
        0.62 + 0.24 * len(layers) + 0.17 * len(values),
        left=min(text_width(layers) + 0.15, 2.0),
        right=0.2,
        top=0.1 + 0.17 * len(values),
    )
    marks = ("o", "D", "s", "^", "v", "P")
    axes.hlines(range(len(layers)), 0, 1, color=RULE, linewidth=0.8, zorder=1)
    for index, (name, row) in enumerate(values.items()):
        present = [(layer, row[layer]) for layer in layers if layer in row]
        axes.scatter(
            [value for _, value in present],
            [layers.index(layer) for layer, _ in present],
            label=name,
            color=SERIES[index % len(SERIES)],
            marker=marks[index % len(marks)],
            s=26,
            linewidths=0,
            zorder=3,
        )
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(len(layers) - 0.4, -0.6)
    axes.set_yticks(range(len(layers)), layers)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(xlabel)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.1, handletextpad=0.3)
    return figure


@styled
def confusion_matrix(
    matrix: Values,
    class_names: Sequence[str] | None = None,
    *,
    axes: "Axes | None" = None,
) -> "Figure":
    """Draw how often each true class (row) was called each class (column).

    The diagonal, right answers, is shaded by the share of its row that was right; mistakes
    are shaded in another colour, so that a single one is seen.

    Args:
      matrix: counts, (classes, classes), rows true and columns predicted.
      class_names: one a class; their numbers if ``None``.
      axes: where to draw.

    Returns:
      The figure; its image holds the signed shares, right positive and wrong negative, and
      its texts the counts that are not 0.
    """
    from matplotlib.colors import LinearSegmentedColormap

    counts = np.asarray(matrix)
    where = "confusion_matrix"
    require(
        counts.ndim == 2 and counts.shape[0] == counts.shape[1],
        where,
        "matrix",
        counts,
        "shape (classes, classes)",
    )
    size = len(counts)
    names = [str(i) for i in range(size)] if class_names is None else list(class_names)
    require(len(names) == size, where, "class_names", names, f"{size} names")
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    signed = np.where(np.eye(size, dtype=bool), share, -share)
    edge = min(4.4, max(0.34 * size, 1.6))
    left = min(text_width(names) + 0.35, 1.6)
    long = max(map(len, names)) > 3
    bottom = left if long else 0.5
    figure, axes = canvas(
        axes,
        left + edge + 0.1,
        edge + bottom + 0.1,
        left=left,
        right=0.1,
        top=0.1,
        bottom=bottom,
    )
    shades = LinearSegmentedColormap.from_list(
        "right-wrong", [(0, VERMILION), (0.3, "#f0a56a"), (0.5, "#ffffff"), (1, "#4c8fc0")]
    )
    # Mistakes saturate at a fifth of the row: rare ones should be seen.
    axes.imshow(np.where(signed < 0, np.maximum(5 * signed, -1), signed), cmap=shades,
                vmin=-1, vmax=1, interpolation="none")  # fmt: skip
    for row, column in zip(*np.nonzero(counts), strict=True):
        axes.text(
            column,
            row,
            f"{counts[row, column]:g}",
            ha="center",
            va="center",
            fontsize=8 if size <= 12 else 6,
            color="#101318",
        )
    axes.set_xticks(range(size), names, rotation=90 if long else 0)
    axes.set_yticks(range(size), names)
    axes.set_xticks(np.arange(1, size) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, size) - 0.5, minor=True)
    axes.grid(which="minor", color="#dde1e6", linewidth=0.5)  # between white cells on any page
    axes.tick_params(which="both", length=0, labelcolor=INK)
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(MUTED)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    return figure
