import errno
import json
import os
import shutil
import types
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxnn import train
from jaxnn.train import losses
from tests.train.toys import ADAM, DROPPING, assert_same_bits, bits, examples, new_state, step_of

POSITION = train.Position(history=[{"step": 1, "loss": 0.1 + 0.2}], sums={"loss": 0.1}, count=1)


def fresh(**options):
    return new_state(DROPPING, **{"ema_decay": 0.9, "seed": 1} | options)


@pytest.fixture
def saved(tmp_path):
    """Checkpoints of steps 1, 2 and 3, and the bits of each state."""
    x, y = examples()
    state, want = new_state(DROPPING, ema_decay=0.9), {}
    checkpoints = train.Checkpoints(tmp_path / "checkpoints")
    for number in (1, 2, 3):
        state, _ = step_of()(state, (x[:12], y[:12]))
        want[number] = bits(state)
        checkpoints.save(state, train.Position(history=[{"step": number}]))
    checkpoints.close()
    return train.Checkpoints(tmp_path / "checkpoints"), want


def files(folder):
    return sorted(path for path in Path(folder).rglob("*") if path.is_file())


def listing(folder):
    return {path: path.read_bytes() for path in files(folder)}


def test_gives_back_every_bit(saved):
    checkpoints, want = saved
    state, position = checkpoints.restore(fresh())
    assert_same_bits(state, want[3])
    assert position == train.Position(history=[{"step": 3}])
    assert state.apply_fn.__self__ is DROPPING
    assert state.tx is ADAM
    state, position = checkpoints.restore(fresh(), step=1)
    assert_same_bits(state, want[1])
    assert position.history == [{"step": 1}]


def test_what_is_read_back_trains_with_the_same_program(saved):
    """Not committed to a device, which would compile the loop anew."""
    state, _ = saved[0].restore(fresh())
    assert not any(leaf.committed for leaf in jax.tree.leaves(state))
    assert jax.tree.structure(state) == jax.tree.structure(fresh())


def test_a_save_is_a_copy(tmp_path):
    """Steps made while it is being written reuse the state's memory."""
    x, y = examples()
    checkpoints = train.Checkpoints(tmp_path, keep=9)
    state, want = new_state(), {}
    for number in range(1, 6):
        state, _ = step_of()(state, (x, y))
        want[number] = bits(state)
        checkpoints.save(state, train.Position())
        state, _ = step_of()(state, (x, y))
        state = state.replace(step=state.step - 1)
    checkpoints.wait()
    for number in want:
        assert_same_bits(checkpoints.restore(new_state(seed=1), step=number)[0], want[number])
    checkpoints.close()


@pytest.mark.parametrize("make_key", [jax.random.key, jax.random.PRNGKey])
def test_keys_of_both_kinds(tmp_path, make_key):
    def make(seed):
        return train.create_state(DROPPING, ADAM, examples()[0][:2], key=make_key(seed))

    checkpoints = train.Checkpoints(tmp_path)
    state = make(0)
    checkpoints.save(state, POSITION)
    restored, position = checkpoints.restore(make(1))
    assert_same_bits(restored, state)
    assert restored.key.dtype == state.key.dtype
    assert position == POSITION
    checkpoints.close()


class Odd(nn.Module):
    """Parameters and statistics of several dtypes and shapes, one of them empty of axes."""

    @nn.compact
    def __call__(self, x):
        scale = self.param("scale", nn.initializers.ones, ())
        half = self.param("half", nn.initializers.normal(), (3, 2), jnp.bfloat16)
        self.variable("batch_stats", "count", lambda: jnp.array([2**31 - 1, -5], jnp.int32))
        self.variable("batch_stats", "flag", lambda: jnp.array([True, False]))
        self.variable("noise", "key", lambda: jax.random.key(9))
        return x * scale + half.astype(jnp.float32).sum()


def test_dtypes_empty_states_and_keys_in_odd_places(tmp_path, key):
    """bfloat16, booleans, a typed key among the variables, masked and stateless optimisers."""
    tx = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.masked(optax.trace(0.9), {"scale": True, "half": False}),
        optax.sgd(0.1),
    )
    model = Odd()
    make = lambda key: train.create_state(model, tx, jnp.ones((1, 2)), key=key)  # noqa: E731
    state = make(key)
    checkpoints = train.Checkpoints(tmp_path)
    checkpoints.save(state, train.Position())
    restored, _ = checkpoints.restore(make(jax.random.key(1)))
    assert_same_bits(restored, state)
    assert restored.params["half"].dtype == jnp.bfloat16
    assert jnp.issubdtype(restored.collections["noise"]["key"].dtype, jax.dtypes.prng_key)
    checkpoints.close()


@pytest.mark.parametrize(
    "stream",
    [
        None,
        b"\x00\xff",
        {"next_index": 3},
        {"a": [1, {"b": b"\x01"}], "c": "x"},
        {"n": np.int64(7), "t": (1, 2)},
    ],
)
def test_a_streams_position_comes_back(tmp_path, stream):
    checkpoints = train.Checkpoints(tmp_path)
    checkpoints.save(new_state(), train.Position(stream=stream))
    got = checkpoints.restore(new_state())[1].stream
    want = {"n": 7, "t": [1, 2]} if isinstance(stream, dict) and "n" in stream else stream
    assert got == want
    checkpoints.close()


def test_records_that_are_not_finite_come_back(tmp_path):
    checkpoints = train.Checkpoints(tmp_path)
    history = [{"step": 1, "loss": float("nan"), "norm": float("inf")}]
    checkpoints.save(new_state(), train.Position(history=history))
    record = checkpoints.restore(new_state())[1].history[0]
    assert np.isnan(record["loss"])
    assert record["norm"] == float("inf")
    checkpoints.close()


def test_keeps_the_newest(tmp_path):
    checkpoints = train.Checkpoints(tmp_path, keep=2)
    for number in (3, 7, 11, 20):
        checkpoints.save(new_state().replace(step=jnp.int32(number)), train.Position())
    checkpoints.wait()
    assert checkpoints.steps() == [11, 20]
    assert {path.name for path in tmp_path.iterdir()} == {"11", "20"}
    checkpoints.close()


def test_saving_a_step_twice_keeps_the_first(saved):
    checkpoints, want = saved
    checkpoints.save(fresh().replace(step=jnp.int32(3)), train.Position())
    assert_same_bits(checkpoints.restore(fresh())[0], want[3])
    checkpoints.close()


def test_going_back_is_refused(saved):
    """It would be passed over in silence, or leave another run's checkpoint the newest."""
    checkpoints, _ = saved
    with pytest.raises(
        ValueError, match=r"Checkpoints.save: .* has steps \[1, 2, 3\], later than 0"
    ):
        checkpoints.save(fresh(), train.Position())
    checkpoints.close()


def test_nothing_there(tmp_path):
    checkpoints = train.Checkpoints(tmp_path / "none")
    assert checkpoints.steps() == []
    assert checkpoints.restore(fresh()) is None
    assert not (tmp_path / "none").exists(), "looking makes nothing"
    with pytest.raises(ValueError, match=r"Checkpoints.restore: `step` is 4; .* has \[\]"):
        checkpoints.restore(fresh(), step=4)


def largest(folder):
    return max(files(folder / "state"), key=lambda path: path.stat().st_size)


def truncate(folder):
    path = largest(folder)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(folder):
    """One bit at a hundred places of the largest file, wherever its arrays are."""
    path = largest(folder)
    content = bytearray(path.read_bytes())
    for i in range(0, len(content), max(1, len(content) // 100)):
        content[i] ^= 1
    path.write_bytes(content)


def lose_data(folder):
    largest(folder).unlink()


def lose_facts(folder):
    (folder / "facts" / "metadata").unlink()


def corrupt_facts(folder):
    path = folder / "facts" / "metadata"
    path.write_text(path.read_text()[:-20])


def change_facts(folder):
    """Still JSON, another number."""
    path = folder / "facts" / "metadata"
    facts = json.loads(path.read_text())
    facts["position"]["count"] += 1
    path.write_text(json.dumps(facts))


def lose_everything(folder):
    for path in files(folder):
        path.unlink()


def mix_up(folder):
    """Arrays that Orbax finds intact, but another step's: only our checksums tell."""
    shutil.rmtree(folder / "state")
    shutil.copytree(folder.parent / "2" / "state", folder / "state")


DAMAGES = [
    mix_up,
    truncate,
    flip,
    lose_data,
    lose_facts,
    corrupt_facts,
    change_facts,
    lose_everything,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=[damage.__name__ for damage in DAMAGES])
def test_a_damaged_newest_is_reported_and_the_one_before_used(saved, damage):
    checkpoints, want = saved
    damage(checkpoints.folder / "3")
    before = listing(checkpoints.folder)
    with pytest.warns(UserWarning, match=r"checkpoint .*/3 is damaged \(.*using the one before"):
        state, position = checkpoints.restore(fresh())
    assert_same_bits(state, want[2])
    assert position.history == [{"step": 2}]
    assert listing(checkpoints.folder) == before, "reading changed the folder"
    assert checkpoints.steps() == [1, 2]
    # Training goes on and writes the damaged step anew.
    x, y = examples()
    state, _ = step_of()(state, (x[:12], y[:12]))
    checkpoints.save(state, train.Position())
    checkpoints.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again, _ = train.Checkpoints(checkpoints.folder).restore(fresh())
    assert_same_bits(again, want[3])


def test_files_without_arrays_or_facts_are_not_missed(saved):
    """Orbax's notes to itself: what counts is that the arrays have their checksums."""
    checkpoints, want = saved
    (checkpoints.folder / "3" / "commit_success.txt").unlink()
    state, _ = checkpoints.restore(fresh())
    assert_same_bits(state, want[3])
    checkpoints.save(state.replace(step=jnp.int32(4)), train.Position())
    checkpoints.wait()
    assert checkpoints.steps() == [2, 3, 4]
    checkpoints.close()


def test_single_flipped_bits_are_never_restored(saved):
    """Each of many single bits of the data file: the state restored is a saved one, whole."""
    checkpoints, want = saved
    path = largest(checkpoints.folder / "3")
    content = path.read_bytes()
    for place in np.linspace(0, len(content) - 1, 12).astype(int):
        changed = bytearray(content)
        changed[place] ^= 16
        path.write_bytes(changed)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            state, _ = train.Checkpoints(checkpoints.folder).restore(fresh())
        assert_same_bits(state, want[2 if caught else 3])


def test_all_damaged_lists_each(saved):
    checkpoints, _ = saved
    truncate(checkpoints.folder / "1")
    corrupt_facts(checkpoints.folder / "2")
    lose_everything(checkpoints.folder / "3")
    with (
        pytest.warns(UserWarning, match="damaged"),
        pytest.raises(
            train.DamagedCheckpoint, match=r"(?s)no intact .*: step 3: .*; step 2: .*; step 1: .*"
        ),
    ):
        checkpoints.restore(fresh())


def test_a_damaged_one_asked_for_is_not_replaced(saved):
    checkpoints, _ = saved
    flip(checkpoints.folder / "2")
    with pytest.raises(train.DamagedCheckpoint, match="step 2"):
        checkpoints.restore(fresh(), step=2)


@pytest.mark.parametrize("error", [PermissionError("no"), MemoryError()])
def test_errors_that_say_nothing_of_the_files_pass_through(saved, monkeypatch, error):
    checkpoints, _ = saved

    def fail(*_):
        raise error

    monkeypatch.setattr(checkpoints, "_read", fail)
    with pytest.raises(type(error)):
        checkpoints.restore(fresh())
    assert checkpoints.steps() == [1, 2, 3]


class Wider(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3, name="Dense_1")(nn.tanh(nn.Dense(6, name="Dense_0")(x)))


def test_another_models_checkpoint_is_named(saved):
    checkpoints, _ = saved
    x = examples()[0][:2]
    other = train.create_state(Wider(), ADAM, x, key=jax.random.key(0), ema_decay=0.9)
    with pytest.raises(
        ValueError,
        match=r"holds float32\[5\] for \['ema'\]\['Dense_0'\]\['bias'\]; .* need float32\[6\]",
    ):
        checkpoints.restore(other)


def test_another_optimisers_checkpoint_is_named(saved):
    checkpoints, _ = saved
    plain = fresh(tx=optax.sgd(0.1))
    with pytest.raises(ValueError, match=r"holds .* for \['opt_state'\].*need nothing"):
        checkpoints.restore(plain)
    without = new_state(DROPPING)
    with pytest.raises(ValueError, match=r"holds float32\[5\] for \['ema'\].* need nothing"):
        checkpoints.restore(without)


def leave_temporary(folder):
    left = folder / "9.orbax-checkpoint-tmp" / "state"
    left.mkdir(parents=True)
    (left / "part").write_bytes(b"half")
    return left.parent


def test_what_a_crash_left_half_written_is_ignored_and_then_cleared(saved):
    checkpoints, want = saved
    left = leave_temporary(checkpoints.folder)
    state, _ = checkpoints.restore(fresh())
    assert_same_bits(state, want[3])
    assert checkpoints.steps() == [1, 2, 3]
    assert left.exists(), "reading clears nothing: it may be another process's, at work"
    x, y = examples()
    state, _ = step_of()(state, (x, y))
    checkpoints.save(state, train.Position())
    checkpoints.wait()
    assert not left.exists()
    assert checkpoints.steps() == [2, 3, 4]
    checkpoints.close()


def test_a_save_appears_whole_or_not_at_all(tmp_path):
    """Looked at while saves go on, a number is there only when it can be read."""
    checkpoints = train.Checkpoints(tmp_path, keep=50)
    state, template = fresh(), fresh()
    for number in range(1, 6):
        checkpoints.save(state.replace(step=jnp.int32(number)), train.Position())
        watcher = train.Checkpoints(tmp_path)
        for step in watcher.steps()[-1:]:
            assert watcher.restore(template, step=step)[0].step == step
    checkpoints.close()
    assert train.Checkpoints(tmp_path).steps() == [1, 2, 3, 4, 5]


def test_bad_options_are_named(tmp_path):
    with pytest.raises(ValueError, match="Checkpoints: `keep` is 0; it needs a whole number"):
        train.Checkpoints(tmp_path, keep=0)


def test_relative_folders_survive_a_change_of_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoints = train.Checkpoints("here")
    (tmp_path / "other").mkdir()
    os.chdir(tmp_path / "other")
    checkpoints.save(new_state(), train.Position())
    checkpoints.close()
    assert (tmp_path / "here" / "0").is_dir()


def test_is_silent(saved, capfd):
    """Orbax warns and logs a good deal; none of it may reach a user."""
    checkpoints, _ = saved
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        state, _ = checkpoints.restore(fresh())
        x, y = examples()
        state, _ = train.make_step(losses.cross_entropy)(state, (x, y))
        checkpoints.save(state, train.Position())
        checkpoints.close()
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_a_full_disk_is_seen_before_anything_is_written(saved, monkeypatch):
    checkpoints, _ = saved
    monkeypatch.setattr("shutil.disk_usage", lambda folder: shutil._ntuple_diskusage(9, 9, 9))
    before = listing(checkpoints.folder)
    with pytest.raises(OSError, match=r"could not be written .*the newest .* is step 3") as caught:
        checkpoints.save(fresh().replace(step=jnp.int32(4)), train.Position())
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(checkpoints.folder)
    assert listing(checkpoints.folder) == before
    monkeypatch.undo()
    checkpoints.save(fresh().replace(step=jnp.int32(4)), train.Position())  # there is room again
    checkpoints.close()
    assert checkpoints.steps() == [2, 3, 4]


@pytest.mark.parametrize("finish", ["save", "wait", "close"])
def test_a_write_that_fails_later_is_reported_and_the_ones_before_stay(saved, finish):
    """Orbax writes in the background, and its store has errors of its own kind."""
    checkpoints, _ = saved
    checkpoints.save(fresh().replace(step=jnp.int32(4)), train.Position())
    checkpoints.wait()
    full = ValueError('RESOURCE_EXHAUSTED: Error writing "key/0": No space left on device [28]')

    def fail(*args, **options):
        raise full

    manager = checkpoints._manager
    checkpoints._manager = types.SimpleNamespace(
        all_steps=manager.all_steps, wait_until_finished=fail, close=fail
    )
    later = fresh().replace(step=jnp.int32(5))
    calls = {
        "save": lambda: checkpoints.save(later, train.Position()),
        "wait": checkpoints.wait,
        "close": checkpoints.close,
    }
    with pytest.raises(OSError, match="the newest complete one is step 4") as caught:
        calls[finish]()
    assert caught.value.errno == errno.ENOSPC
    manager.close()
    checkpoints.close()  # nothing is left to finish
    assert checkpoints.restore(fresh())[0].step == 4
