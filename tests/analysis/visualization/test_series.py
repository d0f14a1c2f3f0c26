import itertools

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jaxnn.analysis import visualization

RNG = np.random.default_rng(0)
SERIES = RNG.normal(size=(9, 3)) * np.array([1.0, 10.0, 0.1])
WORTH = RNG.normal(size=(9, 3)) * np.array([1.0, 2.0, 0.5])
NAMES = ["a", "b $x$", "c"]


def strips(figure):
    """Give the strips; the last of the inner axes is the key."""
    return figure.axes[0].child_axes[:-1]


def test_a_strip_a_channel_on_one_scale():
    figure = visualization.attribution_series(SERIES, WORTH, names=NAMES)
    scale = visualization.color_scale(WORTH)
    panels = strips(figure)
    assert [ax.get_ylabel() for ax in panels] == NAMES
    for channel, ax in enumerate(panels):
        (image,) = ax.images
        np.testing.assert_allclose(image.get_array(), WORTH[None, :, channel])
        np.testing.assert_allclose(image.get_clim(), (-scale, scale))
        np.testing.assert_allclose(ax.lines[-1].get_xdata(), np.arange(9))
        np.testing.assert_allclose(ax.lines[-1].get_ydata(), SERIES[:, channel])
        low, high = ax.get_ylim()
        assert low < SERIES[:, channel].min()
        assert high > SERIES[:, channel].max()
    tops = [ax.get_position().y1 for ax in panels]
    assert tops == sorted(tops, reverse=True)
    assert panels[-1].get_xlabel() == "time step"


@pytest.mark.parametrize("x", [None, np.cumsum([1.0, 2, 0.5, 3, 1, 1, 4, 0.7, 2])])
def test_each_step_lies_on_its_colour(x):
    """What is drawn at a step, and up to half way to its neighbours, is its attribution."""
    figure = visualization.attribution_series(SERIES, WORTH, x=x)
    figure.set_facecolor("white")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3] / 255
    scale = visualization.color_scale(WORTH)
    at = np.arange(9.0) if x is None else x
    for channel, ax in enumerate(strips(figure)):
        low, high = ax.get_ylim()
        for step in range(9):
            left = at[step] - at[step - 1] if step else at[1] - at[0]
            right = at[step + 1] - at[step] if step < 8 else at[8] - at[7]
            for place in (at[step] - 0.4 * left, at[step] + 0.4 * right):
                column, row = ax.transData.transform((place, low + 0.02 * (high - low)))
                got = pixels[pixels.shape[0] - 1 - int(row), int(column)]
                want = colormaps["RdBu_r"]((WORTH[step, channel] / scale + 1) / 2)[:3]
                np.testing.assert_allclose(got, want, atol=0.02)


def test_combined_shows_the_mean_behind_all_lines():
    figure = visualization.attribution_series(SERIES, WORTH, names=NAMES, method="combined")
    (ax,) = strips(figure)
    np.testing.assert_allclose(ax.images[0].get_array()[0], WORTH.mean(1))
    scale = visualization.color_scale(WORTH.mean(1))
    np.testing.assert_allclose(ax.images[0].get_clim(), (-scale, scale))
    drawn = [line.get_ydata() for line in ax.lines if line.get_label() != "_casing"]
    np.testing.assert_allclose(drawn, SERIES.T)
    inks = {line.get_color() for line in ax.lines if line.get_label() != "_casing"}
    assert len(inks) == 3
    # Names stand at the right, in the order of the lines' ends.
    places = {t.get_text(): t.xy[1] for t in ax.texts}
    assert sorted(NAMES, key=places.__getitem__) == [NAMES[i] for i in np.argsort(SERIES[-1])]


@pytest.mark.parametrize("x", [None, np.cumsum([1.0, 2, 0.5, 3, 1, 1, 4, 0.7, 2])])
def test_colored_gives_each_step_its_piece_of_the_line(x):
    figure = visualization.attribution_series(SERIES, WORTH, x=x, method="colored")
    at = np.arange(9.0) if x is None else x
    scale = visualization.color_scale(WORTH)
    for channel, ax in enumerate(strips(figure)):
        (pieces,) = ax.collections
        np.testing.assert_allclose(pieces.get_array(), WORTH[:, channel])
        np.testing.assert_allclose(pieces.get_clim(), (-scale, scale))
        assert pieces.get_cmap().name == "RdBu_r"
        points = np.asarray(pieces.get_segments())
        line = np.stack([at, SERIES[:, channel]], 1)
        np.testing.assert_allclose(points[:, 1], line)
        np.testing.assert_allclose(points[1:, 0], (line[1:] + line[:-1]) / 2)
        np.testing.assert_allclose(points[:-1, 2], points[1:, 0])
        np.testing.assert_allclose(points[[0, -1], [0, 2]], line[[0, -1]])
        assert not ax.images


@pytest.mark.parametrize(
    ("sign", "part", "low", "high", "words"),
    [
        ("positive", lambda v: np.where(v > 0, v, 0), 0, 1, ["0", "{} for"]),
        ("negative", lambda v: np.where(v < 0, v, 0), -1, 0, ["against −{}", "0"]),
        ("absolute", np.abs, 0, 1, ["0", "{} in magnitude"]),
    ],
)
def test_signs_and_their_key(sign, part, low, high, words):
    figure = visualization.attribution_series(SERIES, WORTH, sign=sign)
    shown = part(WORTH)
    scale = visualization.color_scale(shown)
    image = strips(figure)[1].images[0]
    np.testing.assert_allclose(image.get_array()[0], shown[:, 1])
    np.testing.assert_allclose(image.get_clim(), (low * scale, high * scale))
    key = figure.axes[0].child_axes[-1]
    assert [t.get_text() for t in key.texts] == [w.format(f"{scale:.2g}") for w in words]
    assert key.images[0].get_clim() == image.get_clim()


def test_a_single_channel_a_gap_and_a_single_step():
    series = SERIES[:, 0].copy()
    series[4] = np.nan
    (ax,) = strips(visualization.attribution_series(series, WORTH[:, 0]))
    np.testing.assert_allclose(ax.lines[-1].get_ydata(), series)
    assert np.isfinite(ax.get_ylim()).all()
    for method in ("individual", "combined", "colored"):
        figure = visualization.attribution_series([2.0], [1.0], method=method)
        assert strips(figure)[0].get_xlim() == (-0.5, 0.5)
    nothing = visualization.attribution_series(np.full(3, np.nan), np.ones(3))
    assert np.isfinite(strips(nothing)[0].get_ylim()).all()


def test_stays_within_axes_that_are_given():
    outer = Figure(figsize=(6, 4))
    axes = outer.subplots(2, 2)
    assert visualization.attribution_series(SERIES, WORTH, axes=axes[0, 1]) is outer
    box = axes[0, 1].get_position()
    panels = axes[0, 1].child_axes[:-1]
    places = [ax.get_position() for ax in panels]
    np.testing.assert_allclose([p.x0 for p in places], box.x0)
    np.testing.assert_allclose([p.x1 for p in places], box.x1)
    np.testing.assert_allclose((places[0].y1, places[-1].y0), (box.y1, box.y0))
    assert all(upper.y0 > lower.y1 for upper, lower in itertools.pairwise(places))


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda f: f(np.ones((2, 3, 4)), np.ones((2, 3, 4))), "`series` is .*choose one example"),
        (lambda f: f(SERIES, WORTH.T), r"`attributions` .*\(3, 9\).* needs the shape of `series`"),
        (lambda f: f(SERIES, WORTH * np.nan), "`attributions` is .*finite numbers"),
        (lambda f: f(SERIES, WORTH, names=["a"]), "`names` is .*needs 3 names, one a channel"),
        (lambda f: f(SERIES, WORTH, x=np.zeros(9)), "`x` is .*needs 9 rising numbers"),
        (lambda f: f(SERIES, WORTH, x=np.arange(8)), "`x` is .*needs 9 rising numbers"),
        (
            lambda f: f(SERIES, WORTH, method="overlay"),
            "attribution_series: `method` is 'overlay'; it needs one of individual, combined",
        ),
        (
            lambda f: f(SERIES, WORTH, sign="both"),
            "attribution_series: `sign` is 'both'; it needs one of all, positive",
        ),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_rejects(call, match):
    with pytest.raises(ValueError, match=match):
        call(visualization.attribution_series)
