import numpy as np
import optax
import pytest

from jaxnn import train
from jaxnn.train import losses
from tests.train.toys import assert_same_bits, examples, new_state, step_of, without_seconds

FAST = optax.adam(0.1)
METRICS = {"loss": losses.cross_entropy, "accuracy": losses.accuracy}


def records(*values, metric="test_loss"):
    return [{"step": n, metric: value} for n, value in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "since"),
    [
        ((), 0),
        ((3, 2, 1), 0),
        ((1, 2, 1), 2),
        ((2, 1, 3, 3), 2),
        ((np.nan, np.nan), 2),
        ((np.nan, 5), 0),
    ],
)
def test_records_since_the_best(values, since):
    """Counted by hand; equal is no better, and what is not finite is the worst."""
    history = records(*values)
    for patience in (1, 2, 3):
        monitor = train.Monitor(patience=patience)
        assert monitor.exhausted(history) == (since >= patience)
    assert train.Monitor().improved(history) == (bool(values) and since == 0)
    assert not train.Monitor().exhausted(history)
    upward = records(*(-value for value in values), metric="test_accuracy")
    more = train.Monitor("test_accuracy", mode="max", patience=2)
    assert more.exhausted(upward) == (since >= 2)


def test_a_little_better_does_not_count():
    history = records(1.0, 0.95, 0.85, 0.8)
    assert train.Monitor(min_delta=0.1).improved(history[:3])
    assert not train.Monitor(min_delta=0.1).improved(history[:2])
    assert train.Monitor(min_delta=0.1, patience=1).exhausted(history)


def test_records_without_the_metric_are_passed_over():
    history = [*records(2.0, 1.0), {"step": 3, "loss": 9.0}]
    assert not train.Monitor(patience=1).exhausted(history)
    assert not train.Monitor().improved(history)


def start():
    return new_state(tx=FAST)


def fit(folder, *, steps=60, **options):
    """Overfit few examples with a high rate, so that the test loss soon rises."""
    (x, y), rest = ((a[:12] for a in examples()), tuple(a[12:] for a in examples()))
    checkpoints = train.Checkpoints(folder / "run", keep=99)
    best = train.Checkpoints(folder / "best", keep=1)
    monitor = train.Monitor("test_loss", patience=3, best=best)
    options = {"state": start(), "position": None} | options
    state, history = train.fit(
        options.pop("state"),
        step_of(),
        (x, y),
        steps=steps,
        batch_size=12,
        record_every=5,
        evaluation=rest,
        evaluation_metrics=METRICS,
        evaluate_every=3,
        checkpoints=checkpoints,
        checkpoint_every=7,
        monitor=monitor,
        **options,
    )
    checkpoints.close()
    best.close()
    return state, history


def test_stops_early_and_keeps_the_best(tmp_path):
    state, history = fit(tmp_path, steps=3000)
    tested = [r for r in history if "test_loss" in r]
    values = [r["test_loss"] for r in tested]
    at = int(np.argmin(values))
    assert len(values) == at + 4
    assert state.step == tested[-1]["step"] < 3000
    best, position = train.Checkpoints(tmp_path / "best").restore(start())
    assert train.Checkpoints(tmp_path / "best").steps() == [tested[at]["step"]]
    assert best.step == tested[at]["step"]
    again = train.evaluate(best, tuple(a[12:] for a in examples()), METRICS)
    np.testing.assert_allclose(again["loss"], min(values), rtol=1e-6)
    assert position.history[-1] == tested[at]


def test_resumed_it_stops_at_the_same_step_with_the_same_best(tmp_path):
    """Killed after a best state was saved and before the next checkpoint: it is made again."""
    want, records = fit(tmp_path / "whole", steps=3000)
    last = int(want.step)
    fit(tmp_path / "part", steps=last - 2)
    checkpoints = train.Checkpoints(tmp_path / "part" / "run")
    before = checkpoints.steps()[0]
    assert train.Checkpoints(tmp_path / "part" / "best").steps()[0] > before + 6
    state, position = checkpoints.restore(start(), step=before)
    checkpoints.discard_after(before)
    checkpoints.save(state, position)
    checkpoints.close()
    got, again = fit(tmp_path / "part", steps=3000, state=state, position=position)
    assert_same_bits(got, want)
    assert without_seconds(again) == without_seconds(records)
    best = [train.Checkpoints(tmp_path / name / "best") for name in ("whole", "part")]
    assert_same_bits(*(folder.restore(start())[0] for folder in best))


def test_a_metric_that_no_record_has_is_named():
    x, y = examples()
    options = {"steps": 4, "batch_size": 6, "record_every": 2, "progress": False}
    with pytest.raises(ValueError, match=r"the metric 'test_loss'; it needs one of .* loss"):
        train.fit(new_state(), step_of(), (x, y), monitor=train.Monitor(), **options)
    with pytest.raises(ValueError, match="the metric 'los'"):
        train.fit(new_state(), step_of(), (x, y), monitor=train.Monitor("los"), **options)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"mode": "less"}, "Monitor: `mode` is 'less'; it needs 'min' or 'max'"),
        ({"patience": 0}, "`patience` is 0"),
        ({"min_delta": -1.0}, "`min_delta` is -1.0"),
    ],
)
def test_bad_options_are_named(options, match, unchecked):
    with pytest.raises(ValueError, match=match):
        train.Monitor(**options)
