"""Views of attention from close by: the tokens of a head, the numbers of a query.

The head view and the neuron view of "A Multiscale Visualization of Attention in the Transformer
Model" (2019); its model view is :func:`attention_maps` of several layers.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxnn._check import require
from jaxnn.analysis.visualization._attribution import frame
from jaxnn.analysis.visualization._style import (
    DIVERGING,
    INK,
    MUTED,
    SERIES,
    Values,
    bare,
    canvas,
    styled,
    text_width,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FAINTEST = 0.02  # weights below are not drawn: they would only grey the picture


@styled
def attention_lines(
    weights: Values,
    tokens: Sequence[str],
    *,
    heads: Sequence[int] | None = None,
    query: int | None = None,
    axes: "Axes | None" = None,
) -> "Figure":
    """Draw the head view: a line from each query, at the left, to each key that it attends to.

    Args:
      weights: (heads, time, time) of one layer and example; the opacity of a line.
      tokens: words at both sides.
      heads: which heads to draw, each in its colour; all if ``None``.
      query: draw the lines of this token only.
      axes: where to draw.

    Returns:
      The figure; one collection of lines a head, those of weights below 0.02 left out.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba

    where = "attention_lines"
    array = np.asarray(weights, np.float64)
    count = len(tokens)
    ok = array.ndim == 3 and array.shape[1:] == (count, count)
    needs = f"shape (heads, {count}, {count}), as there are {count} tokens"
    require(ok, where, "weights", array, needs)
    chosen = list(range(len(array))) if heads is None else list(heads)
    ok = all(0 <= head < len(array) for head in chosen) and bool(chosen)
    require(ok, where, "heads", heads, f"some of the {len(array)} heads")
    ok = query is None or 0 <= query < count
    require(ok, where, "query", query, f"one of the {count} tokens")
    words = [str(token) for token in tokens]
    side = text_width(words) + 0.1
    figure, axes = canvas(
        axes, 2 * side + 1.6, 0.2 * count + 0.5, left=side, right=side, top=0.3, bottom=0.2
    )
    for place, word in enumerate(words):
        quiet = query is not None and place != query
        axes.text(-0.03, place, word, ha="right", va="center", color=MUTED if quiet else INK)
        axes.text(1.03, place, word, ha="left", va="center")
    for index, head in enumerate(chosen):
        rows, columns = np.nonzero(array[head] >= FAINTEST)
        pairs = [(i, j) for i, j in zip(rows, columns, strict=True) if query in (None, i)]
        color = SERIES[index % len(SERIES)]
        lines = LineCollection(
            [np.array([(0, i), (1, j)]) for i, j in pairs],
            colors=[to_rgba(color, min(1.0, float(array[head, i, j]))) for i, j in pairs],
            linewidths=1.6,
            label=f"head {head + 1}",
        )
        axes.add_collection(lines)
        across = (index + 0.5) / len(chosen)
        axes.text(across, -1, str(head + 1), ha="center", va="center", color=color, fontsize=7.5)
    axes.text(-0.03, -1, "head", ha="right", va="center", color=MUTED, fontsize=7.5)
    axes.set_xlim(0, 1)
    axes.set_ylim(count - 0.4, -1.4)
    bare(axes)
    return figure


@styled
def attention_neurons(
    query: Values,
    keys: Values,
    tokens: Sequence[str],
    *,
    token: str | None = None,
    scale: float | None = None,
    axes: "Axes | None" = None,
) -> "Figure":
    """Draw the neuron view: how one query's weights come of its products with the keys.

    Columns are the query q, the key k, the product q k entry by entry, its sum (times the scale)
    and the softmax of that over the rows, one row a key.

    Args:
      query: (width,), of one head and position.
      keys: (time, width), those it may attend to: of a causal head the ones up to its own.
      tokens: a word for each key.
      token: the query's word; the last of ``tokens`` if ``None``.
      scale: of the dot product; 1 / sqrt(width) if ``None``.
      axes: where to draw.

    Returns:
      The figure, with five images: q (repeated), k, q k, the scaled sums, the weights. Each
      has its own scale of colours, blue below zero and red above.
    """
    where = "attention_neurons"
    q, k = np.asarray(query, np.float64), np.asarray(keys, np.float64)
    require(q.ndim == 1 and q.size > 0, where, "query", q, "shape (width,), of one head")
    ok = k.ndim == 2 and k.shape[1] == q.size and len(k) == len(tokens)
    require(ok, where, "keys", k, f"shape ({len(tokens)}, {q.size}), a row for each of `tokens`")
    product = q[None] * k
    logits = product.sum(1) * (1 / math.sqrt(q.size) if scale is None else scale)
    raised = np.exp(logits - logits.max())
    weights = raised / raised.sum()
    width = 1.2 * q.size / max(q.size, 8)
    columns = {
        "query q": (np.broadcast_to(q, k.shape), width),
        "key k": (k, width),
        "q × k": (product, width),
        "q · k": (logits[:, None], 0.3),
        "softmax": (weights[:, None], 0.3),
    }
    words = [str(word) for word in tokens]
    left = text_width(words) + 0.12
    tall, gap = 0.17 * len(words), 0.16
    total = sum(width + gap for _, width in columns.values())
    figure, axes = canvas(
        axes, left + total + 0.1, tall + 0.55, left=left, right=0.1, top=0.5, bottom=0.05
    )
    start = 0.0
    for name, (table, width) in columns.items():
        box = (start, start + width, tall, 0.0)
        peak = max(float(np.abs(table).max()), 1e-12)
        axes.imshow(
            table, cmap=DIVERGING, vmin=-peak, vmax=peak, extent=box, interpolation="none",
            aspect="auto",
        )  # fmt: skip
        frame(axes, box)
        axes.text(start + width / 2, -0.04, name, ha="center", va="bottom", fontsize=7.5)
        start += width + gap
    for place, word in enumerate(words):
        axes.text(-0.06, (place + 0.5) / len(words) * tall, word, ha="right", va="center")
    own = words[-1] if token is None else token
    axes.text(-0.06, -0.3, f"query: {own}", ha="left", va="bottom", fontsize=8, color=MUTED)
    axes.set_xlim(-0.02, total - gap + 0.02)
    axes.set_ylim(tall + 0.02, -0.02)
    bare(axes)
    return figure
