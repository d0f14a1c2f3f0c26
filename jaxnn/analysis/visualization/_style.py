"""One look for every figure, applied around the drawing and never left behind.

Colours are those of Okabe and Ito, which stay apart for every kind of colour vision and in
grey print; what belongs together is also told apart by dashes, marks or labels.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from jax.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#22262e"  # text, and lines that carry the message without a colour
MUTED = "#6b7280"  # tick labels and remarks
RULE = "#d5d9e0"  # frames and grid lines
BLUE, VERMILION, GREEN, PURPLE, SKY, ORANGE = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#b8609a",
    "#56b4e9",
    "#e69f00",
)
# What a page may replace by its own colours, by name.
INKS = {
    "ink": INK,
    "muted": MUTED,
    "rule": RULE,
    "blue": BLUE,
    "vermilion": VERMILION,
    "green": GREEN,
    "purple": PURPLE,
    "sky": SKY,
    "orange": ORANGE,
}
SERIES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
DASHES = ("-", (0, (5, 2)), (0, (1, 1.6)), (0, (6, 2, 1, 2)), (0, (8, 3)), (0, (3, 1.5)))
# Blue is against, red is for, white is nothing: RdBu without its yellowish middle.
DIVERGING = "RdBu_r"
SEQUENTIAL = "Greys"
MAGNITUDE = "Purples"  # neither for nor against
ON_COLOR = "#101318"  # on a ground of the scales above, so no page may replace it

SETTINGS: dict[str, Any] = {
    "font.size": 8.5,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "text.parse_math": False,  # names may hold dollar signs
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "figure.dpi": 96,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.handlelength": 1.8,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "svg.fonttype": "none",
    "svg.hashsalt": "jaxnn",
    "svg.image_inline": True,
    "path.simplify": True,
}

# What is drawn: arrays, and lists of numbers as people type them.
Values = ArrayLike | Sequence[Any]

P = ParamSpec("P")
T = TypeVar("T")


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Draw in the library's look inside the block; settings outside stay as they were."""
    import matplotlib

    settings: Any = SETTINGS
    with matplotlib.rc_context(settings):
        yield


def styled(function: Callable[P, T]) -> Callable[P, T]:
    """Run a drawing function inside :func:`style`."""

    @functools.wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> T:
        with style():
            return function(*args, **kwargs)

    return inner


def new_figure(width: float, height: float) -> "Figure":
    """Make a figure of the size in inches that belongs to no global list of figures."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def canvas(
    axes: "Axes | None", width: float, height: float, **options: Any
) -> "tuple[Figure, Axes]":
    """Give the figure and axes to draw into: those given, or new ones of the size in inches.

    Options are the margins in inches, ``left``, ``right``, ``top`` and ``bottom``.
    """
    if axes is not None:
        return owner(axes), axes
    figure = new_figure(width, height)
    margin = {"left": 0.6, "right": 0.15, "top": 0.15, "bottom": 0.45} | options
    box = (
        margin["left"] / width,
        margin["bottom"] / height,
        1 - (margin["left"] + margin["right"]) / width,
        1 - (margin["bottom"] + margin["top"]) / height,
    )
    return figure, figure.add_axes(box)


def owner(axes: "Axes") -> "Figure":
    """Give the outermost figure that the axes belong to."""
    figure = axes.get_figure(root=True)
    assert figure is not None, "axes were removed from their figure"
    return figure


def inches(axes: "Axes") -> tuple[float, float]:
    """Measure the place of axes, wide and high."""
    box, dots = axes.get_window_extent(), owner(axes).dpi
    return box.width / dots, box.height / dots


def bare(axes: "Axes") -> None:
    """Take away frame and ticks, for axes that hold pictures."""
    axes.set_axis_off()


def text_width(labels: list[str], size: float = 8) -> float:
    """Estimate the inches that the longest label takes at the font size, generously."""
    longest = max((len(label) for label in labels), default=0)
    return longest * size * 0.62 / 72
