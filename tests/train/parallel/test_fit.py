import shutil

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jaxnn import train
from jaxnn.train import losses
from jaxnn.train.parallel import Layout, fully_sharded, make_mesh, shard_state
from tests.train.toys import (
    ADAM,
    DROPPING,
    assert_same_bits,
    bits,
    new_state,
    without_seconds,
)

METRICS = {"loss": losses.cross_entropy, "accuracy": losses.accuracy}
RULES = (("Dense_0/kernel", PartitionSpec("model")),)


def examples(count=96):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, count).astype(np.int32)
    return rng.normal(size=(3, 4))[y].astype(np.float32), y


STEP = train.make_step(losses.cross_entropy, metrics={"accuracy": losses.accuracy})


def start(layout=None, **options):
    state = new_state(DROPPING, ema_decay=0.9, **options)
    return state if layout is None else shard_state(state, layout)


def fit(state, data=None, **options):
    options = {"steps": 12, "batch_size": 16, "record_every": 4} | options
    return train.fit(state, STEP, examples() if data is None else data, **options)


def same(got, want):
    """Bit for bit, wherever they lie."""
    assert_same_bits(got.replace(layout=None), bits(want.replace(layout=None)))


def near(got, want):
    def close(a, b):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=1e-5)

    jax.tree.map(close, (got.params, got.ema), (want.params, want.ema))


def in_place(state):
    return [leaf.sharding for leaf in jax.tree.leaves(state)] == jax.tree.leaves(
        state.layout.shardings(state)
    )


@pytest.fixture(scope="module")
def one_device():
    """A run on one device, evaluated: what every layout must give again."""
    options = {"evaluation": examples(40), "evaluation_metrics": METRICS, "evaluate_every": 8}
    state, history = fit(start(), **options)
    return state, history, options


@pytest.fixture(scope="module")
def layouts():
    return {
        "fsdp": Layout(make_mesh("data=4"), fully_sharded(min_size=8)),
        "both": Layout(make_mesh("data=2,model=4"), fully_sharded(RULES, min_size=8)),
    }


@pytest.mark.parametrize("spread", [False, True], ids=["replicated", "spread"])
def test_fit_on_arrays_equals_one_device(layouts, one_device, spread):
    """The same loop, examples, records and evaluations; the data whole or spread."""
    want, records, options = one_device
    layout = layouts["both"]
    data = examples()
    if spread:
        data = jax.device_put(data, NamedSharding(layout.mesh, PartitionSpec(("data", "model"))))
    state, history = fit(start(layout), data, **options)
    near(state, want)
    assert in_place(state)
    assert [r["step"] for r in history] == [r["step"] for r in records]
    for got, wanted in zip(without_seconds(history), without_seconds(records), strict=True):
        assert got == pytest.approx(wanted, abs=1e-5)


def test_one_trace_for_a_run(layouts):
    """Neither the first dispatch nor a record's new sums make the program anew."""
    traces = []

    def counted(outputs, targets):
        traces.append(1)
        return losses.cross_entropy(outputs, targets)

    step = train.make_step(counted)
    options = {"batch_size": 16, "record_every": 2}
    train.fit(start(layouts["both"]), step, examples(), steps=1, **options)
    before = len(traces)
    train.fit(start(layouts["both"]), step, examples(), steps=9, **options)
    assert 0 < before == len(traces)


def test_fit_on_a_stream_equals_one_device(layouts):
    def stream():
        x, y = examples()
        for i in range(6):
            yield x[16 * i : 16 * i + 16], y[16 * i : 16 * i + 16]

    options = {"steps": 6, "batch_size": None}
    want, _ = fit(start(), stream(), **options)
    got, _ = fit(start(layouts["fsdp"]), stream(), **options)
    near(got, want)
    assert in_place(got)


@pytest.mark.usefixtures("unchecked")
def test_a_batch_that_does_not_divide_is_named(layouts):
    with pytest.raises(ValueError, match=r"shard_batch: `batch` is \(14, 4\); .* the 4 devices"):
        fit(start(layouts["fsdp"]), batch_size=14)


@pytest.mark.parametrize(("before", "after"), [("fsdp", "both"), ("both", None), (None, "fsdp")])
def test_a_checkpoint_is_restored_on_another_mesh_to_the_same_bits(
    tmp_path, layouts, before, after
):
    checkpoints = train.Checkpoints(tmp_path)
    state, _ = fit(start(layouts.get(before)), steps=4, checkpoints=checkpoints)
    checkpoints.close()
    template = start(layouts.get(after), seed=1)
    kept = bits(template)
    restored, position = train.Checkpoints(tmp_path).restore(template)
    same(restored, state)
    assert_same_bits(template, kept)
    assert position.history[-1]["step"] == 4
    assert restored.layout == layouts.get(after)
    if after is not None:
        assert in_place(restored)
        kernel = restored.params["Dense_0"]["kernel"]
        assert kernel.addressable_shards[0].data.size < kernel.size


def test_a_run_goes_on_upon_another_mesh(tmp_path, layouts, one_device):
    """Stopped on one mesh, finished on another: the run of one device, that nobody stopped."""
    want, records, options = one_device
    with_checkpoints = {**options, "checkpoints": train.Checkpoints(tmp_path)}
    fit(start(layouts["fsdp"]), **{**with_checkpoints, "steps": 12, "should_stop": Stop(3)})
    checkpoints = train.Checkpoints(tmp_path)
    restored, position = checkpoints.restore(start(layouts["both"], seed=5))
    assert 0 < int(restored.step) < 12
    state, history = fit(restored, position=position, **{**options, "checkpoints": checkpoints})
    near(state, want)
    for got, wanted in zip(without_seconds(history), without_seconds(records), strict=True):
        assert got == pytest.approx(wanted, abs=1e-5)


class Stop:
    """Ask to stop at the n-th question."""

    def __init__(self, number):
        self.left = number

    def __call__(self):
        self.left -= 1
        return self.left == 0


def test_a_damaged_sharded_checkpoint_is_named_and_the_one_before_used(tmp_path, layouts):
    checkpoints = train.Checkpoints(tmp_path)
    state, _ = fit(start(layouts["both"]), steps=4, checkpoints=checkpoints)
    want = bits(state)
    fit(state, steps=8, checkpoints=checkpoints)
    checkpoints.close()
    # Files that Orbax finds intact, but another step's: only our checksums tell.
    shutil.rmtree(tmp_path / "8" / "state")
    shutil.copytree(tmp_path / "4" / "state", tmp_path / "8" / "state")
    with pytest.warns(UserWarning, match=r"/8 is damaged \(.*using the one before"):
        restored, _ = train.Checkpoints(tmp_path).restore(start(layouts["both"], seed=1))
    assert_same_bits(restored, want)
    assert in_place(restored)


def test_a_state_may_be_made_in_place_with_an_average(layouts):
    made = train.create_state(
        DROPPING,
        ADAM,
        examples()[0][:2],
        key=jax.random.key(0),
        ema_decay=0.9,
        layout=layouts["both"],
    )
    assert in_place(made)
    same(made, start())
