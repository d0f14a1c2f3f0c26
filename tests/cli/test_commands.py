"""The commands, in this process, as a user types them."""

import json

import numpy as np
import pytest

from jaxnn.cli import main

SMALL = ["--steps", "40", "--record-every", "20", "--evaluate-every", "40", "--hidden", "16"]


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs"


def line(capsys):
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    return lines[0]


def test_train_then_evaluate_then_resume(runs, capsys):
    assert main(["train", "mlp", "digits", *SMALL, "--name", "a", "--json"]) == 0
    trained = json.loads(capsys.readouterr().out)
    assert trained["steps"] == 40
    assert trained["parameters"] == 64 * 16 + 16 + 16 * 10 + 10
    assert {path.name for path in (runs / "a").iterdir()} >= {
        "config.json",
        "metrics.jsonl",
        "checkpoints",
    }
    records = [json.loads(row) for row in (runs / "a" / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == [20, 40]
    assert records[-1]["test_accuracy"] == pytest.approx(trained["test_accuracy"])

    assert main(["evaluate", "a", "--json"]) == 0
    evaluated = json.loads(capsys.readouterr().out)
    assert evaluated["test_accuracy"] == pytest.approx(trained["test_accuracy"])
    assert evaluated["step"] == 40

    before = (runs / "a" / "metrics.jsonl").read_text()
    assert main(["train", "mlp", "digits", *SMALL, "--name", "a", "--resume", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["test_accuracy"] == trained["test_accuracy"]
    assert (runs / "a" / "metrics.jsonl").read_text() == before


def test_a_run_is_never_overwritten(runs, capsys):
    argv = ["train", "mlp", "digits", *SMALL, "--name", "a"]
    assert main(argv) == 0
    before = {path: path.stat().st_mtime_ns for path in (runs / "a").rglob("*")}
    capsys.readouterr()
    assert main(argv) == 2
    assert "exists; continue it with --resume" in line(capsys)
    assert main([*argv, "--resume", "--learning-rate", "0.1"]) == 2
    assert "started with learning_rate = 0.003, not 0.1" in line(capsys)
    assert {path: path.stat().st_mtime_ns for path in (runs / "a").rglob("*")} == before


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["nonsense"], "unknown command 'nonsense'; the commands are demo, train"),
        (["train", "mpl", "digits"], "unknown model 'mpl'; the models are mlp, vit"),
        (["train", "mlp", "digitz"], "Did you mean 'digits'"),
        (["train", "mlp", "missing.npz"], "missing.npz"),
        (["train", "mlp", "stdlib-text"], "one long sequence"),
        (["train", "mlp", "digits", "--steps", "many"], "--steps"),
        (["train", "mlp", "digits", "--steps", "0"], "`steps` is 0"),
        (["train", "mlp", "digits", "--hidden", "0"], "`hidden` is (0,)"),
        (["train", "mlp", "digits", "--batch-size", "0"], "--batch-size"),
        (["train", "mlp", "digits", "--checkpoint-every", "0"], "--checkpoint-every"),
        (["train", "mlp", "digits", "--accumulate-steps", "7"], "divisor of the batch size"),
        (["train", "vit", "wine"], "needs images"),
        (["train", "mlp", "digits", "--resume"], "no run at runs/mlp-digits"),
        (["evaluate", "nowhere"], "no run at runs/nowhere"),
        (["analyze", "nowhere"], "no run at runs/nowhere"),
        (["claims", "nonsense"], "unknown action 'nonsense'"),
        (["demo", "--models", "mlp", "mpl"], "--models needs some of mlp, vit, spiking, kan"),
    ],
)
def test_a_mistake_is_one_line_and_code_2_and_nothing_is_written(runs, capsys, argv, says):
    assert main(argv) == 2
    assert says in line(capsys)
    assert not runs.exists()


def test_help_lists_the_commands(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for command in ("demo", "train", "evaluate", "analyze", "generate", "claims", "bench"):
        assert f"  {command} " in text
    assert main([]) == 2


@pytest.mark.parametrize(
    "argv",
    [
        ["train"],
        ["train", "kan"],
        ["evaluate"],
        ["analyze"],
        ["generate"],
        ["demo"],
        ["claims", "run"],
    ],
)
def test_every_command_has_help(capsys, argv):
    assert main([*argv, "--help"]) == 0
    assert "usage: jaxnn" in capsys.readouterr().out


def test_own_npz(runs, tmp_path, capsys):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 80).astype(np.int64)
    x = (rng.normal(size=(80, 3)) + 4 * y[:, None]).astype(np.float32)
    arrays = {"x_train": x[:60], "y_train": y[:60], "x_test": x[60:], "y_test": y[60:]}
    np.savez(tmp_path / "mine.npz", **arrays)
    assert main(["train", "mlp", "mine.npz", *SMALL, "--learning-rate", "0.05", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["test_accuracy"] >= 0.9
    assert main(["evaluate", "mlp-mine", "--json"]) == 0
    capsys.readouterr()
    arrays["y_test"] = 1 - y[60:]
    np.savez(tmp_path / "mine.npz", **arrays)
    assert main(["evaluate", "mlp-mine"]) == 2
    assert "has changed since the run" in line(capsys)


def test_own_csv_by_target_column(runs, tmp_path, capsys):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100, 2))
    rows = [f"{a:.4f},{b:.4f},{3 * a - b + 20:.4f}" for a, b in x]
    (tmp_path / "mine.csv").write_text("\n".join(["a,b,out", *rows]) + "\n")
    assert main(["train", "mlp", "mine.csv", *SMALL]) == 2
    assert "--target" in line(capsys)
    options = ["--target", "out", "--steps", "300", "--dropout", "0"]
    assert main(["train", "mlp", "mine.csv", *SMALL[2:], *options, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    # In the column's own units, whose standard deviation is about 3.
    assert result["test_absolute_error"] < 0.5


def test_damaged_config_is_one_line(runs, capsys):
    (runs / "a").mkdir(parents=True)
    (runs / "a" / "config.json").write_text('{"model": "mlp"}')
    assert main(["evaluate", "a"]) == 2
    assert "is not a run's config" in line(capsys)
    (runs / "a" / "config.json").write_text("{")
    assert main(["evaluate", "a"]) == 2
    assert "cannot be read" in line(capsys)
