import html
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from jaxnn.analysis import visualization
from jaxnn.cli import _report
from jaxnn.cli._analysis_parts import FigureEntry, ModelAnalysis

EVIL = '<script>alert("1 & 2")</script>'
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """The page's text, tags and attributes, and whether every element is closed in its turn."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], [], []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def figure(title="A picture", name="a"):
    rng = np.random.default_rng(0)
    images = rng.uniform(size=(2, 4, 4))
    drawn = visualization.attribution_panels(images, {name: images - 0.5})
    return FigureEntry(title=title, caption="Look here.", svg=visualization.to_svg(drawn))


def wide_figure():
    weights = np.random.default_rng(0).dirichlet(np.ones(4), (8, 4))
    svg = visualization.to_svg(visualization.attention_maps(weights))
    return FigureEntry(title="Wide", caption="Scrolls in its own box.", svg=svg)


def run(name="kan", **changes):
    options = {
        "name": name,
        "model": "KAN",
        "dataset": "digits",
        "config": {"hidden": (32, 16), "learning_rate": 0.0123, "training": {"steps": 77}},
        "parameters": 21312,
        "seconds": 12.34,
        "steps_per_second": 56.7,
        "metrics": {"test_accuracy": 0.9789, "test_loss": 0.1357},
        "history": [{"step": s, "test_accuracy": a} for s, a in ((10, 0.4), (20, 0.9))],
        "analysis": ModelAnalysis(
            measures={
                "completeness_gap": 0.0321,
                "attribution_focus": 0.7654,
                "strange_measure": 0.4321,
                "by_layer": {"hidden_0": {"silent": 0.111, "hoyer": 0.222}},
            },
            figures=(figure(), wide_figure()),
        ),
    }
    return _report.Run(**(options | changes))


def write(path, *runs, **options):
    target = path / "folder" / "report.html"
    defaults = {"title": "A title", "seed": 3, "machine": {"device": "cpu"}}
    assert _report.write_report(target, runs=runs, **(defaults | options)) == target
    return target.read_text(encoding="utf-8")


def plain(page):
    text = "".join(Page(page).text)
    return re.sub(r"\s+", " ", text.replace("\N{NO-BREAK SPACE}", " "))


def test_every_number_of_a_run_is_on_the_page(tmp_path):
    text = plain(write(tmp_path, run()))
    for said in (
        *("A title", "seed 3", "digits", "run kan", "device cpu"),
        *("97.9 %", "0.14", "21 312", "12.3 s", "56.7"),  # results, size, speed
        *("3.2 %", "0.77", "strange measure", "0.43"),  # scalar measures, known or not
        *("hidden_0", "11.1 %", "0.22"),  # a layer's
        *("learning rate", "0.0123", "32, 16", "steps", "77"),  # the configuration
        *("A picture", "Look here."),
    ):
        assert said in text.replace("learning_rate", "learning rate"), said


def test_is_well_formed_html_with_each_id_once(tmp_path):
    page = Page(write(tmp_path, run("a"), run("b"), run("c", analysis=None)))
    assert page.open == []
    ids = [value for _, name, value in page.attributes if name == "id"]
    # Equal figures have equal names inside, which is harmless but not pretty: none here.
    anchors = [value for value in ids if value.startswith("run-")]
    assert len(anchors) == len(set(anchors)) == 3
    links = {value[1:] for tag, name, value in page.attributes if (tag, name) == ("a", "href")}
    assert links == set(anchors)


def test_asks_for_nothing_and_runs_nothing(tmp_path):
    source = write(tmp_path, run("a"), run("b", model="MLP"))
    page = Page(source)
    assert "script" not in page.tags
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    for tag, name, value in page.attributes:
        if name in ("href", "src", "xlink:href", "srcset", "data", "action"):
            assert value.startswith(("#", "data:")), (tag, name, value)
    assert "http:" not in source
    assert "https:" not in source
    assert "@import" not in source
    assert not re.search(r"url\((?!#)", source)


def test_names_from_outside_are_escaped(tmp_path):
    evil = run(
        EVIL,
        model=EVIL,
        dataset=EVIL,
        config={EVIL: EVIL},
        description=EVIL,
        metrics={EVIL: 0.5},
        analysis=ModelAnalysis(
            measures={EVIL: 0.1, "by_layer": {EVIL: {EVIL: 0.2}}},
            figures=(figure(EVIL, EVIL),),
        ),
    )
    other = run("b", model="MLP")
    page = write(tmp_path, evil, other, title=EVIL, machine=EVIL, command=EVIL)
    assert "<script" not in page
    assert "script" not in Page(page).tags
    assert plain(page).count(EVIL) > 10


def test_the_best_of_several_runs_stand_out(tmp_path):
    better = run("a", model="A", metrics={"test_accuracy": 0.99}, parameters=100)
    worse = run("b", model="B", metrics={"test_accuracy": 0.98}, parameters=50)
    page = write(tmp_path, better, worse)
    best = re.findall(r'<td class="best">([^<]*)', page)
    assert [b.strip() for b in best] == ["99.0\N{NO-BREAK SPACE}%", "50"]
    assert 'class="best"' not in write(tmp_path, better)


def test_runs_are_compared_in_one_picture(tmp_path):
    page = write(tmp_path, run("a", model="A"), run("b", model="B"))
    assert "Who learns how fast" in page
    assert "Who learns how fast" not in write(tmp_path, run("a"))


def test_runs_of_one_model_keep_apart(tmp_path):
    text = plain(write(tmp_path, run("first"), run("second")))
    assert "KAN, first" in text
    assert "KAN, second" in text


def test_a_regression_speaks_of_errors(tmp_path):
    page = plain(
        write(
            tmp_path, run(task="regression", metrics={"test_absolute_error": 41.5}, analysis=None)
        )
    )
    assert "test error" in page
    assert "41.5" in page
    assert "test accuracy" not in page


def test_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    first = write(tmp_path, run("a"))

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path, run("b"))
    folder = tmp_path / "folder"
    assert [path.name for path in folder.iterdir()] == ["report.html"]
    assert (folder / "report.html").read_text(encoding="utf-8") == first


@pytest.mark.parametrize("runs", [[], [run("a"), run("a")]])
def test_rejects_no_runs_and_equal_names(tmp_path, runs):
    with pytest.raises(ValueError, match="write_report: `runs` has the names"):
        write(tmp_path, *runs)


def test_figures_take_the_pages_colours_and_width():
    svg = _report.inline(figure().svg)
    assert svg.startswith("<svg")
    assert "var(--rule,#d5d9e0)" in svg
    assert "xmlns" not in svg
    ElementTree.fromstring(svg)
    (width,) = re.findall(r"--w:(\d+)px", svg)
    (least,) = re.findall(r"min-width:(\d+)px", svg)
    assert int(least) == pytest.approx(0.75 * int(width), abs=1)
    # Numbers inside pictures are not styles.
    assert svg.count("data:image/png;base64") == figure().svg.count("data:image/png;base64") == 4


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (26122, "26 122"),
        (1234567.8, "1 234 568"),
        (0.4567, "0.46"),
        (12.34, "12.3"),
        (0.01234, "0.0123"),
        (0.0, "0"),
        (-3.0, "-3"),
        (1e-7, "1.0e-07"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
    ],
)
def test_numbers_are_written_for_people(value, text):
    assert _report.number(value).replace("\N{NARROW NO-BREAK SPACE}", " ") == text


@pytest.mark.parametrize(
    ("value", "text"), [(1, "100.0 %"), (0.0, "0.0 %"), (1e-5, "< 0.1 %"), (0.12345, "12.3 %")]
)
def test_shares_are_written_in_per_cent(value, text):
    assert _report.percent(value).replace("\N{NO-BREAK SPACE}", " ") == text


@pytest.mark.parametrize(("value", "text"), [(8.31, "8.3 s"), (125.2, "2 min 5 s")])
def test_durations(value, text):
    assert _report.seconds(value).replace("\N{NO-BREAK SPACE}", " ") == text


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.skipif(BROWSER is None, reason="no Chromium to lay the page out")
@pytest.mark.parametrize("width", [360, 390, 1200])
def test_the_page_fits_the_screen(tmp_path, width):
    """In a frame of the width, since a headless window has a least one of its own."""
    runs = [
        run("a", model="Vision transformer", config={"a_long_name_of_an_option" * 4: "x" * 90}),
        run("b", model="A model of a very long name indeed"),
    ]
    page = write(tmp_path, *runs, command="jaxnn demo " + "--an-option " * 20)
    probe = (
        f'<body><iframe srcdoc="{html.escape(page)}" style="border:0;height:900px;'
        f'width:{width}px"></iframe><script>onload=()=>{{const d=frames[0].document;'
        "document.title=[d.documentElement.scrollWidth,d.querySelectorAll('svg').length,"
        "[...d.querySelectorAll('svg')].map(s=>s.clientWidth)].join(' ')}</script>"
    )
    (tmp_path / "probe.html").write_text(probe)
    command = [
        BROWSER,
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        f"--user-data-dir={tmp_path / 'profile'}",
        *("--window-size=1400,1000", "--dump-dom", (tmp_path / "probe.html").as_uri()),
    ]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    found = re.search(r"<title>(\d+) (\d+) ([\d,]+)</title>", dom)
    assert found, dom[-500:]
    assert int(found.group(1)) <= width
    assert int(found.group(2)) == 5
    assert min(int(w) for w in found.group(3).split(",")) > 100
