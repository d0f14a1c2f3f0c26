import re
import subprocess
import sys
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np

from jaxnn.analysis import visualization

NAMESPACE = "{http://www.w3.org/2000/svg}"


def picture(scale=1.0):
    rng = np.random.default_rng(0)
    images = scale * rng.uniform(size=(2, 4, 4))
    return visualization.attribution_panels(images, {"a": images - 0.5})


def figures():
    rng = np.random.default_rng(0)
    line = np.linspace(-1, 1, 7)
    return [
        picture(),
        visualization.learning_curves([{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}]),
        visualization.spike_raster(rng.uniform(size=(5, 4)) < 0.3),
        visualization.kan_edges(line, rng.normal(size=(7, 2, 2)), data=rng.normal(size=(9, 2))),
        visualization.attribution_text(["costs", "$5$", "<b>\n"], rng.normal(size=3)),
        visualization.attribution_series(
            rng.normal(size=(9, 2)), rng.normal(size=(9, 2)), x=np.arange(9.0) ** 2
        ),
        visualization.feature_swarm(rng.normal(size=(9, 2)), rng.normal(size=(9, 2)), "xy"),
    ]


def test_equal_figures_give_equal_text():
    assert visualization.to_svg(picture()) == visualization.to_svg(picture())
    assert visualization.to_svg(picture()) != visualization.to_svg(picture(0.3))


def test_is_xml_and_needs_nothing_from_elsewhere():
    for figure in figures():
        svg = visualization.to_svg(figure, description='<"what" & why>')
        root = ElementTree.fromstring(svg)
        assert root.tag == f"{NAMESPACE}svg"
        assert root.get("aria-label") == '<"what" & why>'
        assert svg.count("http") == 1  # the namespace
        assert "<metadata" not in svg
        assert "<?xml" not in svg
        for element in root.iter():
            href = element.get("href", "#")
            assert href.startswith(("#", "data:image/png;base64,"))


def test_names_are_unique_on_a_page_and_lead_somewhere():
    pages = [visualization.to_svg(figure) for figure in [*figures(), picture(0.3)]]
    names = [name for page in pages for name in re.findall(r' id="([^"]+)"', page)]
    assert len(names) == len(set(names)) > 0
    for page in pages:
        own = set(re.findall(r' id="([^"]+)"', page))
        used = re.findall(r'(?:url\(|href=")#([^")]+)', page)
        assert own == set(used)


def test_text_stays_text():
    svg = visualization.to_svg(
        visualization.confusion_matrix(np.eye(2), ["<b>cat</b>", "$dog$ & co"])
    )
    texts = ["".join(t.itertext()) for t in ElementTree.fromstring(svg).iter(f"{NAMESPACE}text")]
    assert {"<b>cat</b>", "$dog$ & co", "predicted"} <= set(texts)
    assert "<b>" not in svg


def test_pixels_are_kept_as_they_are():
    """An 8-bit picture of 4 by 4 pixels, not one resampled to the figure's resolution."""
    import base64
    import io

    from PIL import Image

    svg = visualization.to_svg(picture())
    found = re.findall(r"data:image/png;base64,\s*([^\"]+)", svg)
    assert len(found) == 4
    for data in found:
        assert Image.open(io.BytesIO(base64.b64decode(data))).size == (4, 4)
    assert len(svg) < 15_000


def test_shared_style_is_hoisted_only_where_it_means_the_same():
    svg = visualization.to_svg(figures()[2])
    root = ElementTree.fromstring(svg)
    uses = list(root.iter(f"{NAMESPACE}use"))
    assert uses
    for element in root.iter(f"{NAMESPACE}g"):
        assert not re.search(r"(^|[; ])opacity:", element.get("style", ""))


def test_settings_outside_stay_as_they_were():
    before = dict(mpl.rcParams)
    visualization.to_svg(picture())
    assert dict(mpl.rcParams) == before


def test_importing_draws_nothing_in():
    """matplotlib comes with the first figure; pyplot, with its global figures, never."""
    program = (
        "import sys\n"
        "from jaxnn.analysis import visualization as v\n"
        "assert 'matplotlib' not in sys.modules\n"
        "v.to_svg(v.learning_curves([{'step': 1, 'loss': 1.0}]))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
