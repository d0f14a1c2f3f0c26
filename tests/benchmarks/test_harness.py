import dataclasses
import math
import time

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import _harness
from benchmarks._harness import Entry, Work, difference, measure
from tests.benchmarks.toys import absent, sleeper, toy


def test_times_are_those_of_the_work():
    result = measure(toy(0.004, other=sleeper(0.008), limit=0.002), rounds=7, sample_seconds=0.01)
    ratio = np.median(result.wall["other"] / result.wall["ours"])
    assert ratio == pytest.approx(2, rel=0.2)
    assert result.wall["ours"].min() >= 0.004
    assert np.median(result.wall["ours"] / result.wall["limit"]) == pytest.approx(2, rel=0.2)
    assert all(len(times) == 7 for times in result.wall.values())
    # Asleep, a thread uses no processor.
    assert np.median(result.cpu["other"]) < 0.004


def test_fast_work_is_repeated_and_a_time_is_that_of_one_call():
    calls = []
    entry = Entry(make=lambda: Work(call=lambda: calls.append(time.sleep(0.001))))
    benchmark = dataclasses.replace(toy(), ours=entry)
    result = measure(benchmark, rounds=3, sample_seconds=0.01)
    assert 2 <= result.calls["ours"] <= 10
    assert 0.001 <= result.wall["ours"].min() < 0.002
    # One to compile, two to calibrate, then the rounds.
    assert len(calls) == 3 + 3 * result.calls["ours"]


def test_wrong_competitor_is_named_and_not_timed():
    benchmark = toy(right=sleeper(0.001), wrong=sleeper(0.001, value=1.001))
    result = measure(benchmark, rounds=1)
    assert set(result.wall) == {"ours", "right"}
    assert set(result.disqualified) == {"wrong"}
    assert "differs from ours by 0.001, more than 0.0001" in result.disqualified["wrong"]
    assert result.disagreement["right"] == 0.0


def test_witness_is_compared_in_place_of_the_value():
    """Two training steps return the same number by chance; their losses tell them apart."""

    def entry(losses):
        return Entry(make=lambda: Work(call=lambda: jnp.ones(()), witness=lambda: losses))

    benchmark = dataclasses.replace(
        toy(), ours=entry([3.0, 2.0]), others={"same": entry([3.0, 2.0]), "not": entry([3.0, 2.1])}
    )
    result = measure(benchmark, rounds=1, sample_seconds=1e-4)
    assert set(result.disqualified) == {"not"}


def test_limit_is_not_compared():
    assert "limit" in measure(toy(limit=0.001), rounds=1).wall


def test_missing_peer_is_skipped_and_never_imported():
    result = measure(toy(peer=absent()), rounds=1)
    assert result.skipped == {"peer": "not installed: no_such_package"}
    assert set(result.wall) == {"ours"}


def test_failing_peer_costs_only_itself():
    def make():
        raise RuntimeError("their interface changed")

    result = measure(toy(peer=Entry(make=make)), rounds=1)
    assert result.disqualified == {"peer": "RuntimeError: their interface changed"}


def test_failing_ours_is_an_error():
    def make():
        raise RuntimeError("ours is broken")

    with pytest.raises(RuntimeError, match="ours is broken"):
        measure(dataclasses.replace(toy(), ours=Entry(make=make)), rounds=1)
    lacking = dataclasses.replace(toy(), ours=Entry(make=make, needs=("no_such_package",)))
    with pytest.raises(ValueError, match="toy: `ours` needs no_such_package"):
        measure(lacking, rounds=1)


def test_state_is_reset_before_every_sample():
    events = []
    work = Work(call=lambda: events.append("call"), reset=lambda: events.append("reset"))
    benchmark = dataclasses.replace(toy(), ours=Entry(make=lambda: work))
    result = measure(benchmark, rounds=2, sample_seconds=1e-9)
    assert result.calls["ours"] == 1
    # Two calibrating samples and two rounds, after the first call.
    assert events == ["call", *["reset", "call"] * 4]


def test_entries_take_turns_in_changing_order(monkeypatch):
    order = []
    sampled = _harness.sample

    def spy(work, calls):
        order.append(work)
        return sampled(work, calls)

    monkeypatch.setattr(_harness, "sample", spy)
    benchmark = toy(1e-6, a=sleeper(1e-6), b=sleeper(1e-6))
    measure(benchmark, rounds=12, sample_seconds=1e-9)
    rounds = [tuple(map(id, order[i : i + 3])) for i in range(6, len(order), 3)]
    assert len(rounds) == 12
    assert all(len(set(turn)) == 3 for turn in rounds)
    assert len(set(rounds)) > 1
    assert {turn[0] for turn in rounds} == set(map(id, order))


def test_progress_is_told_of_every_entry_and_round():
    told = []
    measure(toy(other=sleeper(1e-6), limit=1e-6), rounds=2, advance=told.append)
    assert told == [
        "building ours",
        "building other",
        "building limit",
        "round 1 of 2",
        "round 2 of 2",
    ]


@pytest.mark.parametrize(
    ("ours", "theirs", "want"),
    [
        ([1.0, -4.0], [1.0, -4.0], 0.0),
        ([1.0, -4.0], [1.0, -3.0], 0.25),
        (
            {"a": jnp.ones(2), "b": jnp.full(2, 10.0)},
            {"a": jnp.ones(2), "b": jnp.full(2, 9.0)},
            0.1,
        ),
        (jnp.ones(2), jnp.ones(3), math.inf),
        (jnp.ones(2), [jnp.ones(2), jnp.ones(2)], math.inf),
        (jnp.ones(2), jnp.array([1.0, jnp.nan]), math.inf),
        (jnp.array(jnp.nan), jnp.array(jnp.nan), math.inf),
        (jnp.zeros(2), jnp.zeros(2), 0.0),
    ],
)
def test_difference(ours, theirs, want):
    assert difference(ours, theirs) == pytest.approx(want)
