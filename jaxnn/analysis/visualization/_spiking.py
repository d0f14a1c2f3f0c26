"""Spikes: who fired when, how much together, and the potential behind it."""

from typing import TYPE_CHECKING

import numpy as np

from jaxnn._check import require
from jaxnn.analysis.visualization._style import (
    BLUE,
    INK,
    MUTED,
    VERMILION,
    Values,
    new_figure,
    owner,
    styled,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@styled
def spike_raster(
    spikes: Values,
    *,
    membrane: Values | None = None,
    threshold: float | None = None,
    limit: int = 64,
    axes: "Sequence[Axes] | None" = None,
) -> "Figure":
    """Draw a mark for each spike, and below it the population's rate or some potentials.

    Args:
      spikes: (time, units), non-zero where a unit fired.
      membrane: potentials, same shape; the three most active units are drawn instead of the
        rate.
      threshold: drawn as a line over the potentials.
      limit: draw only so many units, the most active ones, in their order.
      axes: where to draw: raster, then rate or potentials.

    Returns:
      The figure; the raster's points are at (step, height) of each spike, steps from 1.
    """
    fired = np.asarray(spikes)
    where = "spike_raster"
    require(fired.ndim == 2, where, "spikes", spikes, "shape (time, units)")
    time, units = fired.shape
    total = (fired != 0).sum(0)
    kept = np.sort(np.argsort(-total, kind="stable")[:limit])
    if axes is None:
        high = 0.5 + min(2.6, 0.045 * len(kept) + 0.4)
        figure = new_figure(4.5, high + 1.25)
        grid = figure.add_gridspec(
            2, 1, left=0.14, right=0.97, bottom=0.42 / (high + 1.25),
            top=1 - 0.25 / (high + 1.25), hspace=0.12, height_ratios=[high, 0.9],
        )  # fmt: skip
        axes = [figure.add_subplot(grid[i, 0]) for i in range(2)]
    else:
        figure = owner(axes[0])
    raster, below = axes
    steps, rows = np.nonzero(fired[:, kept])
    size = float(np.clip(900 / max(time * len(kept), 1) * 6, 1.2, 14))
    raster.scatter(steps + 1, rows, s=size, marker="s", color=INK, linewidths=0)
    raster.set_ylim(-1, len(kept))
    raster.locator_params(axis="y", integer=True)
    raster.set_ylabel("unit" if len(kept) == units else f"unit ({len(kept)} of {units})")
    raster.tick_params(labelbottom=False, bottom=False)
    raster.spines["bottom"].set_visible(False)
    if membrane is None:
        below.step(np.arange(1, time + 1), (fired != 0).mean(1), where="mid", color=BLUE)
        below.set_ylim(bottom=0)
        below.set_ylabel("firing")
        below.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    else:
        potential = np.asarray(membrane, np.float64)
        require(potential.shape == fired.shape, where, "membrane", membrane, f"shape {fired.shape}")
        colors = (BLUE, VERMILION, MUTED)
        for unit, color in zip(np.argsort(-total, kind="stable")[:3], colors, strict=False):
            below.plot(np.arange(1, time + 1), potential[:, unit], color=color, linewidth=1.2)
        if threshold is not None:
            below.axhline(threshold, color=MUTED, linewidth=0.8, linestyle="--")
        below.set_ylabel("potential")
    below.set_xlabel("time step")
    below.grid(axis="y")
    for ax in axes:
        ax.set_xlim(0.5, time + 0.5)
    return figure
