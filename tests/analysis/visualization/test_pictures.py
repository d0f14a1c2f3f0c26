"""Networks, spikes, attention, sparsity and mistakes: the figures hold what they were given."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.transforms import Affine2D

from jaxnn.analysis import visualization

RNG = np.random.default_rng(0)
LINE = np.linspace(-1, 1, 11)
CURVES = np.sin(LINE[:, None, None] * RNG.normal(size=(1, 3, 2)) * 3)


def test_edges_are_drawn_strongest_first():
    strengths = np.array([[0.1, 0.5], [0.9, 0.2], [0.3, 0.4]])
    figure = visualization.kan_edges(LINE, CURVES, strengths=strengths, limit=3)
    assert [ax.get_title() or ax.get_title("left") for ax in figure.axes] == [
        "in 1 → out 0",
        "in 0 → out 1",
        "in 2 → out 1",
    ]
    for ax, (i, j) in zip(figure.axes, [(1, 0), (0, 1), (2, 1)], strict=True):
        curves = [line for line in ax.lines if len(line.get_xdata()) == len(LINE)]
        np.testing.assert_allclose(curves[0].get_xdata(), LINE)
        np.testing.assert_allclose(curves[0].get_ydata(), CURVES[:, i, j])


def test_edges_show_spline_knots_and_the_range_of_data():
    data = np.stack([np.linspace(-0.5, 0.7, 201), *RNG.normal(size=(2, 201))], 1)
    knots = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    strengths = np.zeros((3, 2))
    strengths[0, 1] = 1
    figure = visualization.kan_edges(
        LINE, CURVES, splines=2 * CURVES, knots=knots, data=data, strengths=strengths, limit=1
    )
    (ax,) = figure.axes
    ys = [np.asarray(line.get_ydata()) for line in ax.lines]
    assert any(len(y) == 11 and np.allclose(y, 2 * CURVES[:, 0, 1]) for y in ys)
    marks = next(line for line in ax.lines if line.get_marker() == "|")
    np.testing.assert_allclose(marks.get_xdata(), [-1, 0, 1])  # those in view
    (band,) = ax.patches
    np.testing.assert_allclose(band.get_x(), np.percentile(data[:, 0], 1))
    np.testing.assert_allclose(band.get_x() + band.get_width(), np.percentile(data[:, 0], 99))


def test_similarity_map_has_a_square_for_each_pair():
    values = np.array([[1.0, 0.25], [0.25, 1.0], [0.5, 0.75]])
    axes = visualization.similarity_map(values, ["a", "b", "c"], ["x", "y"]).axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), values)
    texts = {(t.get_position(), t.get_text()) for t in axes.texts}
    assert ((1.5, 2.5), "0.75") in texts
    assert ((-0.15, 1.5), "b") in texts
    assert axes.images[0].get_clim() == (0, 1)


def test_units_are_drawn_from_busy_to_idle():
    layers = {"up": np.array([0.0, 1.0, 0.5]), "down": np.array([0.25])}
    axes = visualization.unit_map(layers).axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), [[1.0, 0.5, 0.0]])
    np.testing.assert_allclose(axes.images[1].get_array(), [[0.25]])
    assert {"50 %", "25 %"} < {t.get_text() for t in axes.texts}


def test_network_draws_the_strongest_edges_between_their_nodes():
    first = np.array([[0.0, 5.0], [1.0, 0.0], [0.0, 2.0]])
    second = np.array([[1.0], [3.0]])
    axes = visualization.kan_network([first, second], limit=2).axes[0]
    boxes = [np.linspace(0, 1, 9)[:, None, None] * layer[None] for layer in (first, second)]
    drawn = visualization.kan_network([first, second], curves=boxes).axes[0].child_axes
    assert len(drawn) == first.size + second.size
    # The last box of the first layer is its strongest edge's.
    np.testing.assert_allclose(drawn[first.size - 1].lines[0].get_ydata()[-1], first.max())
    lines = [c for c in axes.collections if hasattr(c, "get_segments")]
    assert [len(c.get_segments()) for c in lines] == [2, 2]
    weak, strong = lines[0].get_segments()
    # Input 0, the highest of three, to node 1, the lower of two; input 2 is the lowest.
    np.testing.assert_allclose(strong, [[0, 5 / 6], [1, 1 / 4]])
    np.testing.assert_allclose(weak, [[0, 1 / 6], [1, 1 / 4]])
    assert lines[0].get_linewidths()[1] > lines[0].get_linewidths()[0]


FINE = Affine2D().scale(1000)  # curves become lines by the pixel


def drawn_edges(figure):
    """Give the curves of a circuit by name: points along it, width and colour."""
    patches = [p for p in figure.axes[0].patches if "→" in str(p.get_label())]
    return {
        p.get_label(): (
            p.get_path().transformed(FINE).to_polygons(closed_only=False)[0] / 1000,
            p.get_linewidth(),
            to_hex(p.get_edgecolor()),
        )
        for p in patches
    }


def node_boxes(figure):
    """Give the boxes of a circuit by name: (x, y, width, height), y downwards."""
    axes = figure.axes[0]
    boxes = [p for p in axes.patches if isinstance(p, FancyBboxPatch)]
    rows = [(b.get_x(), b.get_y(), b.get_width(), b.get_height()) for b in boxes]
    return {
        t.get_text(): row
        for t in axes.texts
        for row in rows
        if np.allclose(t.get_position(), (row[0] + row[2] / 2, row[1] + row[3] / 2))
    }


def test_circuit_leads_from_each_sender_down_to_its_receiver():
    edges = np.zeros((4, 5))
    edges[0, 1], edges[0, 2], edges[1, 3], edges[2, 3], edges[3, 4] = 1.0, -0.5, 0.2, 0.1, 2.0
    edges[0, 4] = 0.4
    edges[1, 4] = 0.001  # below a hundredth
    figure = visualization.circuit_graph(edges, ["in", "left", "right", "both"], units="nats")
    curves, boxes = drawn_edges(figure), node_boxes(figure)
    wanted = ["right → both", "left → both", "in → outputs", "in → right", "in → left"]
    assert list(curves) == [*wanted, "both → outputs"]
    widths = [width for _, width, _ in curves.values()]
    assert widths == sorted(widths)
    colors = {name: color for name, (_, _, color) in curves.items()}
    assert colors["in → right"] == visualization.INKS["blue"]
    assert set(colors.values()) - {colors["in → right"]} == {visualization.INKS["vermilion"]}
    # Side by side, for neither feeds the other; everything else is below what feeds it.
    assert boxes["left"][1] == boxes["right"][1]
    for name, (points, _, _) in curves.items():
        sender, receiver = name.split(" → ")
        for end, (x, y, wide, high) in ((points[0], boxes[sender]), (points[-1], boxes[receiver])):
            assert x - 1e-6 <= end[0] <= x + wide + 1e-6
            assert y - 1e-6 <= end[1] <= y + high + 1e-6
        assert boxes[sender][1] < boxes[receiver][1]
    texts = [t.get_text() for t in figure.axes[0].texts]
    assert "raises the metric by 2 nats at most" in texts
    assert "lowers the metric by 0.5 nats at most" in texts


@pytest.mark.parametrize("count", [1, 6, 16])
def test_circuit_stays_legible(count):
    """No box on another, and no curve through a box that it does not join."""
    rng = np.random.default_rng(count)
    edges = np.triu(rng.normal(size=(count, count + 1)), 1) ** 3
    names = [f"blocks_{i // 2} {('attention', 'feedforward')[i % 2]}" for i in range(count)]
    figure = visualization.circuit_graph(edges, names)
    curves, boxes = drawn_edges(figure), node_boxes(figure)
    assert len(curves) <= 24
    assert {end for name in curves for end in name.split(" → ")} == set(boxes)
    areas = list(boxes.values())
    for i, (x, y, wide, high) in enumerate(areas):
        for x_, y_, wide_, high_ in areas[:i]:
            assert x + wide < x_ or x_ + wide_ < x or y + high < y_ or y_ + high_ < y
    for name, (curve, _, _) in curves.items():
        for other, (x, y, wide, high) in boxes.items():
            within = (x < curve[:, 0]) & (curve[:, 0] < x + wide)
            within &= (y < curve[:, 1]) & (curve[:, 1] < y + high)
            assert other in name.split(" → ") or not within.any(), f"{name} through {other}"


def test_circuit_draws_the_strongest_edges_alone():
    edges = np.triu(np.arange(1.0, 13.0).reshape(3, 4), 1)
    figure = visualization.circuit_graph(edges, ["a", "b", "c"], limit=2)
    assert list(drawn_edges(figure)) == ["b → outputs", "c → outputs"]
    assert set(node_boxes(figure)) == {"b", "c", "outputs"}
    assert "the 2 strongest of 6 edges" in [t.get_text() for t in figure.axes[0].texts]
    nothing = visualization.circuit_graph(np.zeros((2, 3)), ["a", "b"])
    assert not drawn_edges(nothing)
    assert set(node_boxes(nothing)) == {"a", "b", "outputs"}


def test_raster_has_a_mark_for_each_spike():
    spikes = np.zeros((4, 3))
    spikes[0, 2] = spikes[3, 0] = 1
    raster, rate = visualization.spike_raster(spikes).axes
    points = raster.collections[0].get_offsets().tolist()
    assert sorted(points) == [[1, 2], [4, 0]]
    np.testing.assert_allclose(rate.lines[0].get_ydata(), [1 / 3, 0, 0, 1 / 3])


def test_raster_keeps_the_most_active_units_in_their_order():
    spikes = np.zeros((4, 3))
    spikes[:2, 0] = spikes[:3, 2] = 1
    raster, _ = visualization.spike_raster(spikes, limit=2).axes
    rows = {tuple(p) for p in raster.collections[0].get_offsets().tolist()}
    assert rows == {(1, 0), (2, 0), (1, 1), (2, 1), (3, 1)}
    assert raster.get_ylabel() == "unit (2 of 3)"


def test_raster_draws_potentials_and_threshold():
    spikes = np.zeros((4, 2))
    spikes[0, 1] = 1
    potential = np.arange(8.0).reshape(4, 2)
    _, below = visualization.spike_raster(spikes, membrane=potential, threshold=2.5).axes
    np.testing.assert_allclose(below.lines[0].get_ydata(), potential[:, 1])
    assert list(below.lines[2].get_ydata()) == [2.5, 2.5]


def test_attention_is_a_picture_a_head_row_a_query():
    first, second = RNG.dirichlet(np.ones(4), (2, 3)), RNG.dirichlet(np.ones(4), (2, 3))
    axes = visualization.attention_maps({"a": first, "b": second}).axes[0]
    shown = [image.get_array() for image in axes.images]
    for got, want in zip(shown, [*first, *second], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)
    assert [image.get_clim() for image in axes.images] == [
        pytest.approx((0, w.max())) for w in [*first, *second]
    ]
    words = {text.get_text() for text in axes.texts}
    assert {"a", "b", "head 1", "head 2", "query", "key"} <= words
    np.testing.assert_allclose(
        visualization.attention_maps(first).axes[0].images[1].get_array(), first[1], rtol=1e-6
    )


def test_sparsity_has_a_point_for_each_layer_and_measure():
    values = {"zeros": {"one": 0.2, "two": 0.9}, "Hoyer": {"two": 0.4, "three": 0.5}}
    axes = visualization.sparsity_bars(values).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["one", "two", "three"]
    points = {
        c.get_label(): c.get_offsets().tolist()
        for c in axes.collections
        if not c.get_label().startswith("_")
    }
    assert points == {"zeros": [[0.2, 0], [0.9, 1]], "Hoyer": [[0.4, 1], [0.5, 2]]}


def test_confusion_writes_the_counts_where_they_happened():
    axes = visualization.confusion_matrix([[8, 2], [0, 5]], ["cat", "dog"]).axes[0]
    counts = {text.get_position(): text.get_text() for text in axes.texts}
    assert counts == {(0, 0): "8", (1, 0): "2", (1, 1): "5"}
    shares = axes.images[0].get_array()
    assert shares[0, 0] > 0 > shares[0, 1]  # right and wrong are shaded apart
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: visualization.kan_edges(LINE, CURVES[:5]), "`curves` is .*needs shape"),
        (lambda: visualization.kan_network([np.ones((2, 3)), np.ones((2, 3))]), "`strengths`"),
        (lambda: visualization.kan_network([]), "at least one layer"),
        (
            lambda: visualization.kan_network([np.ones((2, 3))], curves=[np.ones((9, 3, 2))]),
            r"`curves` .* needs shape \(points, 2, 3\)",
        ),
        (lambda: visualization.spike_raster(np.ones(3)), r"needs shape \(time, units\)"),
        (
            lambda: visualization.spike_raster(np.ones((3, 2)), membrane=np.ones(3)),
            "`membrane` is .*needs shape",
        ),
        (lambda: visualization.attention_maps(np.ones((2, 2))), "choose one example"),
        (lambda: visualization.similarity_map(np.ones((2, 2)), ["a"]), r"shape \(1, 1\)"),
        (lambda: visualization.unit_map({"a": np.array([2.0])}), r"shares in \[0, 1\]"),
        (lambda: visualization.confusion_matrix(np.ones((2, 3))), "`matrix` is .*needs shape"),
        (lambda: visualization.confusion_matrix(np.eye(2), ["a"]), "`class_names` .*2 names"),
        (lambda: visualization.sparsity_bars({}), "at least one measure"),
        (
            lambda: visualization.circuit_graph(np.ones((2, 2)), ["a", "b"]),
            r"circuit_graph: `edges` is .*needs shape \(2, 3\)",
        ),
        (
            lambda: visualization.circuit_graph(np.ones((2, 3)), ["a", "b"]),
            "circuit_graph: `edges` is .*nothing but 0 from a part to itself",
        ),
        (
            lambda: visualization.circuit_graph(np.full((1, 2), np.nan), ["a"]),
            "circuit_graph: `edges` is .*finite numbers",
        ),
        (
            lambda: visualization.circuit_graph([[0.0, 1.0]], ["a"], limit=0),
            "circuit_graph: `limit` is 0; it needs a number of at least 1",
        ),
    ],
)
def test_rejects(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def test_draws_into_axes_of_a_larger_figure():
    figure = Figure()
    axes = figure.subplots(2, 2)
    assert visualization.confusion_matrix(np.eye(2), axes=axes[0, 0]) is figure
    assert visualization.attention_maps(np.ones((1, 2, 2)), axes=axes[0, 1]) is figure
    assert visualization.spike_raster(np.ones((3, 2)), axes=[axes[1, 0], axes[1, 1]]) is figure
