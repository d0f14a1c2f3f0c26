import json
import os
import stat
import subprocess
import sys
import threading

import pytest

from jaxnn import train

CONFIG = {"model": "mlp", "hidden": (8, 8), "rate": 0.1, "none": None}


@pytest.fixture
def run(tmp_path):
    return train.create_run(tmp_path / "runs" / "first", CONFIG)


def test_holds_its_config_as_json_gives_it(run):
    assert run.config == CONFIG | {"hidden": [8, 8]}
    assert json.loads((run.folder / "config.json").read_text()) == run.config
    assert train.open_run(run.folder) == run
    assert train.open_run(str(run.folder)) == run


def test_names_its_files(run):
    assert run.checkpoints == run.folder / "checkpoints"
    assert run.metrics == run.folder / "metrics.jsonl"
    checkpoints = run.open_checkpoints(keep=5)
    assert (checkpoints.folder, checkpoints.keep) == (run.checkpoints.absolute(), 5)
    assert [path.name for path in run.folder.iterdir()] == ["config.json"]
    assert [path.name for path in run.folder.parent.iterdir()] == ["first"], "nothing left over"


def test_can_be_read_by_others(run):
    """mkdtemp makes folders and files that only their owner may read."""
    assert stat.S_IMODE(run.folder.stat().st_mode) == 0o755
    assert stat.S_IMODE((run.folder / "config.json").stat().st_mode) == 0o644


@pytest.mark.parametrize("kind", ["run", "file", "empty folder"])
def test_never_overwrites(tmp_path, kind):
    folder = tmp_path / "taken"
    if kind == "run":
        train.create_run(folder, CONFIG)
    elif kind == "file":
        folder.write_text("precious")
    else:
        folder.mkdir()
    before = folder.read_text() if kind == "file" else sorted(folder.iterdir())
    with pytest.raises(
        ValueError, match=r"run .*taken exists; continue it with --resume, or choose"
    ):
        train.create_run(folder, {"other": 1})
    assert before == (folder.read_text() if kind == "file" else sorted(folder.iterdir()))
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_one_of_many_makers_wins(tmp_path):
    """Eight at once: one makes the run whole, seven are told that it exists."""
    made, refused = [], []
    barrier = threading.Barrier(8)

    def make(number):
        barrier.wait()
        try:
            made.append(train.create_run(tmp_path / "run", {"number": number}))
        except ValueError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(refused)) == (1, 7)
    assert all("exists" in line for line in refused)
    assert train.open_run(tmp_path / "run").config == made[0].config
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_appears_whole_or_not_at_all(tmp_path):
    """A config that is no JSON fails before there is a folder."""
    with pytest.raises(TypeError):
        train.create_run(tmp_path / "run", {"function": print})
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_writing_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        train.create_run(tmp_path / "run", CONFIG)
    assert list(tmp_path.iterdir()) == []


def test_runs_nearby_are_named(run):
    train.create_run(run.folder.parent / "second", CONFIG)
    with pytest.raises(ValueError, match=r"no run at .*third .*runs has first, second"):
        train.open_run(run.folder.parent / "third")
    with pytest.raises(ValueError, match=r"no run at .*config.json\)$"):
        train.open_run(run.folder / "nowhere" / "at" / "all")


def test_a_config_that_cannot_be_read_is_named(run):
    (run.folder / "config.json").write_text('{"model": ')
    with pytest.raises(ValueError, match=r"config.json cannot be read"):
        train.open_run(run.folder)


def test_records_come_back(run):
    assert run.records() == []
    records = [{"step": 1, "loss": 0.1 + 0.2}, {"step": 2, "loss": float("inf")}]
    for record in records:
        run.append(record)
    assert run.records() == records


def test_a_last_line_cut_short_is_left_out(run):
    run.append({"step": 1})
    run.append({"step": 2, "loss": 1.5})
    text = run.metrics.read_text()
    for cut in range(len(text) - 17, len(text) - 2):
        run.metrics.write_text(text[:cut])
        assert run.records() == [{"step": 1}]


def test_a_line_lost_in_the_middle_is_reported_and_the_rest_kept(run):
    run.metrics.write_text('{"step": 1}\n{"st\xff\n{"step": 3}\n', encoding="latin-1")
    with pytest.warns(UserWarning, match=r"metrics.jsonl: line 2 cannot be read"):
        assert run.records() == [{"step": 1}, {"step": 3}]


def test_records_after_the_restored_step_are_dropped_by_rewriting(run):
    for step in (1, 2, 3):
        run.append({"step": step})
    with run.metrics.open("a") as file:
        file.write('{"step": 4, "lo')
    run.rewrite([{"step": 1}, {"step": 2}])
    assert run.records() == [{"step": 1}, {"step": 2}]
    run.append({"step": 3})
    assert [record["step"] for record in run.records()] == [1, 2, 3]


def test_rewriting_is_atomic(run, monkeypatch):
    run.append({"step": 1})

    def fail(*_):
        raise OSError("killed here")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="killed here"):
        run.rewrite([])
    assert run.records() == [{"step": 1}]
    assert {path.name for path in run.folder.iterdir()} == {"config.json", "metrics.jsonl"}


HOLDER = """
import sys
from jaxnn import train
with train.open_run(sys.argv[1]).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_process_at_a_time(run):
    """And a process that dies, however, lets go."""
    command = [sys.executable, "-c", HOLDER, str(run.folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(ValueError, match=r"run .*first is in use by another process"),
            run.locked(),
        ):
            pass
        holder.kill()
    with run.locked():
        pass
    with run.locked():
        pass
