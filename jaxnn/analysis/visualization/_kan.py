"""Kolmogorov-Arnold networks: the learned function of each edge, and the edges together."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxnn._check import require
from jaxnn.analysis.visualization._style import (
    BLUE,
    INK,
    MUTED,
    RULE,
    VERMILION,
    Values,
    bare,
    canvas,
    new_figure,
    owner,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@styled
def kan_edges(
    points: Values,
    curves: Values,
    *,
    splines: Values | None = None,
    knots: Values | None = None,
    data: Values | None = None,
    strengths: Values | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    limit: int = 12,
    axes: "Sequence[Axes] | None" = None,
) -> "Figure":
    """Draw the functions of a layer's strongest edges, one small panel each.

    Args:
      points: where the functions were evaluated, (points,).
      curves: their values, (points, inputs, outputs).
      splines: the part of them that the splines make, same shape, drawn dashed.
      knots: of the grid, (knots,) or (inputs, knots); marked below the curve.
      data: what arrived at the layer, (examples, inputs); the band from its 1st to its 99th
        percentile is shaded, since outside of it nothing was learned.
      strengths: (inputs, outputs), what edges are ranked by; the deviation of the curve if
        ``None``.
      input_names: names for the panels' titles; numbers if ``None``.
      output_names: likewise.
      limit: draw only so many edges.
      axes: where to draw, one for each of the strongest edges.

    Returns:
      The figure; one axes an edge, strongest first, whose first line is the curve.
    """
    where = "kan_edges"
    x, y = np.asarray(points, np.float64), np.asarray(curves, np.float64)
    require(x.ndim == 1, where, "points", x, "shape (points,)")
    require(
        y.ndim == 3 and len(y) == len(x), where, "curves", y, f"shape ({len(x)}, inputs, outputs)"
    )
    _, inputs, outputs = y.shape
    rank = y.std(0) if strengths is None else np.asarray(strengths, np.float64)
    require(rank.shape == y.shape[1:], where, "strengths", rank, f"shape {y.shape[1:]}")
    strongest = np.argsort(-rank.ravel(), kind="stable")[: min(limit, inputs * outputs)]
    chosen = [divmod(int(flat), outputs) for flat in strongest]
    if axes is None:
        figure, axes = _panels(len(chosen))
    else:
        figure = owner(axes[0])
        chosen = chosen[: len(axes)]
    sources = input_names or [f"in {i}" for i in range(inputs)]
    targets = output_names or [f"out {j}" for j in range(outputs)]
    values = np.stack([y[:, i, j] for i, j in chosen])
    pad = 0.08 * max(float(np.ptp(values)), 1e-9)
    low, high = float(values.min()) - 2 * pad, float(values.max()) + pad
    for ax, (i, j) in zip(axes, chosen, strict=False):
        if data is not None:
            band = np.percentile(np.asarray(data, np.float64)[:, i], (1, 99))
            ax.axvspan(*band, color=BLUE, alpha=0.1, linewidth=0)
        ax.axhline(0, color=RULE, linewidth=0.7)
        ax.plot(x, y[:, i, j], color=BLUE)
        if splines is not None:
            part = np.asarray(splines, np.float64)
            ax.plot(x, part[:, i, j], color=VERMILION, linewidth=0.9, linestyle=(0, (3, 1.5)))
        if knots is not None:
            grid = np.atleast_2d(np.asarray(knots, np.float64))
            grid = grid[i % len(grid)]
            grid = grid[(grid >= x[0]) & (grid <= x[-1])]
            height = low + 0.6 * pad
            ax.plot(grid, np.full(len(grid), height), "|", color=MUTED, markersize=4, mew=0.8)
        ax.set_xlim(x[0], x[-1])
        ax.set_ylim(low, high)
        ax.set_title(
            f"{sources[i]} → {targets[j]}", fontsize=7, fontweight="normal", pad=2, color=INK
        )
        ax.tick_params(labelsize=6.5, pad=1.5, length=2)
        ax.locator_params(nbins=3)
        if not ax.get_subplotspec() or not _first_column(ax):
            ax.tick_params(labelleft=False)
    return figure


def _panels(count: int) -> "tuple[Figure, list[Axes]]":
    """Make a grid of small axes, four a row."""
    columns = min(4, count)
    rows = -(-count // columns)
    width, height = 0.45 + 1.02 * columns, 0.4 + 0.98 * rows
    figure = new_figure(width, height)
    grid = figure.add_gridspec(
        rows,
        columns,
        left=0.38 / width,
        right=1 - 0.08 / width,
        top=1 - 0.22 / height,
        bottom=0.22 / height,
        wspace=0.14,
        hspace=0.5,
    )
    return figure, [figure.add_subplot(grid[divmod(n, columns)]) for n in range(count)]


def _first_column(ax: "Axes") -> bool:
    spec = ax.get_subplotspec()
    return spec is not None and spec.is_first_col()


@styled
def kan_network(
    strengths: Sequence[Values],
    *,
    curves: Sequence[Values] | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    limit: int = 80,
    axes: "Axes | None" = None,
) -> "Figure":
    """Draw a network's nodes in columns and its strongest edges between them.

    With the curves of small networks every edge carries a picture of its function.

    Args:
      strengths: one (inputs, outputs) array a layer; an edge's opacity and width go from the
        weakest that is drawn to the strongest of its layer.
      curves: one (points, inputs, outputs) array a layer, the functions over their range, each
        drawn in a box of its own at its edge's middle, scaled to fill it; see
        ``layers.kan.edge_curves``.
      input_names: names of the first column's nodes.
      output_names: names of the last column's nodes.
      limit: draw only so many edges a layer, the strongest.
      axes: where to draw.

    Returns:
      The figure; one collection of lines a layer, weakest edge first, and one axes inside for
      each curve.
    """
    from matplotlib.collections import LineCollection

    where = "kan_network"
    layers = [np.abs(np.asarray(s, np.float64)) for s in strengths]
    require(len(layers) > 0, where, "strengths", strengths, "at least one layer")
    for before, after in itertools.pairwise(layers):
        require(
            before.shape[1] == after.shape[0],
            where,
            "strengths",
            [a.shape for a in layers],
            "layers whose inputs are the outputs of the one before",
        )
    boxes: list[Any] = [None] * len(layers)
    if curves is not None:
        boxes = [np.asarray(box, np.float64) for box in curves]
    for array, box in zip(layers, boxes, strict=False):
        ok = len(boxes) == len(layers) and (box is None or box.shape[1:] == array.shape)
        require(ok, where, "curves", box, f"shape (points, {array.shape[0]}, {array.shape[1]})")
    sizes = [layers[0].shape[0], *(a.shape[1] for a in layers)]
    figure, axes = canvas(axes, 4.4, 3.4, left=0.1, right=0.35, top=0.1, bottom=0.3)
    for depth, array in enumerate(layers):
        order = np.argsort(-array.ravel(), kind="stable")[: min(limit, array.size)][::-1]
        sources, targets = np.divmod(order, array.shape[1])
        drawn = array.ravel()[order]
        # From the weakest drawn to the strongest, or all would look alike in a wide layer.
        span = float(drawn[-1] - drawn[0])
        weight = (drawn - drawn[0]) / span if span > 0 else np.ones(len(drawn))
        left, right = _heights(sizes[depth])[sources], _heights(sizes[depth + 1])[targets]
        path = [
            np.stack([np.full(len(order), depth + end), y], 1) for end, y in ((0, left), (1, right))
        ]
        if boxes[depth] is not None:
            # Boxes stand in a column of their own, and the edges go through them.
            rank = np.argsort(np.argsort(-(left + 1e-3 * right), kind="stable"))
            middle = np.stack([np.full(len(order), depth + 0.5), _heights(len(order))[rank]], 1)
            path.insert(1, middle)
            _draw_boxes(axes, middle, boxes[depth][:, sources, targets].T, weight)
        ends = np.stack(path, axis=1)
        axes.add_collection(
            LineCollection(
                list(ends),
                colors=BLUE,
                linewidths=0.4 + 1.8 * weight,
                alpha=0.1 + 0.85 * weight**1.5,
            )
        )
    for depth, size in enumerate(sizes):
        axes.scatter(
            np.full(size, depth),
            _heights(size),
            s=float(np.clip(500 / size, 5, 36)),
            color=INK,
            zorder=3,
            linewidths=0,
        )
        name = "inputs" if depth == 0 else "outputs" if depth == len(sizes) - 1 else "nodes"
        axes.text(depth, -0.05, f"{size} {name}", ha="center", va="top", color=MUTED, fontsize=8)
    for height, name in zip(_heights(sizes[0]), input_names or [], strict=False):
        axes.text(-0.06, height, name, ha="right", va="center", fontsize=7.5)
    for height, name in zip(_heights(sizes[-1]), output_names or [], strict=False):
        axes.text(len(layers) + 0.05, height, name, va="center", fontsize=7.5)
    axes.set_xlim(-0.25, len(layers) + 0.12)
    axes.set_ylim(-0.02, 1.02)
    bare(axes)
    return figure


def _heights(size: int) -> np.ndarray:
    """Spread a column's nodes evenly, the first on top."""
    return 1 - (np.arange(size) + 0.5) / size


def _draw_boxes(axes: "Axes", middles: np.ndarray, curves: np.ndarray, weight: np.ndarray) -> None:
    """Draw each edge's function in a box on its way."""
    height = min(0.16, 0.86 / len(middles))
    width = 1.5 * height
    for (x, y), curve, strength in zip(middles, curves, weight, strict=True):
        box = axes.inset_axes(
            (x - width / 2, y - height / 2, width, height), transform=axes.transData, zorder=4
        )
        low, high = float(curve.min()), float(curve.max())
        box.plot(curve, color=BLUE, alpha=0.15 + 0.85 * float(strength), linewidth=1.2)
        margin = 0.1 * max(high - low, 1e-9)
        box.set_ylim(low - margin, high + margin)
        box.set_xticks([])
        box.set_yticks([])
        for spine in box.spines.values():
            spine.set_visible(True)
            spine.set_color(MUTED)
            spine.set_linewidth(0.6)
            spine.set_alpha(0.3 + 0.7 * float(strength))
