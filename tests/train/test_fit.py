import importlib
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnn import data, train
from jaxnn.train import losses
from tests.train.toys import (
    ADAM,
    DROPPING,
    NET,
    assert_same_bits,
    bits,
    examples,
    new_state,
    step_of,
    without_seconds,
)

FEED = importlib.import_module("jaxnn.train._feed")
METRICS = {"loss": losses.cross_entropy, "accuracy": losses.accuracy}


def fit(state=None, step=None, source=None, **options):
    """Fit with the defaults of these tests: 90 examples, 7 a batch, 12 steps an epoch."""
    options = {"steps": 30, "batch_size": 7, "record_every": 8} | options
    state = new_state(DROPPING, ema_decay=0.9) if state is None else state
    return train.fit(state, step or step_of(), source or examples(), **options)


def noting_state(steps, batch):
    """A state that notes which examples it saw; see :func:`noting_step`."""
    seen = jnp.full((steps, batch), -1.0)
    return new_state(tx=optax.identity()).replace(collections={"seen": seen})


def noting_step(state, batch):
    """A step of the user's own, not even compiled: it learns nothing and notes all."""
    seen = state.collections["seen"].at[state.step].set(batch[0])
    number = (state.step + 1).astype(jnp.float32)
    return state.replace(step=state.step + 1, collections={"seen": seen}), {"number": number}


def orders(count, batch, steps, **options):
    numbers = jnp.arange(float(count))
    state, history = train.fit(
        noting_state(steps, batch),
        noting_step,
        (numbers, numbers),
        steps=steps,
        batch_size=batch,
        **options,
    )
    return np.asarray(state.collections["seen"]).astype(int), history


def test_an_epoch_uses_each_example_at_most_once_and_a_seed_fixes_the_order():
    seen, _ = orders(23, 5, 12)  # three epochs of 4 batches, 3 examples left out of each
    epochs = seen.reshape(3, 20)
    assert all(len(set(epoch)) == 20 for epoch in epochs)
    assert set(seen.ravel()) == set(range(23)), "the ones left out change"
    assert not (epochs[0] == epochs[1]).all()
    assert (epochs[0] != np.arange(20)).any()
    np.testing.assert_array_equal(orders(23, 5, 12)[0], seen)
    assert (orders(23, 5, 12, seed=1)[0] != seen).any()


def test_the_order_does_not_depend_on_where_a_run_is_broken():
    seen, _ = orders(23, 5, 12)
    numbers = jnp.arange(23.0)
    state = noting_state(12, 5)
    for end in (3, 4, 9, 12):
        state, _ = train.fit(state, noting_step, (numbers, numbers), steps=end, batch_size=5)
    np.testing.assert_array_equal(state.collections["seen"], seen)


def test_equals_a_plain_loop():
    """The user's own loop over the step, with the examples that fit drew."""
    x, y = examples()
    rows, _ = orders(90, 7, 30)
    state = new_state(DROPPING, ema_decay=0.9)
    seen = []
    for row in rows:
        state, metrics = step_of()(state, (x[row], y[row]))
        seen.append({name: float(value) for name, value in metrics.items()})
    got, history = fit()
    want = bits((state.params, state.opt_state, state.ema))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
        (got.params, got.opt_state, got.ema),
        want,
    )
    assert [record["step"] for record in history] == [8, 16, 24, 30]
    parts = [seen[i : i + 8] for i in range(0, 30, 8)]
    for record, part in zip(history, parts, strict=True):
        for name in ("loss", "accuracy"):
            mean = np.mean([metrics[name] for metrics in part])
            np.testing.assert_allclose(record[name], mean, rtol=1e-5)


@pytest.mark.parametrize(("most", "seconds"), [(256, 0.0), (3, 0.5), (1, 0.5)])
def test_any_split_into_dispatches_gives_the_same_bits(monkeypatch, most, seconds):
    want, records = fit()
    monkeypatch.setattr(FEED, "MAX_DISPATCH", most)
    monkeypatch.setattr(FEED, "DISPATCH_SECONDS", seconds)
    got, again = fit()
    assert_same_bits(got, want)
    assert without_seconds(again) == without_seconds(records)


def test_records_come_when_due_with_the_means_since_the_last():
    """The metric is the number of the step, so that each mean is known."""
    made = []
    _, history = orders(20, 5, 14, record_every=4, on_record=[made.append])
    assert [(r["step"], r["number"]) for r in history] == [
        (4, 2.5),
        (8, 6.5),
        (12, 10.5),
        (14, 13.5),
    ]
    assert made == history
    assert all(a["seconds"] <= b["seconds"] for a, b in itertools.pairwise(history))


def test_evaluations_come_when_due_and_at_the_end():
    x, y = examples()
    state, history = fit(evaluation=(x[:50], y[:50]), evaluation_metrics=METRICS, evaluate_every=12)
    steps = {record["step"]: "test_loss" in record for record in history}
    assert steps == {8: False, 12: True, 16: False, 24: True, 30: True}
    # Before and after, the same numbers as evaluating by hand.
    want = train.evaluate(state, (x[:50], y[:50]), METRICS)
    assert {k: history[-1][f"test_{k}"] for k in METRICS} == want
    early, _ = fit(steps=12)
    want = train.evaluate(early, (x[:50], y[:50]), METRICS)
    assert {k: history[1][f"test_{k}"] for k in METRICS} == want
    _, last = fit(steps=12, evaluation=(x, y), evaluation_metrics=METRICS)
    assert ["test_loss" in record for record in last] == [False, True]


def test_evaluating_and_recording_change_nothing():
    plain, _ = fit(record_every=30)
    watched, _ = fit(
        record_every=3, evaluation=examples(), evaluation_metrics=METRICS, evaluate_every=5
    )
    assert_same_bits(watched, plain)


def test_learns():
    state, history = fit(new_state(), steps=300, batch_size=30, record_every=100)
    assert train.evaluate(state, examples(), METRICS)["accuracy"] > 0.9
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]


def counting_step(traces):
    """A step that notes in ``traces`` each time it is traced, and so compiled."""

    def loss(outputs, y):
        traces.append(1)
        return losses.cross_entropy(outputs, y)

    return train.make_step(loss, metrics={"accuracy": losses.accuracy})


def test_compiles_once_for_all_calls_with_a_step():
    traces = []
    step = counting_step(traces)
    for seed, steps in ((0, 20), (1, 33)):
        fit(new_state(seed=seed), step, steps=steps, seed=seed)
    assert len(traces) == 1


def test_a_generator_gives_the_batches():
    rows, _ = orders(90, 7, 30)
    x, y = examples()
    want, records = fit()
    got, again = fit(source=((x[row], y[row]) for row in rows), batch_size=None)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
        bits(got.params),
        bits(want.params),
    )
    for record, other in zip(again, records, strict=True):
        np.testing.assert_allclose(record["loss"], other["loss"], rtol=1e-5)


def test_a_stream_is_waited_for_now_and_then(monkeypatch):
    """However the steps are queued and timed, the bits stay."""
    rows, _ = orders(90, 7, 30)
    x, y = examples()
    batches = [(x[row], y[row]) for row in rows]
    want, _ = fit(source=iter(batches), batch_size=None)
    monkeypatch.setattr(FEED, "MAX_QUEUE", 3)
    monkeypatch.setattr(FEED, "DISPATCH_SECONDS", 1e-9)
    got, _ = fit(source=iter(batches), batch_size=None)
    assert_same_bits(got, want)


def test_a_stream_that_ends_is_reported():
    x, y = examples()
    with pytest.raises(ValueError, match="fit: `data` ended after 3 updates, before `steps`"):
        fit(source=iter([(x[:7], y[:7])] * 3), batch_size=None)
    with pytest.raises(ValueError, match="fit: `data` ended after 0 updates"):
        fit(source=iter([]), batch_size=None)


def loader():
    return data.grain_loader(data.Split(*examples()), batch_size=7, seed=3)


def test_a_grain_stream_goes_on_where_it_was(tmp_path):
    whole = train.Checkpoints(tmp_path / "whole", keep=9)
    options = {"batch_size": None, "checkpoint_every": 7}
    want, records = fit(source=loader(), checkpoints=whole, **options)
    assert whole.steps() == [7, 14, 21, 28, 30]
    for start in (7, 21):
        state, position = whole.restore(new_state(DROPPING, ema_decay=0.9), step=start)
        got, again = fit(state, source=loader(), batch_size=None, position=position)
        assert_same_bits(got, want)
        assert without_seconds(again) == without_seconds(records)
    state, _ = whole.restore(new_state(DROPPING, ema_decay=0.9), step=7)
    other, _ = fit(state, source=loader(), batch_size=None)
    assert not np.array_equal(other.params["Dense_0"]["kernel"], want.params["Dense_0"]["kernel"])
    whole.close()


def test_a_position_needs_a_stream_that_has_one(tmp_path):
    checkpoints = train.Checkpoints(tmp_path)
    fit(source=loader(), batch_size=None, steps=5, checkpoints=checkpoints)
    state, position = checkpoints.restore(new_state(DROPPING, ema_decay=0.9))
    with pytest.raises(ValueError, match="the checkpoint has a position in a stream, so resuming"):
        fit(state, source=iter([]), batch_size=None, position=position)
    checkpoints.close()


@pytest.mark.parametrize("typed", [True, False])
def test_resuming_at_any_checkpoint_ends_with_the_same_bits(tmp_path, typed):
    """Parameters, moments, averages, key and history: all that a state and a record hold."""

    def fresh():
        key = jax.random.key(4) if typed else jax.random.PRNGKey(4)
        return train.create_state(DROPPING, ADAM, examples()[0][:2], key=key, ema_decay=0.9)

    traces = []
    options = {"evaluation": examples(), "evaluation_metrics": METRICS, "evaluate_every": 11}
    options["step"] = counting_step(traces)
    checkpoints = train.Checkpoints(tmp_path, keep=9)
    want, records = fit(fresh(), checkpoints=checkpoints, checkpoint_every=7, **options)
    assert checkpoints.steps() == [7, 14, 21, 28, 30]
    programs = len(traces)
    for start in (7, 14, 21, 28):
        state, position = checkpoints.restore(fresh(), step=start)
        assert [r["step"] for r in position.history] == [
            r["step"] for r in records if r["step"] <= start
        ]
        got, again = fit(state, position=position, **options)
        assert_same_bits(got, want)
        assert without_seconds(again) == without_seconds(records)
    assert len(traces) == programs, "resuming compiled anew"
    checkpoints.close()


def test_a_position_is_not_changed_by_fitting():
    position = train.Position()
    _, history = fit(position=position)
    assert position == train.Position()
    assert len(history) == 4


def test_stopping_saves_and_returns(tmp_path, monkeypatch):
    monkeypatch.setattr(FEED, "MAX_DISPATCH", 3)
    asked = []

    def should_stop():
        asked.append(1)
        return len(asked) == 4

    checkpoints = train.Checkpoints(tmp_path)
    state, history = fit(checkpoints=checkpoints, should_stop=should_stop)
    stopped = int(state.step)
    assert 8 < stopped <= 11, "dispatches of 2, 3, 3 up to the record at 8, then up to 3"
    assert checkpoints.steps() == [stopped]
    monkeypatch.undo()
    want, records = fit()
    restored, position = checkpoints.restore(new_state(DROPPING, ema_decay=0.9))
    assert position.count == stopped - 8
    got, again = fit(restored, position=position, checkpoints=checkpoints)
    assert_same_bits(got, want)
    assert without_seconds(again) == without_seconds(records)
    assert without_seconds(history) == without_seconds(records)[:1]
    checkpoints.close()


def test_saves_at_the_end_only_by_default(tmp_path):
    checkpoints = train.Checkpoints(tmp_path)
    fit(checkpoints=checkpoints)
    assert checkpoints.steps() == [30]
    checkpoints.close()


def test_a_state_is_consumed_and_the_data_are_not():
    x, y = (jnp.asarray(array) for array in examples())
    state = new_state(DROPPING, ema_decay=0.9)
    fit(state, source=(x, y))
    assert jax.tree.leaves(state.params)[0].is_deleted()
    fit(source=(x, y))


def test_keyboard_interrupts_pass_through():
    def interrupt(record):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(on_record=[interrupt])


X, Y = examples()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"steps": 0}, "`steps` is 0; it needs a whole number above zero"),
        ({"steps": 2.5}, "`steps` is 2.5; it needs a whole number"),
        ({"record_every": 0}, "`record_every` is 0"),
        ({"evaluate_every": -1}, "`evaluate_every` is -1"),
        ({"checkpoint_every": 0}, "`checkpoint_every` is 0"),
        ({"batch_size": 0}, "`batch_size` is 0"),
        ({"batch_size": 91}, "`batch_size` is 91; it needs a number from 1 to 90"),
        ({"batch_size": None}, "`batch_size` is None; it needs a number when `data` is arrays"),
        ({"seed": -1}, r"`seed` is -1; it needs a number in \[0, 2\*\*63\)"),
        (
            {"source": (X, Y[:-1])},
            r"`data` is \[\(90, 4\), \(89,\)\]; it needs arrays of one length",
        ),
        ({"source": ([1.0, 2.0], [1, 2])}, "`data` is .*; it needs arrays of one length"),
        ({"source": range(3)}, r"`data` is .*Is it a loader\? Pass iter\(data\)"),
        ({"source": iter([])}, "`batch_size` is 7; it needs None: the iterator batches"),
        ({"evaluate_every": 5}, "`evaluate_every` is given without `evaluation`"),
        ({"evaluation": (X, Y)}, "`evaluation` is given without `evaluation_metrics`"),
        ({"evaluation_metrics": METRICS}, "`evaluation_metrics` is given without `evaluation`"),
        ({"checkpoint_every": 5}, "`checkpoint_every` is given without `checkpoints`"),
        (
            {"position": train.Position(sums={"loss": 1.0}, count=1)},
            r"`position` is \['loss'\]; it needs sums of .*\['accuracy', 'loss'\]",
        ),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_bad_options_are_named_before_anything_is_consumed(options, match):
    state = new_state()
    with pytest.raises(ValueError, match=f"fit: {match}"):
        fit(state, **options)
    assert not jax.tree.leaves(state.params)[0].is_deleted()


def test_steps_count_from_the_beginning():
    state, _ = fit(steps=12)
    with pytest.raises(ValueError, match="`steps` is 12; it needs a number above 12, the updates"):
        fit(state, steps=12)
    state, _ = fit(state, steps=13)
    assert state.step == 13


def test_checkpoints_of_another_run_are_not_continued_by_accident(tmp_path):
    checkpoints = train.Checkpoints(tmp_path)
    fit(steps=20, checkpoints=checkpoints)
    with pytest.raises(ValueError, match=r"fit: `checkpoints` has steps \[20\] in .* has made 0"):
        fit(checkpoints=checkpoints)
    checkpoints.close()


@pytest.mark.parametrize(
    ("metrics", "match"),
    [
        ({"each": jnp.zeros(3)}, r"metrics\['each'\]` is \(3,\); it needs one number"),
        ({"step": jnp.zeros(())}, "`metrics` is 'step'; it needs another name"),
    ],
)
def test_metrics_that_cannot_be_recorded_are_named(metrics, match):
    def step(state, batch):
        return state.replace(step=state.step + 1), metrics

    with pytest.raises(ValueError, match=match):
        fit(new_state(NET), step)
