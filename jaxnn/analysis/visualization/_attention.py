"""Attention weights: heads side by side, one row a layer."""

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
def attention_maps(
    weights: Values | Mapping[str, Values],
    *,
    token_labels: Sequence[str] | None = None,
    axes: "Axes | None" = None,
) -> "Figure":
    """Draw each head's weights as a picture: a row a query, a column a key.

    Args:
      weights: (heads, queries, keys), or layer to such an array. Darker is more; each panel
        is scaled to its own largest weight, which is written below it.
      token_labels: what the first panel's rows stand for, e.g. words.
      axes: where to draw.

    Returns:
      The figure; one image a head, layer by layer.
    """
    layers = dict(weights) if isinstance(weights, Mapping) else {"": weights}
    where = "attention_maps"
    require(bool(layers), where, "weights", weights, "at least one layer")
    arrays = {name: np.asarray(w, np.float32) for name, w in layers.items()}
    for name, array in arrays.items():
        require(
            array.ndim == 3,
            where,
            f"weights[{name!r}]" if name else "weights",
            array,
            "shape (heads, queries, keys); choose one example",
        )
    heads = max(len(a) for a in arrays.values())
    tall = max(a.shape[1] / a.shape[2] for a in arrays.values())
    words = [name for name in arrays if name]
    tokens = list(token_labels) if token_labels is not None else []
    side = 0.88
    left = 0.22 + max(text_width(words), text_width(tokens, 6) if tokens else 0.0)
    gap = 0.24
    figure, axes = canvas(
        axes,
        left + heads * (side + 0.1) + 0.05,
        0.3 + len(arrays) * (side * tall + gap) + 0.25,
        left=left,
        right=0.05,
        top=0.3,
        bottom=0.25,
    )
    across, down = 0.1 / side, gap / side
    for row, (name, array) in enumerate(arrays.items()):
        top = row * (tall + down)
        for head, panel in enumerate(array):
            start = head * (1 + across)
            box = (start, start + 1, top + panel.shape[0] / panel.shape[1], top)
            peak = float(panel.max())
            axes.imshow(
                panel, cmap="Blues", vmin=0, vmax=max(peak, 1e-12), extent=box,
                interpolation="none",
            )  # fmt: skip
            frame(axes, box)
            axes.text(
                start + 1,
                box[2] + 0.03,
                f"max {peak:.2f}",
                ha="right",
                va="top",
                fontsize=6.5,
                color=MUTED,
            )
            if row == 0:
                axes.text(
                    start + 0.5, -0.05, f"head {head + 1}", ha="center", va="bottom", fontsize=8
                )
        if name:
            axes.text(-0.2, top + tall / 2, name, ha="right", va="center", color=INK)
        axes.text(
            -0.05, top + tall / 2, "query", ha="right", va="center", rotation=90, fontsize=7,
            color=MUTED,
        )  # fmt: skip
        if row == 0 and tokens:
            for place, token in enumerate(tokens):
                axes.text(
                    -0.2,
                    (place + 0.5) / array.shape[1] * tall,
                    token,
                    ha="right",
                    va="center",
                    fontsize=6,
                )
    end = len(arrays) * (tall + down)
    axes.text(0, end - down + 0.03, "key", ha="left", va="top", fontsize=7, color=MUTED)
    axes.set_xlim(-0.02, heads * (1 + across) - across + 0.02)
    axes.set_ylim(end, -0.02)
    axes.set_aspect("equal", anchor="NW")
    bare(axes)
    return figure
