"""``jaxnn train`` killed and resumed ends with the bits of a run that nobody killed."""

import sys

import pytest

from jaxnn.cli._evaluate import load_run
from tests.train.killing import finish, kill_when, recorded, saved, start
from tests.train.toys import assert_same_bits, without_seconds


@pytest.mark.slow  # tests/train/test_kill.py kills the library's own run each time
def test_a_killed_run_resumes_to_the_same_bits(tmp_path):
    def command(name, *more):
        options = ["--steps", "6000", "--batch-size", "32", "--hidden", "16", "--ema-decay", "0.9"]
        options += ["--record-every", "35", "--checkpoint-every", "500", "--evaluate-every", "900"]
        where = ["--name", name, "--runs", tmp_path]
        return [
            sys.executable,
            "-m",
            "jaxnn.cli",
            "train",
            "mlp",
            "digits",
            *options,
            *where,
            *more,
        ]

    whole = start(command("whole"))
    folder = tmp_path / "killed"
    kill_when(command("killed"), lambda: recorded(folder))
    kill_when(command("killed", "--resume"), lambda: saved(folder))
    finish(start(command("killed", "--resume")))
    finish(whole)
    got, want = load_run("killed", tmp_path), load_run("whole", tmp_path)
    assert got.state.step == 6000
    arrays = [(s.step, s.params, s.opt_state, s.key, s.ema) for s in (got.state, want.state)]
    assert_same_bits(*arrays)
    assert without_seconds(got.history) == without_seconds(want.history)
    assert without_seconds(got.run.records()) == without_seconds(want.run.records())
