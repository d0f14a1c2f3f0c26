"""A small model of text: trained, resumed, scored, analysed, and made to write."""

import json
import math
import shutil

import jax
import numpy as np
import pytest

from jaxnn.cli import main
from jaxnn.cli._analysis_inside import _evenness
from jaxnn.cli._evaluate import load_run
from jaxnn.cli._tasks import SCORED, load_task

TEXT = "the cat sat on the mat. the dog sat on the log. \N{CAT FACE}\n" * 60
SIZES = ["--width", "16", "--depth", "1", "--num-heads", "2", "--hidden", "16", "--context", "24"]
SHORT = ["--steps", "40", "--batch-size", "16", "--record-every", "20", "--learning-rate", "0.02"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train once, on a text of one's own."""
    folder = tmp_path_factory.mktemp("gpt")
    (folder / "cats.txt").write_text(TEXT, encoding="utf-8")
    argv = ["train", "gpt", str(folder / "cats.txt"), *SIZES, *SHORT, "--name", "cats"]
    assert main([*argv, "--runs", str(folder / "runs"), "--json"]) == 0
    return folder, argv


@pytest.fixture
def runs(trained, monkeypatch):
    monkeypatch.chdir(trained[0])
    return trained[0] / "runs"


def line(capsys):
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    return lines[0]


def test_it_learns_and_its_loss_is_in_nats_and_bits(runs, capsys):
    records = [
        json.loads(row) for row in (runs / "cats" / "metrics.jsonl").read_text().splitlines()
    ]
    last = records[-1]
    assert last["step"] == 40
    assert last["loss"] < records[0]["loss"] < math.log(256)
    assert last["test_bits_per_byte"] == pytest.approx(last["test_loss"] / math.log(2))
    assert last["test_bits_per_byte"] < 4  # 8 for a model that knows nothing
    assert main(["evaluate", "cats", "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    assert scored["test_loss"] == pytest.approx(last["test_loss"], rel=1e-5)
    loaded = load_run("cats", runs)
    x, y = loaded.task.scored.test
    logits = np.asarray(jax.jit(loaded.network.apply)(loaded.state.variables, x), np.float64)
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    nats = -np.take_along_axis(log_probs, y[..., None].astype(int), -1).mean()
    assert scored["test_loss"] == pytest.approx(nats, rel=1e-4)


def test_a_run_of_text_resumes(runs, capsys, trained):
    _, argv = trained
    assert main([*argv, "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 40
    assert main([*argv, "--resume", "--context", "12"]) == 2
    assert "started with context = 24, not 12" in line(capsys)


def generate(capsys, *options):
    assert main(["generate", "cats", *options]) == 0
    return capsys.readouterr().out


def test_it_writes_on_from_the_prompt(runs, capsys):
    out = generate(capsys, "--prompt", "the cat", "--new-tokens", "40", "--temperature", "0")
    assert out.startswith("the cat")
    assert len(out.encode()) == 7 + 40 + 1
    # What it writes are the words it read.
    assert sum(word in TEXT.split() for word in out.split()) >= 0.5 * len(out.split())


def test_the_first_bytes_are_the_models_likeliest(runs, capsys):
    out = generate(capsys, "--prompt", "on the m", "--new-tokens", "4", "--temperature", "0")
    loaded = load_run("cats", runs)
    text = np.frombuffer(out.removesuffix("\n").encode(), np.uint8)[None]
    assert text.shape == (1, 12)
    logits = jax.jit(loaded.network.apply)(loaded.state.variables, text)
    np.testing.assert_array_equal(logits[0, 7:11].argmax(-1), text[0, 8:])


def test_samples_depend_on_the_seed_alone(runs, capsys):
    options = ["--prompt", "\N{CAT FACE} the", "--new-tokens", "15", "--num-samples", "2", "--json"]
    first, again, other = (
        json.loads(generate(capsys, *options, "--seed", seed)) for seed in ("1", "1", "2")
    )
    assert first["prompt"] == "\N{CAT FACE} the"
    assert len(first["samples"]) == 2
    assert first["samples"] == again["samples"] != other["samples"]
    assert first["samples"][0] != first["samples"][1]
    # Shown, they have a heading each.
    shown = generate(capsys, *options[:-1], "--seed", "1")
    assert "--- 2 of 2 ---\n\N{CAT FACE} the" in shown


def test_options_of_drawing_are_heard(runs, capsys):
    options = ["--prompt", "the ", "--new-tokens", "12", "--json"]
    greedy = json.loads(generate(capsys, *options, "--temperature", "0"))
    one = json.loads(generate(capsys, *options, "--top-k", "1", "--seed", "5"))
    assert one["samples"] == greedy["samples"]
    free = ["--temperature", "50", "--top-k", "0", "--top-p", "1"]
    assert json.loads(generate(capsys, *options, *free))["samples"] != greedy["samples"]


def test_it_writes_when_its_text_is_gone(runs, trained, tmp_path, capsys, monkeypatch):
    text = trained[0] / "cats.txt"
    moved = shutil.move(text, tmp_path / "cats.txt")
    try:
        assert generate(capsys, "--new-tokens", "3", "--prompt", "the ").startswith("the ")
        assert main(["evaluate", "cats"]) == 2
        assert "no such file" in line(capsys)
    finally:
        shutil.move(moved, text)


def test_a_run_of_text_is_analysed(runs, capsys):
    assert main(["analyze", "cats", "--json"]) == 0
    measures = json.loads(capsys.readouterr().out)
    page = (runs / "cats" / "report.html").read_text()
    for title in ("Learning", "What reading on is worth", "Where it attends", "How much of it"):
        assert title in page
    assert main(["evaluate", "cats", "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    for name in ("test_accuracy", "test_bits_per_byte"):
        assert measures[name] == pytest.approx(scored[name], rel=1e-4)
    assert 0 < measures["attention_entropy"] <= 1
    assert 0 < measures["attention_sink"] < 1


def test_evenness_counts_what_each_row_can_see():
    even = np.tril(np.ones((4, 4)))
    even /= even.sum(-1, keepdims=True)
    assert _evenness(even[None]) == pytest.approx(1)
    assert _evenness(np.eye(4)[None]) == pytest.approx(0)
    assert _evenness(np.full((2, 3, 3), 1 / 3)) == pytest.approx(1)


def test_the_standard_library_is_cut_into_windows():
    task = load_task("stdlib-text", context=64)
    assert task.input_shape == (64,)
    assert task.outputs == 256
    x, y = task.dataset.train
    np.testing.assert_array_equal(x[5, 1:], y[5, :-1])
    assert len(task.scored.test.x) == len(task.scored.train.x) == SCORED < len(task.dataset.test.x)
    rows = {row.tobytes() for row in task.dataset.test.x}
    assert all(row.tobytes() in rows for row in task.scored.test.x)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["train", "gpt", "digits"], "'digits' is no text; gpt reads stdlib-text"),
        (["train", "gpt", "missing.txt"], "missing.txt"),
        (["train", "gpt", "cats.txt", "--context", "5000"], "--context 5000 needs a window"),
        (["train", "gpt", "cats.txt", "--context", "0"], "`length` is 0"),
        (["train", "gpt", "cats.txt", "--context", "1"], "`context` is 1; it needs at least 2"),
        (["train", "gpt", "cats.txt", "--key-heads", "3"], "`key_heads` is 3"),
        (["train", "mlp", "stdlib-text"], "one long sequence"),
        (["generate", "nowhere"], "no run at runs/nowhere"),
        (["generate", "cats", "--prompt", ""], "--prompt is ''; needs at least one"),
        (["generate", "cats", "--new-tokens", "0"], "--new-tokens is 0"),
        (["generate", "cats", "--temperature", "-1"], "--temperature is -1.0"),
        (["generate", "cats", "--top-k", "-1"], "--top-k is -1"),
        (["generate", "cats", "--top-p", "1.5"], "--top-p is 1.5; needs a number in (0, 1]"),
        (["generate", "cats", "--min-p", "2"], "--min-p is 2.0"),
        (["generate", "cats", "--repetition-penalty", "0"], "--repetition-penalty is 0.0"),
        (["generate", "cats", "--num-samples", "0"], "--num-samples is 0"),
        (["generate", "cats", "--seed", "-1"], "--seed is -1"),
        (["generate", "cats", "--top-q", "1"], "--top-q"),
    ],
)
def test_a_mistake_is_one_line_and_code_2(runs, capsys, argv, says):
    before = sorted(path.name for path in runs.iterdir())
    assert main(argv) == 2
    assert says in line(capsys)
    assert sorted(path.name for path in runs.iterdir()) == before


def test_a_run_of_another_kind_writes_nothing(runs, capsys, tmp_path):
    config = json.loads((runs / "cats" / "config.json").read_text()) | {"model": "mlp"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert main(["generate", str(tmp_path)]) == 2
    assert "holds a MLP, which writes no text" in line(capsys)
