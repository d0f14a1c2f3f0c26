import sys

import pytest

from tests.train import killable
from tests.train.killing import finish, kill_when, outcome, recorded, saved, saving, start
from tests.train.toys import assert_same_bits, without_seconds


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The run that nobody kills; it trains while the others are being killed."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    process = start([sys.executable, "-m", "tests.train.killable", folder])
    yield process, folder
    process.kill()
    process.communicate()


def test_killed_at_any_moment_a_run_ends_with_the_same_bits(tmp_path, undisturbed):
    """Killed three times, each time resumed: state and history are those of the whole run."""
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "tests.train.killable", folder]
    kill_when(command, lambda: recorded(folder))  # before the first checkpoint, mostly
    kill_when(command, lambda: saved(folder))  # between two checkpoints
    kill_when(command, lambda: saved(folder, 2) and saving(folder))  # while one is written
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 9')  # as if killed while writing a record too
    template = killable.new_state()
    newest, _, _ = outcome(folder, template)
    assert 0 < newest.step < killable.STEPS
    finish(start(command))
    process, whole = undisturbed
    finish(process)

    state, position, records = outcome(folder, template)
    want_state, want_position, want_records = outcome(whole, template)
    assert state.step == killable.STEPS
    assert_same_bits(state, want_state)
    assert without_seconds(position.history) == without_seconds(want_position.history)
    assert without_seconds(records) == without_seconds(want_records)
    assert records == position.history
    assert [record["step"] for record in records][-1] == killable.STEPS
