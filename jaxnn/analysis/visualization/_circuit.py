"""Circuits: which part of a model feeds which, as a graph read from top to bottom."""

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxnn._check import require
from jaxnn.analysis.visualization._style import (
    BLUE,
    INK,
    MUTED,
    VERMILION,
    Values,
    bare,
    canvas,
    styled,
    text_width,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

OUTPUTS = "outputs"
FAINT = 0.01  # of the strongest edge; what is weaker, rounding among it, is not drawn
HIGH = 0.26  # of a box, in inches, as all lengths here
GAP = 0.28  # between boxes side by side
LANE = 0.09  # on either side of a line that passes a row
WIDE = 5.4  # of a row of boxes; more than fit go to a row of their own
SWEEPS = 12

# A part, or where the line of an edge passes a row: sender, receiver, row.
Node = int | tuple[int, int, int]
Edge = tuple[int, int]


class _Box(NamedTuple):
    x: float  # of its centre
    y: float
    half: float  # of its width


@styled
def circuit_graph(
    edges: Values,
    names: Sequence[str],
    *,
    limit: int = 24,
    metric: str = "the metric",
    units: str = "",
    axes: "Axes | None" = None,
) -> "Figure":
    """Draw the parts of a model in layers, and what each hands directly to each other one.

    A part stands below all that feeds it, and no line passes behind a part. Lines are as wide as
    their edge is strong; orange (vermilion) raises the metric, blue lowers it.

    Args:
      edges: (parts, parts + 1), a row a sender, a column a receiver, the last column the
        outputs, e.g. of :func:`jaxnn.analysis.activations.path_patching`.
      names: of the parts, one a row; each feeds only those behind it.
      limit: draw only so many edges, the strongest, and the parts that they touch; none below a
        hundredth of the strongest is drawn.
      metric: what the edges change, for the legend.
      units: of the edges, for the legend.
      axes: where to draw.

    Returns:
      The figure; one curve an edge, the weakest first, labelled ``sender → receiver``.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import FancyBboxPatch, PathPatch
    from matplotlib.path import Path

    where = "circuit_graph"
    array, labels = np.asarray(edges, np.float64), [*names, OUTPUTS]
    count = len(names)
    needs = f"shape ({count}, {count + 1}), a row a name and a column more for the outputs"
    require(array.shape == (count, count + 1) and count > 0, where, "edges", array, needs)
    require(bool(np.isfinite(array).all()), where, "edges", array, "finite numbers")
    needs = "nothing but 0 from a part to itself and to those before it"
    require(not np.tril(array).any(), where, "edges", array, needs)
    require(limit >= 1, where, "limit", limit, "a number of at least 1")

    size = np.abs(array)
    peak = float(size.max()) or 1.0
    strong = int(np.sum(size >= FAINT * peak))
    order = np.argsort(-size.ravel(), kind="stable")[: min(limit, strong)]
    drawn = [divmod(int(flat), count + 1) for flat in order[::-1]]
    boxes, chains = _place(drawn, labels)
    routes = _routes(boxes, chains)
    sides = [box.x + side * box.half for box in boxes.values() for side in (-1, 1)]
    low, high = min(sides) - 0.1, max(sides) + 0.1
    floor = max(box.y for box in boxes.values()) + HIGH / 2

    remarks: list[tuple[str | None, str]] = []
    unit = f" {units}" if units else ""
    for color, verb, sign in ((VERMILION, "raises", 1), (BLUE, "lowers", -1)):
        most = max((sign * array[s, r] for s, r in drawn), default=0)
        if most > 0:
            remarks.append((color, f"{verb} {metric} by {most:.3g}{unit} at most"))
    if strong > len(drawn):
        remarks.append((None, f"the {len(drawn)} strongest of {strong} edges"))
    words = max((text_width([text], 7.5) for _, text in remarks), default=0) + 0.4
    middle = (low + high) / 2
    low, high = min(low, middle - words / 2), max(high, middle + words / 2)
    top, line = -HIGH / 2 - 0.08, 0.19
    bottom = floor + 0.12 + line * len(remarks) + 0.05

    none = {"left": 0.0, "right": 0.0, "top": 0.0, "bottom": 0.0}
    figure, axes = canvas(axes, high - low, bottom - top, **none)
    for s, r in drawn:
        share = size[s, r] / peak
        axes.add_patch(
            PathPatch(
                Path(*routes[s, r]),
                fill=False,
                edgecolor=VERMILION if array[s, r] > 0 else BLUE,
                linewidth=0.7 + 4.3 * share,
                alpha=0.35 + 0.6 * share,
                capstyle="butt",
                label=f"{labels[s]} → {labels[r]}",
            )
        )
    for node, box in boxes.items():
        if isinstance(node, tuple):
            continue
        last = node == count
        axes.add_patch(
            FancyBboxPatch(
                (box.x - box.half, box.y - HIGH / 2),
                2 * box.half,
                HIGH,
                boxstyle="round,pad=0,rounding_size=0.06",
                fill=False,
                edgecolor=INK if last else MUTED,
                linewidth=1.3 if last else 0.8,
                zorder=3,
            )
        )
        axes.text(
            box.x, box.y, labels[node], ha="center", va="center", fontsize=8, color=INK,
            fontweight="bold" if last else "normal", zorder=4,
        )  # fmt: skip
    start = middle - words / 2
    for row, (color, text) in enumerate(remarks):
        y = floor + 0.12 + line * (row + 0.5)
        if color:
            ends = [start, start + 0.25]
            axes.add_line(Line2D(ends, [y, y], color=color, linewidth=3, solid_capstyle="butt"))
        axes.text(start + 0.33, y, text, ha="left", va="center", fontsize=7.5, color=MUTED)
    axes.set_xlim(low, high)
    axes.set_ylim(bottom, top)
    axes.set_aspect("equal")
    bare(axes)
    return figure


def _depths(drawn: list[Edge], nodes: list[int]) -> dict[int, int]:
    """Give each node its row: below all that feed it, by the longest path."""
    depth = dict.fromkeys(nodes, 0)
    for node in nodes:
        depth[node] = max((depth[s] + 1 for s, r in drawn if r == node), default=0)
    depth[nodes[-1]] = max(depth[nodes[-1]], *(depth[n] + 1 for n in nodes[:-1]))
    # What nothing feeds would stand on top, however late it comes: it goes down to where those
    # before it stand, as far as those that it feeds allow.
    reached = 0
    for node in nodes:
        if all(r != node for _, r in drawn):
            fed = [depth[r] - 1 for s, r in drawn if s == node]
            depth[node] = max(depth[node], min(reached, *fed)) if fed else depth[node]
        reached = max(reached, depth[node])
    return depth


def _place(drawn: list[Edge], labels: list[str]) -> tuple[dict[Node, _Box], dict[Edge, list[Node]]]:
    """Put the nodes that edges touch in rows, and a lane where an edge passes a row.

    Rows are ordered and placed by sweeps, each item near those that it is joined to in the row
    before; of all sweeps the one with the fewest crossings is taken.

    Returns:
      The boxes and lanes, and what each edge leads along.
    """
    last = len(labels) - 1
    nodes = sorted({node for edge in drawn for node in edge} | {last})
    nodes = nodes if drawn else list(range(last + 1))
    depth = _depths(drawn, nodes)
    half: dict[Node, float] = {node: text_width([labels[node]], 8) / 2 + 0.09 for node in nodes}
    rows: list[list[Node]] = []
    for level in range(depth[last] + 1):
        row: list[Node] = []
        for node in (n for n in nodes if depth[n] == level):
            if row and sum(2 * half[n] + GAP for n in [*row, node]) > WIDE:
                rows.append(row)
                row = []
            row.append(node)
        if row:
            rows.append(row)
    level_of: dict[Node, int] = {node: level for level, row in enumerate(rows) for node in row}
    chains: dict[Edge, list[Node]] = {}
    for s, r in drawn:
        lanes: list[Node] = [(s, r, level) for level in range(level_of[s] + 1, level_of[r])]
        chains[s, r] = [s, *lanes, r]
        for level, lane in enumerate(lanes, level_of[s] + 1):
            half[lane] = LANE
            rows[level].append(lane)
    joined: dict[int, dict[Node, list[Node]]] = {-1: {}, 1: {}}  # upwards, downwards
    for chain in chains.values():
        for upper, lower in itertools.pairwise(chain):
            joined[1].setdefault(upper, []).append(lower)
            joined[-1].setdefault(lower, []).append(upper)

    x = dict.fromkeys(half, 0.0)
    for row in rows:
        x.update(_set_row(row, [0.0] * len(row), half))
    best, fewest = x, math.inf
    for sweep in range(SWEEPS):
        way = -1 if sweep % 2 == 0 else 1
        for level in range(len(rows))[::-way]:
            row, near = rows[level], joined[way]
            aim = {n: float(np.mean([x[m] for m in near.get(n, [n])])) for n in row}
            row.sort(key=lambda n: aim[n])
            x = x | _set_row(row, [aim[n] for n in row], half)
        crossings = _crossings(x, chains, level_of)
        if crossings <= fewest:
            best, fewest = x, crossings
    pitch = float(np.clip(5.5 / len(rows), 0.5, 0.74))
    boxes = {
        node: _Box(best[node], level * pitch, half[node])
        for level, row in enumerate(rows)
        for node in row
    }
    return boxes, chains


def _set_row(row: list[Node], aims: list[float], half: dict[Node, float]) -> dict[Node, float]:
    """Place a row from left to right, as near to where each item aims as distances allow.

    Least squares under order: what is too close forms a block, which stands at its mean aim.
    """
    offsets = [0.0]
    for a, b in itertools.pairwise(row):
        boxes = isinstance(a, int) and isinstance(b, int)
        offsets.append(offsets[-1] + half[a] + half[b] + (GAP if boxes else 0.03))
    blocks: list[tuple[float, int]] = []
    for aim, offset in zip(aims, offsets, strict=True):
        mean, count = aim - offset, 1
        while blocks and blocks[-1][0] > mean:
            before, size = blocks.pop()
            mean, count = (mean * count + before * size) / (count + size), count + size
        blocks.append((mean, count))
    means = [mean for mean, count in blocks for _ in range(count)]
    return {node: mean + at for node, mean, at in zip(row, means, offsets, strict=True)}


def _crossings(
    x: dict[Node, float], chains: dict[Edge, list[Node]], level_of: dict[Node, int]
) -> int:
    """Count the lines that cross between one row and the next."""
    gaps: dict[int, list[tuple[float, float]]] = {}
    for (s, _), chain in chains.items():
        for level, (a, b) in enumerate(itertools.pairwise(chain), level_of[s]):
            gaps.setdefault(level, []).append((x[a], x[b]))
    return sum(
        (a[0] - b[0]) * (a[1] - b[1]) < 0
        for lines in gaps.values()
        for a, b in itertools.combinations(lines, 2)
    )


def _routes(
    boxes: dict[Node, _Box], chains: dict[Edge, list[Node]]
) -> dict[Edge, tuple[np.ndarray, list[int]]]:
    """Give the points and codes of each edge's line, from below its sender to above its receiver.

    Where several lines leave or reach a box, they stand side by side, in the order of where they
    lead or come from.
    """
    from matplotlib.path import Path

    ports: dict[tuple[Edge, int], float] = {}
    for end, inner in ((0, 1), (-1, -2)):
        for node in {edge[end] for edge in chains}:
            fan = sorted(
                (edge for edge in chains if edge[end] == node),
                key=lambda edge: boxes[chains[edge][inner]].x,
            )
            step = min(0.16, 1.5 * boxes[node].half / len(fan))
            for place, edge in enumerate(fan):
                ports[edge, end] = boxes[node].x + step * (place - (len(fan) - 1) / 2)
    routes: dict[Edge, tuple[np.ndarray, list[int]]] = {}
    for edge, chain in chains.items():
        xs = [ports[edge, 0], *(boxes[node].x for node in chain[1:-1]), ports[edge, -1]]
        points, codes = [(xs[0], boxes[chain[0]].y + HIGH / 2)], [int(Path.MOVETO)]
        for x, node in zip(xs[1:], chain[1:], strict=True):
            (from_x, from_y), to_y = points[-1], boxes[node].y - HIGH / 2
            middle = (from_y + to_y) / 2
            points += [(from_x, middle), (x, middle), (x, to_y)]
            codes += [int(Path.CURVE4)] * 3
            if node != chain[-1]:
                points.append((x, boxes[node].y + HIGH / 2))
                codes.append(int(Path.LINETO))
        routes[edge] = np.array(points), codes
    return routes
