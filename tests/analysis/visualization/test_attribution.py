import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_hex

from jaxnn.analysis import visualization

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(3, 4, 5)).astype(np.float32)
MAPS = {"one": RNG.normal(size=(3, 4, 5)), "two": 100 * RNG.normal(size=(3, 4, 5))}


def test_panels_hold_the_images_and_the_maps_row_by_row():
    axes = visualization.attribution_panels(IMAGES, MAPS).axes[0]
    shown = [image.get_array() for image in axes.images]
    assert len(shown) == 3 * 3
    for row in range(3):
        want = [IMAGES[row], MAPS["one"][row], MAPS["two"][row]]
        for got, array in zip(shown[3 * row : 3 * row + 3], want, strict=True):
            np.testing.assert_allclose(got, array, rtol=1e-6)


def test_panels_stand_in_their_row_and_column():
    images = visualization.attribution_panels(IMAGES, MAPS).axes[0].images
    boxes = np.asarray([image.get_extent() for image in images]).reshape(3, 3, 4)
    assert (np.diff(boxes[:, :, 0], axis=1) > 1).all()  # to the right, not overlapping
    assert (np.diff(boxes[:, :, 3], axis=0) > 0.8).all()  # downwards
    # The origin is at the top: row 0 of an image is its upper edge.
    assert (boxes[:, :, 2] > boxes[:, :, 3]).all()
    low, high = images[0].axes.get_ylim()
    assert low > high


def test_colours_are_symmetric_and_shared_within_a_method():
    images = visualization.attribution_panels(IMAGES, MAPS).axes[0].images
    for column, name in ((1, "one"), (2, "two")):
        scale = visualization.color_scale(MAPS[name])
        limits = [images[3 * row + column].get_clim() for row in range(3)]
        np.testing.assert_allclose(limits, [(-scale, scale)] * 3)
    apart = visualization.attribution_panels(IMAGES, MAPS, share=False).axes[0].images
    np.testing.assert_allclose(apart[4].get_clim()[1], visualization.color_scale(MAPS["one"][1]))


def test_positive_is_red_and_zero_is_white():
    image = visualization.attribution_panels(IMAGES, MAPS).axes[0].images[1]
    red, green, blue, _ = image.cmap(image.norm(image.get_clim()[1]))
    assert red > 2 * max(green, blue)
    red, green, blue, _ = image.cmap(image.norm(image.get_clim()[0]))
    assert blue > 2 * red
    assert min(image.cmap(image.norm(0.0))[:3]) > 0.95


def test_channels_are_summed():
    coloured = RNG.normal(size=(2, 4, 5, 3)).astype(np.float32)
    axes = visualization.attribution_panels(abs(coloured), {"a": coloured}).axes[0]
    np.testing.assert_allclose(axes.images[1].get_array(), coloured[0].sum(-1), rtol=1e-5)


PARTS = {
    "all": lambda v: v,
    "positive": lambda v: np.where(v > 0, v, 0),
    "negative": lambda v: np.where(v < 0, v, 0),
    "absolute": np.abs,
}


@pytest.mark.parametrize("sign", list(PARTS))
def test_a_sign_shows_its_part_on_its_own_scale(sign):
    maps = {"one": np.concatenate([MAPS["one"][:2], 9 + MAPS["one"][2:]])}
    images = visualization.attribution_panels(IMAGES, maps, sign=sign).axes[0].images[1::2]
    part = PARTS[sign](maps["one"])
    scale = visualization.color_scale(part)
    low, high = {"all": (-1, 1), "negative": (-1, 0)}.get(sign, (0, 1))
    for image, want in zip(images, part, strict=True):
        np.testing.assert_allclose(image.get_array(), want, rtol=1e-6)
        np.testing.assert_allclose(image.get_clim(), (low * scale, high * scale), rtol=1e-6)
    # The colours are those of the whole scale, which tells for from against.
    image, whole = images[0], colormaps["RdBu_r"]
    assert min(image.cmap(image.norm(0.0))[:3]) > 0.95
    for share in (0.3, 0.7, 1.0):
        colors = [image.cmap(image.norm(side * share * scale)) for side in (-1, 1)]
        if sign in ("all", "negative"):
            np.testing.assert_allclose(colors[0], whole(0.5 - share / 2), atol=0.03)
        if sign in ("all", "positive"):
            np.testing.assert_allclose(colors[1], whole(0.5 + share / 2), atol=0.03)
    if sign == "absolute":  # neither: as red as blue is neither red nor blue
        red, green, blue, _ = image.cmap(image.norm(0.8 * scale))
        assert min(red, blue) > green


def panel(inputs, values, **options):
    """Give the input's and the map's colours of the first row, (height, width, 4) each."""
    images = visualization.attribution_panels(inputs, {"a": values}, **options).axes[0].images[:2]
    first = images[0].get_array()
    shown = images[0].cmap(images[0].norm(first)) if first.ndim == 2 else first
    if shown.shape[-1] == 3:
        shown = np.concatenate([shown, np.ones((*shown.shape[:2], 1))], -1)
    return shown, np.asarray(images[1].get_array())


COLORED = RNG.normal(size=(2, 4, 5, 3)).astype(np.float32)


@pytest.mark.parametrize("inputs", [IMAGES, COLORED, COLORED[..., :2]])
@pytest.mark.parametrize("sign", list(PARTS))
def test_methods_mix_the_image_with_its_map(inputs, sign):
    values = RNG.normal(size=inputs.shape)
    part = PARTS[sign](values.sum(-1) if values.ndim == 4 else values)
    scale = visualization.color_scale(part)
    share = np.minimum(np.abs(part[0]) / scale, 1)[..., None]

    shown, alpha = panel(inputs, values, sign=sign, method="alpha")
    np.testing.assert_allclose(alpha, np.concatenate([shown[..., :3], share], -1), atol=1e-5)

    _, masked = panel(inputs, values, sign=sign, method="masked")
    if inputs.shape[-1] == 3:
        want = shown[..., :3] * share
    else:
        flat = inputs[0].mean(-1) if inputs.ndim == 4 else inputs[0]
        unit = (flat - inputs[0].min()) / np.ptp(inputs[0])
        want = colormaps["Greys"](unit * share[..., 0])[..., :3]
    np.testing.assert_allclose(masked[..., :3], want, atol=0.02)  # 256 steps of grey
    np.testing.assert_allclose(masked[..., 3], 1)

    _, blended = panel(inputs, values, sign=sign, method="blended")
    heat = visualization.attribution_panels(inputs, {"a": values}, sign=sign).axes[0].images[1]
    grey = shown[..., :3].mean(-1, keepdims=True)
    over = heat.cmap(heat.norm(part[0]))[..., :3]
    np.testing.assert_allclose(blended[..., :3], 0.4 * grey + 0.6 * over, atol=0.02)
    np.testing.assert_allclose(blended[..., 3], 1)


def test_opacity_of_an_image_stays_below_its_share():
    inputs = RNG.uniform(size=(1, 4, 5, 4)).astype(np.float32)
    shown, alpha = panel(inputs, np.ones_like(inputs), method="alpha")
    np.testing.assert_allclose(alpha, shown, atol=1e-6)
    shown, masked = panel(inputs, np.zeros_like(inputs), method="masked")
    np.testing.assert_allclose(masked[..., :3], 0)
    np.testing.assert_allclose(masked[..., 3], shown[..., 3], atol=1e-6)


def test_labels_and_marks_are_written():
    axes = visualization.attribution_panels(
        IMAGES, MAPS, labels=["a", "b $x$", "c"], marks=[False, True, False]
    ).axes[0]
    colors = {text.get_text(): to_hex(text.get_color()) for text in axes.texts}
    assert {"input", "one", "two", "a", "b $x$", "c"} == set(colors)
    assert colors["b $x$"] != colors["a"]


def captum_scale(values, outlier):
    """The rule of captum's `visualize_image_attr`, as a loop."""
    total, running = np.abs(values).sum(), 0.0
    for value in np.sort(np.abs(values).ravel()):
        running += value
        if running >= total * (100 - outlier) / 100:
            return value
    raise AssertionError


@pytest.mark.parametrize("outlier", [0.5, 2, 10, 50])
def test_scale_follows_captums_rule(outlier):
    values = RNG.standard_t(2, size=(6, 7))
    got = visualization.color_scale(values, outlier_percentile=outlier)
    np.testing.assert_allclose(got, captum_scale(values, outlier))


def test_scale_of_nothing_and_of_everything():
    assert visualization.color_scale(np.zeros(4)) == 1
    assert visualization.color_scale(np.array([1.0, -3.0]), outlier_percentile=0) == 3


def test_bars_are_ranked_by_magnitude_and_limited():
    values = {"a": [0.1, -0.9, 0.5], "b": [0.2, 0.7, 0.4]}
    axes = visualization.feature_bars(values, ["x", "y", "z"], limit=2).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["y", "z"]
    widths = [[bar.get_width() for bar in bars] for bars in axes.containers]
    assert widths == [[-0.9, 0.5], [0.7, 0.4]]
    assert axes.get_legend_handles_labels()[1] == ["a", "b"]


def test_swarm_holds_every_example_and_colours_by_value():
    a = np.stack([np.linspace(-1, 1, 20), 3 * np.linspace(1, -1, 20)], 1)
    values = np.stack([np.arange(20.0), np.arange(20.0)], 1)
    axes = visualization.feature_swarm(a, values, ["x", "y"]).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["y", "x"]
    points = {line.get_label(): line.get_xdata() for line in axes.lines}
    everything = np.concatenate([points[f"x {shade}"] for shade in range(5)])
    np.testing.assert_allclose(np.sort(everything), a[:, 0])
    np.testing.assert_allclose(points["x 0"], a[:4, 0])  # the lowest fifth of the values
    np.testing.assert_allclose(points["y 0"], a[:4, 1])


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: visualization.attribution_panels(IMAGES[0], MAPS), "`inputs` is .*needs shape"),
        (lambda: visualization.attribution_panels(IMAGES, {}), "`maps` is .*at least one"),
        (
            lambda: visualization.attribution_panels(IMAGES, {"a": IMAGES[:2]}),
            r"`maps\['a'\]` is .*\(2, 4, 5\).* needs the shape of `inputs`",
        ),
        (
            lambda: visualization.attribution_panels(IMAGES, MAPS, sign="both"),
            "attribution_panels: `sign` is 'both'; it needs one of all, positive",
        ),
        (
            lambda: visualization.attribution_panels(IMAGES, MAPS, method="heat"),
            "attribution_panels: `method` is 'heat'; it needs one of heat_map, blended",
        ),
        (lambda: visualization.color_scale(IMAGES, outlier_percentile=100), "below 100"),
        (lambda: visualization.feature_bars({"a": [1.0]}, ["x", "y"]), "each of the 2 names"),
        (lambda: visualization.feature_swarm(np.ones((2, 3)), np.ones((2, 3)), ["x"]), "1"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_rejects(call, match):
    with pytest.raises(ValueError, match=match):
        call()
