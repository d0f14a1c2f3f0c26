"""Layers beside layers: how alike they are, and how busy their units."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxnn._check import require
from jaxnn.analysis.visualization._attribution import frame
from jaxnn.analysis.visualization._style import INK, MUTED, Values, bare, canvas, styled, text_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@styled
def similarity_map(
    values: Values,
    rows: Sequence[str],
    columns: Sequence[str] | None = None,
    *,
    low: float = 0.0,
    high: float = 1.0,
    axes: "Axes | None" = None,
) -> "Figure":
    """Draw a measure of every pair of layers as a square of colour.

    Args:
      values: (rows, columns), e.g. of :func:`jaxnn.analysis.similarity.layer_map`.
      rows: names of the layers at the left, from the top.
      columns: names of those below; those of the rows if ``None``.
      low: the value drawn white.
      high: the value drawn darkest.
      axes: where to draw.

    Returns:
      The figure. Numbers are written into the squares where there are ten columns or fewer.
    """
    where = "similarity_map"
    array = np.asarray(values, np.float64)
    down, across = list(rows), list(rows if columns is None else columns)
    require(
        array.shape == (len(down), len(across)) and array.size > 0,
        where,
        "values",
        array,
        f"shape ({len(down)}, {len(across)}), one row and column for each name",
    )
    require(high > low, where, "high", high, f"more than `low`, {low}")
    side = 0.36
    left, below = 0.1 + text_width(down), 0.15 + text_width(across)
    figure, axes = canvas(
        axes,
        left + len(across) * side + 0.1,
        0.1 + len(down) * side + below,
        left=left,
        right=0.1,
        top=0.1,
        bottom=below,
    )
    box = (0.0, float(len(across)), float(len(down)), 0.0)
    axes.imshow(array, cmap="Blues", vmin=low, vmax=high, extent=box, interpolation="none")
    frame(axes, box)
    for row, name in enumerate(down):
        axes.text(-0.15, row + 0.5, name, ha="right", va="center", color=INK, fontsize=8)
    for column, name in enumerate(across):
        axes.text(
            column + 0.5, len(down) + 0.15, name, ha="center", va="top", rotation=90,
            color=INK, fontsize=8,
        )  # fmt: skip
    if len(across) <= 10:
        for (row, column), value in np.ndenumerate(array):
            dark = (value - low) / (high - low) > 0.6
            axes.text(
                column + 0.5, row + 0.5, f"{value:.2f}", ha="center", va="center",
                fontsize=6.5, color="white" if dark else MUTED,
            )  # fmt: skip
    axes.set_xlim(-0.02, len(across) + 0.02)
    axes.set_ylim(len(down) + 0.02, -0.02)
    axes.set_aspect("equal", anchor="NW")
    bare(axes)
    return figure


@styled
def unit_map(layers: Mapping[str, Values], *, axes: "Axes | None" = None) -> "Figure":
    """Draw how often each unit is at work: one strip a layer, its units from busy to idle.

    Args:
      layers: name to the share of the examples for which each unit is at work, (units,).
      axes: where to draw.

    Returns:
      The figure. All strips are of one length, however many units they have; the number at the
      right is the mean share.
    """
    where = "unit_map"
    require(bool(layers), where, "layers", layers, "at least one layer")
    shares = {name: np.sort(np.asarray(value, np.float64))[::-1] for name, value in layers.items()}
    for name, value in shares.items():
        ok = value.ndim == 1 and value.size > 0 and bool(value[-1] >= 0 and value[0] <= 1)
        require(ok, where, f"layers[{name!r}]", layers[name], "shares in [0, 1], one a unit")
    left, wide, high = 0.1 + text_width(list(shares)), 3.6, 0.24
    figure, axes = canvas(
        axes,
        left + wide + 0.65,
        0.1 + len(shares) * high + 0.4,
        left=left,
        right=0.65,
        top=0.1,
        bottom=0.4,
    )
    for row, (name, value) in enumerate(shares.items()):
        box = (0.0, 1.0, row + 0.9, row + 0.1)
        axes.imshow(
            value[None], cmap="Blues", vmin=0, vmax=1, extent=box, interpolation="none",
            aspect="auto",
        )  # fmt: skip
        frame(axes, box)
        axes.text(-0.02, row + 0.5, name, ha="right", va="center", color=INK, fontsize=8)
        axes.text(
            1.02, row + 0.5, f"{100 * value.mean():.0f} %", ha="left", va="center",
            color=MUTED, fontsize=8,
        )  # fmt: skip
    axes.text(
        0, len(shares) + 0.1, "units, busiest first", ha="left", va="top", fontsize=7, color=MUTED
    )
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(len(shares) + 0.05, 0)
    bare(axes)
    return figure
