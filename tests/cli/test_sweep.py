"""``jaxnn sweep``: chosen options, resumed where it was cut short."""

import json

import pytest

from jaxnn.cli import _sweep, main
from jaxnn.cli._parse import UsageError

optuna = pytest.importorskip("optuna", reason="extra `sweep`")

TRAIN = ["mlp", "digits", "--steps", "6", "--record-every", "3", "--evaluate-every", "6"]
SEARCH = ["--search", "learning-rate=1e-3:1e-1:log", "--search", "hidden=4|8|'4 4'"]


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("learning_rate=1e-4:0.1:log", _sweep.Choice("learning-rate", (), 1e-4, 0.1, True)),
        ("--hidden=32:256", _sweep.Choice("hidden", (), 32, 256)),
        ("dropout=0:0.5", _sweep.Choice("dropout", (), 0, 0.5)),
        ("hidden=64|'128 64'", _sweep.Choice("hidden", ("64", "128 64"))),
    ],
)
def test_choices_are_read(text, want):
    assert _sweep.parse_choice(text) == want


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("hidden", "needs OPTION=LOW:HIGH, or OPTION=A"),
        ("hidden=32", "needs two values or more"),
        ("hidden=a:b", "needs two numbers"),
        ("hidden=3:2", "needs LOW < HIGH"),
        ("decay=0:1:log", "needs 0 < LOW < HIGH"),
    ],
)
def test_what_is_no_choice_is_named(text, match):
    with pytest.raises(UsageError, match=match):
        _sweep.parse_choice(text)


def sweep(tmp_path, capsys, *more):
    command = ["sweep", *TRAIN, *SEARCH, "--runs", str(tmp_path), "--json", *more]
    assert main(command) == 0
    return json.loads(capsys.readouterr().out)


def test_goes_on_where_it_was_cut_short(tmp_path, capsys, monkeypatch):
    """Stopped inside its second trial, and asked for one more afterwards."""
    whole = sweep(tmp_path / "whole", capsys, "--trials", "3")
    assert len(whole["trials"]) == 3
    values = [trial["test_loss"] for trial in whole["trials"]]
    assert values == sorted(values)

    calls = []
    run_training = _sweep.run_training

    def killed(*args, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return run_training(*args, **options)

    monkeypatch.setattr(_sweep, "run_training", killed)
    command = ["sweep", *TRAIN, *SEARCH, "--runs", str(tmp_path / "cut"), "--trials", "2"]
    assert main(command) == 130
    capsys.readouterr()
    two = sweep(tmp_path / "cut", capsys, "--trials", "2")
    assert len(two["trials"]) == 2
    got = sweep(tmp_path / "cut", capsys, "--trials", "3")
    assert len(calls) == 4  # one finished, one cut, it again, one more
    shared = [t for t in got["trials"] if t["folder"] in ("trial-000", "trial-001")]
    assert shared == [t for t in whole["trials"] if t["folder"] in ("trial-000", "trial-001")]
    folders = {trial["folder"] for trial in got["trials"]}
    assert all(
        (tmp_path / "cut" / "sweep-mlp-digits" / f / "config.json").is_file() for f in folders
    )
    assert len({(t["learning-rate"], t["hidden"]) for t in got["trials"]}) == 3
    assert got["command"].startswith("jaxnn train mlp digits --steps 6")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ([], "needs --search OPTION=VALUES"),
        (["--search", "hiden=1|2"], "hiden"),
        (["--search", "hidden=4|8", "--trials", "0"], "--trials is 0; needs >= 1"),
        (["--search", "hidden=4|8", "--trials", "x"], "--trials"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(tmp_path, capsys, more, says):
    assert main(["sweep", "mlp", "digits", "--runs", str(tmp_path / "runs"), *more]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_another_search_in_the_same_folder_is_refused(tmp_path, capsys):
    folder = tmp_path / "sweep-mlp-digits"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    command = ["sweep", *TRAIN, "--runs", str(tmp_path), "--trials", "1"]
    assert main([*command, *SEARCH]) == 2
    assert "exists and is no sweep" in capsys.readouterr().err
    (folder / "notes.txt").unlink()
    (folder / "sweep.json").write_text('{"train": [], "search": [], "metric": "test_loss"}')
    assert main([*command, *SEARCH]) == 2
    assert "was begun with train = []" in capsys.readouterr().err
