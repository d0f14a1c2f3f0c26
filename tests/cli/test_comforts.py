"""``jaxnn train`` judging, tracing and guarding itself."""

import json

import pytest

from jaxnn.cli import main

OPTIONS = ["--record-every", "20", "--hidden", "16", "--runs"]


def records(run):
    return [json.loads(row) for row in (run / "metrics.jsonl").read_text().splitlines()]


def test_the_best_state_is_kept_and_patience_ends(tmp_path, capsys):
    options = ["--steps", "4000", "--learning-rate", "0.1", "--evaluate-every", "10"]
    command = ["train", "mlp", "digits", *options, *OPTIONS, str(tmp_path), "--best"]
    assert main([*command, "--patience", "3", "--name", "a"]) == 0
    captured = capsys.readouterr()
    assert "no lower test loss in 3 evaluations" in captured.err
    tested = [r for r in records(tmp_path / "a") if "test_loss" in r]
    best = min(tested, key=lambda record: record["test_loss"])
    assert tested[-1]["step"] == best["step"] + 30 < 4000
    assert main(["evaluate", "a", "--best", "--json", "--runs", str(tmp_path)]) == 0
    evaluated = json.loads(capsys.readouterr().out)
    assert evaluated["step"] == best["step"]
    assert evaluated["test_loss"] == pytest.approx(best["test_loss"], rel=1e-5)


def test_a_trace_is_written_and_operations_counted(tmp_path, capsys):
    options = ["--steps", "8", "--record-every", "2", "--hidden", "16", "--runs", str(tmp_path)]
    assert main(["train", "mlp", "digits", *options, "--profile", "--name", "a"]) == 0
    assert "of the rate of matrix products measured here" in capsys.readouterr().out
    assert list((tmp_path / "a" / "profile").rglob("*.xplane.pb"))
    assert main(["evaluate", "a", "--best", "--runs", str(tmp_path)]) == 2
    assert "kept by `jaxnn train --best`" in capsys.readouterr().err


def test_what_diverges_is_stopped_in_one_line(tmp_path, capsys):
    options = ["--steps", "60", "--learning-rate", "1e30", "--clip-norm", "0", "--warmup", "0"]
    command = ["train", "mlp", "digits", *options, *OPTIONS, str(tmp_path), "--max-skipped", "4"]
    assert main([*command, "--name", "a"]) == 1
    line = capsys.readouterr().err.strip()
    assert len(line.splitlines()) == 1
    assert "4 steps in a row" in line
    step = int(line.split("checkpoints/")[1].rstrip("."))
    assert (tmp_path / "a" / "checkpoints" / str(step)).is_dir()
    assert main([*command[:-1], "-1", "--name", "b"]) == 2
    assert "--max-skipped is -1; needs >= 0" in capsys.readouterr().err
