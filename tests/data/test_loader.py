import json

import numpy as np
import pytest

from jaxnn import data

TEN = data.Split(np.arange(10) * 10, np.arange(10))


def test_each_epoch_has_every_example_once_but_the_remainder_in_its_own_order():
    batches = list(data.grain_loader(TEN, batch_size=4, seed=3, epochs=3))
    assert [len(x) for x, _ in batches] == [4] * 6
    for x, y in batches:
        np.testing.assert_array_equal(x, y * 10)
    epochs = [np.concatenate([batches[i][1], batches[i + 1][1]]) for i in (0, 2, 4)]
    assert all(len(set(epoch.tolist())) == 8 for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_seeds_give_orders():
    first, again, other = (
        np.concatenate([y for _, y in data.grain_loader(TEN, batch_size=5, seed=s, epochs=1)])
        for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_saved_position_goes_on_as_if_never_stopped():
    through = data.grain_loader(TEN, batch_size=4, seed=0)
    for _ in range(5):
        next(through)
    position = json.loads(json.dumps(through.get_state()))
    want = [next(through)[1].tolist() for _ in range(5)]
    resumed = data.grain_loader(TEN, batch_size=4, seed=0)
    resumed.set_state(position)
    assert [next(resumed)[1].tolist() for _ in range(5)] == want


@pytest.mark.slow
def test_worker_processes_give_the_same_batches():
    alone = [y.tolist() for _, y in data.grain_loader(TEN, batch_size=4, seed=0, epochs=3)]
    helped = data.grain_loader(TEN, batch_size=4, seed=0, epochs=3, worker_count=2)
    assert [y.tolist() for _, y in helped] == alone


def test_reads_memory_mapped_files(tmp_path):
    np.save(tmp_path / "x.npy", TEN.x)
    split = data.Split(np.load(tmp_path / "x.npy", mmap_mode="r"), TEN.y)
    x, y = next(data.grain_loader(split, batch_size=4, seed=0))
    np.testing.assert_array_equal(x, y * 10)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"batch_size": 11}, r"grain_loader: `batch_size` is 11; it needs a number in \[1, 10\]"),
        ({"batch_size": 0}, "`batch_size` is 0"),
        ({"seed": -1}, "`seed` is -1"),
        ({"epochs": 0}, "`epochs` is 0"),
        ({"worker_count": -1}, "`worker_count` is -1"),
    ],
)
def test_bad_options_are_named(options, match):
    with pytest.raises(ValueError, match=match):
        data.grain_loader(TEN, **{"batch_size": 4, "seed": 0, **options})
    short = data.Split(TEN.x, TEN.y[:9])
    with pytest.raises(ValueError, match=r"`y` is .* a first axis of 10, that of `x`"):
        data.grain_loader(short, batch_size=4, seed=0)
