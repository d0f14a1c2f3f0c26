import io
import subprocess
import sys

import pytest

from jaxnn import train
from jaxnn.train._progress import Progress
from tests.train.toys import examples, new_state, step_of

RECORD = {"step": 30, "seconds": 1.0, "loss": 0.12345, "accuracy": 0.5, "test_accuracy": 0.75}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(monkeypatch, show, *, width=120, stream=io.StringIO, **options):
    monkeypatch.setenv("COLUMNS", str(width))
    error = stream()
    monkeypatch.setattr(sys, "stderr", error)
    with Progress(show, **{"total": 40, "done": 10} | options) as bar:
        bar.update(30, RECORD)
    return error.getvalue()


def test_shows_where_it_is_how_fast_and_the_values(monkeypatch):
    text = shown(monkeypatch, True)
    assert "training" in text
    assert "30/40" in text
    assert "/s" in text
    assert "loss 0.123  accuracy 0.5  test_accuracy 0.75" in text
    assert "seconds 1" not in text


def test_the_rate_is_of_this_calls_steps(monkeypatch):
    """Ten of the thirty were made before: 20 steps in 4 seconds."""
    clock = iter([100.0, 104.0])
    monkeypatch.setattr("jaxnn.train._progress.time.perf_counter", lambda: next(clock))
    assert " 5/s" in shown(monkeypatch, True)


@pytest.mark.parametrize("width", [60, 80])
def test_a_narrow_terminal_cuts_the_values_only(monkeypatch, width):
    text = shown(monkeypatch, True, width=width)
    assert "training ━" in text
    assert "30/40" in text
    assert "loss 0.12" in text
    assert max(map(len, text.splitlines())) <= width


def test_a_label_stands_in_front(monkeypatch):
    assert "mlp" in shown(monkeypatch, "mlp")


def test_silent_when_told_or_when_nobody_looks(monkeypatch):
    assert shown(monkeypatch, False, stream=Terminal) == ""
    assert shown(monkeypatch, None) == ""
    assert "30/40" in shown(monkeypatch, None, stream=Terminal)


def test_fit_shows_it(capsys):
    def fit(progress):
        train.fit(new_state(), step_of(), examples(), steps=4, batch_size=7, progress=progress)
        return capsys.readouterr()

    loud, silent = fit("toy"), fit(False)
    assert loud.out == ""
    assert "toy" in loud.err
    assert "4/4" in loud.err
    assert "loss" in loud.err
    assert silent == ("", "")


def test_rich_is_imported_only_for_a_bar():
    """Flax and Orbax may bring it along; this file must not ask for it."""
    code = (
        "import sys; import jaxnn.train._progress as p; before = 'rich.progress' in sys.modules\n"
        "with p.Progress(False, total=1, done=0) as bar: bar.update(1)\n"
        "assert ('rich.progress' in sys.modules) == before == False"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
