import itertools

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from jaxnn.analysis import visualization

RNG = np.random.default_rng(0)
WORDS = ["the", "film", "cost", "$5", ",", "not", "$10", ",", "and", "worth", "neither", "then"]
PIECES = ["The", " film", " was", " un", "believ", "ably", " bad", ".\n", "\n", "\tEnd", ""]


def boxes(figure):
    """Give the rectangles and what is written in them, in order, by example and token."""
    axes = figure.axes[0]
    found = []
    for patch in axes.patches:
        x, y, width, height = patch.get_bbox().bounds
        texts = [
            t.get_text()
            for t in axes.texts
            if x < t.get_position()[0] < x + width and y < t.get_position()[1] < y + height
        ]
        example, token = map(int, patch.get_label().split())
        found.append(((example, token), "".join(texts), (x, y, width, height), patch))
    return found


def test_each_token_stands_on_the_colour_of_its_attribution():
    values = RNG.normal(size=len(WORDS))
    found = boxes(visualization.attribution_text(WORDS, values))
    assert [key for key, *_ in found] == [(0, i) for i in range(len(WORDS))]
    assert [text for _, text, *_ in found] == WORDS
    scale = visualization.color_scale(values)
    want = colormaps["RdBu_r"]((values / scale + 1) / 2)
    np.testing.assert_allclose([p.get_facecolor() for *_, p in found], want)


def test_for_is_red_and_against_blue():
    found = boxes(visualization.attribution_text(["for", "against", "neither"], [2.0, -2.0, 0.0]))
    (red, _, blue), (red_, _, blue_), nothing = (p.get_facecolor()[:3] for *_, p in found)
    assert red > 2 * blue
    assert blue_ > 2 * red_
    assert min(nothing) > 0.95


def test_examples_share_a_scale_and_keep_their_order():
    values = [np.array([1.0, -1.0]), np.array([4.0, 2.0, 0.0])]
    figure = visualization.attribution_text(
        [["a", "b"], ["c", "d", "e"]], values, outlier_percentile=0, labels=["one $x$", "two"]
    )
    found = boxes(figure)
    want = colormaps["RdBu_r"]((np.concatenate(values) / 4 + 1) / 2)
    np.testing.assert_allclose([p.get_facecolor() for *_, p in found], want)
    heights = {text: box[1] for _, text, box, _ in found}
    places = {t.get_text(): t.get_position()[1] for t in figure.axes[0].texts}
    assert places["one $x$"] < heights["a"] == heights["b"] < places["two"] < heights["c"]
    low, high = figure.axes[0].get_ylim()
    assert low > high  # y runs downwards


def test_spaces_and_line_breaks_are_seen_and_obeyed():
    found = boxes(visualization.attribution_text(PIECES, np.ones(len(PIECES))))
    assert [text for _, text, *_ in found] == [
        "The", "film", "was", "un", "believ", "ably", "bad", ".↵", "↵", "⇥End", "∅",
    ]  # fmt: skip
    lines = [[text for _, text, box, _ in found if box[1] == y] for y in heights(found)]
    assert [len(line) for line in lines] == [8, 1, 2]
    spaces = boxes(visualization.attribution_text(["a\r\nb", "  ", "  c"], np.ones(3)))
    assert [text for _, text, *_ in spaces] == ["a↵", "b", "␣␣", "c"]
    assert [key for key, *_ in spaces] == [(0, 0), (0, 0), (0, 1), (0, 2)]
    # Room for the two spaces before c, on the ground of its token.
    c = spaces[-1][2][2]
    assert c > boxes(visualization.attribution_text(["c"], np.ones(1)))[0][2][2] + 0.05


def heights(found):
    return sorted({box[1] for _, _, box, _ in found})


@pytest.mark.parametrize("width", [0.9, 1.7, 4.0])
@pytest.mark.parametrize("tokens", [WORDS, PIECES])
def test_lines_are_broken_at_the_width(tokens, width):
    figure = visualization.attribution_text(tokens, np.ones(len(tokens)), width=width)
    found = boxes(figure)
    ends = []
    for y in heights(found):
        row = [box for _, _, box, _ in found if box[1] == y]
        assert row[0][0] == 0
        for (x, _, wide, _), (x_, *_) in itertools.pairwise(row):
            assert x + wide <= x_  # no token on another
        ends.append(row[-1][0] + row[-1][2])
    assert max(ends) <= width
    # Greedy: what begins a line did not fit into the one before, which did not end by itself.
    if tokens is WORDS:
        for y, end in zip(heights(found)[1:], ends, strict=False):
            first = next(box for _, _, box, _ in found if box[1] == y)
            assert end + 0.06 + first[2] + 2 * 0.008 > width  # the gap, and the seams
    keys = [key for key, *_ in found]
    assert keys == sorted(keys)
    assert set(keys) == {(0, i) for i in range(len(tokens))}


def test_words_of_several_tokens_stay_in_one_line_where_they_fit():
    for width in (1.2, 1.5, 1.8, 2.1, 2.4, 2.7):
        found = boxes(visualization.attribution_text(PIECES, np.ones(len(PIECES)), width=width))
        word = {box[1] for _, text, box, _ in found if text in ("un", "believ", "ably")}
        assert len(word) == 1


def test_a_token_wider_than_the_line_is_cut():
    found = boxes(visualization.attribution_text(["x", "ab" * 40], [1.0, -1.0], width=1.5))
    parts = [text for key, text, *_ in found if key == (0, 1)]
    assert len(parts) > 2
    assert "".join(parts) == "ab" * 40
    assert max(box[0] + box[2] for _, _, box, _ in found) <= 1.5


def test_letters_stay_on_their_ground():
    """The measure of letters is that of what is drawn."""
    figure = visualization.attribution_text(WORDS, RNG.normal(size=len(WORDS)), width=2.0)
    renderer = FigureCanvasAgg(figure).get_renderer()
    for *_, patch in boxes(figure):
        ground = patch.get_window_extent(renderer)
        inside = [
            t.get_window_extent(renderer)
            for t in figure.axes[0].texts
            if ground.contains(*t.get_window_extent(renderer).get_points().mean(0))
        ]
        assert len(inside) == 1
        assert ground.x0 <= inside[0].x0
        assert inside[0].x1 <= ground.x1 + 1  # a pixel
        assert inside[0].width > ground.width - 8


def luminance(color):
    rgb = np.asarray(to_rgb(color))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ (
        np.array([0.2126, 0.7152, 0.0722])
    )


def test_ink_stands_out_on_every_colour():
    values = np.linspace(-1, 1, 41)
    tokens = [str(i) for i in range(41)]
    figure = visualization.attribution_text(tokens, values, outlier_percentile=0)
    inks = {t.get_text(): t.get_color() for t in figure.axes[0].texts}
    for _, text, _, patch in boxes(figure):
        dark, light = sorted([luminance(inks[text]), luminance(patch.get_facecolor()[:3])])
        assert (light + 0.05) / (dark + 0.05) > 4
    assert set(inks.values()).isdisjoint(visualization.INKS.values())  # no page may change them


def test_long_labels_are_broken():
    label = "predicted a word that is long, true another one"
    figure = visualization.attribution_text(["a"], [1.0], labels=label, width=1.5)
    lines = [t for t in figure.axes[0].texts if t.get_text() in label and t.get_text() != "a"]
    assert " ".join(t.get_text() for t in lines) == label
    assert len(lines) > 1


def test_key_says_how_much_the_ends_are():
    figure = visualization.attribution_text(WORDS, np.ones(len(WORDS)) * -0.25)
    (bar,) = figure.axes[0].child_axes
    assert [t.get_text() for t in bar.texts] == ["against −0.25", "0.25 for"]
    assert bar.images[0].get_clim() == (-0.25, 0.25)
    assert bar.images[0].get_array()[0, 0] == -0.25  # against at the left


def test_draws_into_axes_that_are_given_at_their_width():
    outer = Figure(figsize=(6, 4))
    axes = outer.subplots(1, 2)
    tokens = WORDS * 3
    assert visualization.attribution_text(tokens, np.ones(len(tokens)), axes=axes[1]) is outer
    room = axes[1].get_window_extent().width / outer.dpi
    patches = axes[1].patches
    assert 0.8 * room < max(p.get_x() + p.get_width() for p in patches) <= room
    assert axes[1].get_xlim() == (0, room)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda f: f([], []), "`tokens` is .*at least one token"),
        (lambda f: f([["a"], []], [[1.0], []]), r"`tokens\[1\]` is .*at least one token"),
        (
            lambda f: f(["a", "b"], np.ones(3)),
            r"attribution_text: `attributions` is .*\(3,\).* needs shape \(2,\), as there are 2",
        ),
        (
            lambda f: f([["a", "b"], ["c"]], [np.ones(2), np.ones(2)]),
            r"`attributions\[1\]` .*needs shape \(1,\)",
        ),
        (lambda f: f([["a"], ["c"]], np.ones((3, 1))), "`attributions` .*needs 2 arrays"),
        (lambda f: f(["a"], [np.nan]), "`attributions` is .*finite numbers"),
        (lambda f: f(["a"], [1.0], labels=["x", "y"]), "`labels` is .*1 labels, one an example"),
        (lambda f: f(["a"], [1.0], width=0.0), "`width` is 0.0; it needs a finite number above"),
        (lambda f: f(["a"], [1.0], outlier_percentile=100.0), "below 100"),
    ],
)
def test_rejects(call, match):
    with pytest.raises(ValueError, match=match):
        call(visualization.attribution_text)
