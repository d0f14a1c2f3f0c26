import importlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxnn import train
from jaxnn.train import losses
from tests.train.toys import DROPPING, assert_same_bits, bits, examples, new_state, step_of

FEED = importlib.import_module("jaxnn.train._feed")
SAFE = train.skip_nonfinite(step_of())


def batch(start, *, spoilt=None):
    x, y = (np.array(array[start : start + 12]) for array in examples())
    if spoilt is not None:
        x[5, 0] = spoilt
    return jnp.asarray(x), jnp.asarray(y)


def arrays(state):
    return bits((state.params, state.opt_state, state.collections, state.ema))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_spoilt_batch_is_as_if_it_had_not_been(value):
    """Two good batches with a bad one between them leave the state of the two alone."""
    state, want = new_state(ema_decay=0.9), new_state(ema_decay=0.9)
    for start in (0, 24):
        want, _ = step_of()(want, batch(start))
    skipped = []
    for now in (batch(0), batch(12, spoilt=value), batch(24)):
        state, metrics = SAFE(state, now)
        skipped.append(float(metrics["skipped"]))
        assert all(np.isfinite(float(m)) for m in metrics.values())
    assert skipped == [0, 1, 0]
    assert state.step == 3
    assert_same_bits(arrays(state), arrays(want))


def test_good_steps_are_the_steps_bits():
    state, want = new_state(DROPPING), new_state(DROPPING)
    for start in (0, 12):
        state, metrics = SAFE(state, batch(start))
        want, wanted = step_of()(want, batch(start))
        assert metrics.pop("skipped") == 0
        assert_same_bits(metrics, wanted)
    assert_same_bits(state, want)


class Normalised(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.BatchNorm(use_running_average=not self.is_mutable_collection("batch_stats"))(x)
        return nn.Dense(3)(x)


def test_statistics_are_looked_at_too():
    """The loss and the parameters stay finite here: only the running variance overflows."""
    state = new_state(Normalised())
    before = arrays(state)
    x, y = batch(0)
    huge = x.at[:, 0].set(jnp.where(jnp.arange(12) % 2 == 0, 3e19, -3e19))
    new, metrics = train.make_step(losses.cross_entropy, donate=False)(state, (huge, y))
    assert np.isfinite(float(metrics["loss"]))
    assert all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(new.params))
    assert not all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(new.collections))
    state, metrics = SAFE(state, (huge, y))
    assert metrics["skipped"] == 1
    assert_same_bits(arrays(state), before)


def test_what_is_infinite_on_purpose_is_no_fault():
    """An optimiser that starts from an infinite best value, as a search for plateaus does."""
    tx = optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau())
    state = new_state(tx=tx)
    assert any(np.isinf(np.asarray(leaf)).any() for leaf in jax.tree.leaves(state.opt_state))
    state, metrics = SAFE(state, batch(0))
    assert metrics["skipped"] == 0


def test_a_metric_of_its_name_is_refused():
    def step(state, batch):
        return state, {"skipped": jnp.zeros(())}

    with pytest.raises(ValueError, match="`step` has a metric `skipped`"):
        train.skip_nonfinite(step)(new_state(), batch(0))
    with pytest.raises(ValueError, match="made safe once"):
        train.skip_nonfinite(SAFE)(new_state(), batch(0))


def spoilt_examples(rows):
    x, y = (np.array(array) for array in examples())
    x[list(rows)] = np.nan
    return x, y


def fit(source, **options):
    options = {"steps": 24, "batch_size": 6, "record_every": 12, "progress": False} | options
    return train.fit(options.pop("state", None) or new_state(), SAFE, source, **options)


def test_fit_counts_what_was_skipped_and_averages_the_rest():
    """Of 15 batches an epoch one has the spoilt example: two in all, and not in a row."""
    _, history = fit(spoilt_examples([7]), steps=30, record_every=15, max_skipped=2)
    assert [record["skipped"] for record in history] == [pytest.approx(1 / 15)] * 2
    assert all(np.isfinite(record["loss"]) for record in history)
    want = []
    state = new_state()
    orders = np.concatenate([FEED._permutation(0, epoch, 90) for epoch in (0, 1)]).reshape(30, 6)
    x, y = spoilt_examples([7])
    for rows in orders:
        state, metrics = SAFE(state, (jnp.asarray(x[rows]), jnp.asarray(y[rows])))
        if not metrics["skipped"]:
            want.append(float(metrics["loss"]))
    assert len(want) == 28
    np.testing.assert_allclose(history[0]["loss"], np.mean(want[:14]), rtol=1e-5)
    np.testing.assert_allclose(history[1]["loss"], np.mean(want[14:]), rtol=1e-5)


@pytest.mark.parametrize("stream", [False, True])
def test_fit_stops_after_too_many_in_a_row(tmp_path, stream):
    """All is spoilt from the ninth step on; what was learned before is kept, and saved."""
    x, y = (np.array(array) for array in examples())
    orders = FEED._permutation(0, 0, 90).reshape(15, 6)
    x[orders[8:].ravel()] = np.nan
    checkpoints = train.Checkpoints(tmp_path)
    source = ((x[rows], y[rows]) for rows in orders) if stream else (x, y)
    size = None if stream else 6
    last = 15 if stream else 12  # a stream is looked at now and then
    match = r"4 steps in a row, up to step \d+, were skipped .*batch 1[25] of .* is saved as "
    options = {"checkpoints": checkpoints, "record_every": 15, "steps": 15}
    with pytest.raises(train.NonFinite, match=match) as caught:
        fit(source, batch_size=size, max_skipped=4, **options)
    assert caught.value.step == last
    want = new_state()
    for rows in orders[:8]:
        want, _ = step_of()(want, (jnp.asarray(x[rows]), jnp.asarray(y[rows])))
    assert_same_bits(arrays(caught.value.state), arrays(want))
    saved, position = checkpoints.restore(new_state())
    assert saved.step == last
    assert_same_bits(arrays(saved), arrays(want))
    if not stream:  # once more over the same data: four more, and it stops again
        with pytest.raises(train.NonFinite) as caught:
            fit((x, y), state=saved, position=position, max_skipped=3, steps=30)
        assert caught.value.step == 15
    checkpoints.close()


def test_skipped_steps_in_a_row_are_counted_across_records_and_resumes(tmp_path):
    x, y = (np.array(array) for array in examples())
    orders = FEED._permutation(0, 0, 90).reshape(15, 6)
    x[orders[3:9].ravel()] = np.nan
    with pytest.raises(train.NonFinite, match="up to step 9,"):
        fit((x, y), steps=15, record_every=2, max_skipped=6)
    checkpoints = train.Checkpoints(tmp_path)
    options = {"record_every": 5, "max_skipped": 6}
    fit((x, y), steps=7, checkpoints=checkpoints, **options)
    state, position = checkpoints.restore(new_state())
    with pytest.raises(train.NonFinite, match="up to step 9,"):
        fit((x, y), state=state, position=position, steps=15, **options)
    checkpoints.close()
    _, history = fit((x, y), steps=15, max_skipped=7)
    assert len(history) == 2
