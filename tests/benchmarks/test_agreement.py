"""Every benchmark's entries still do the same work: a changed default of ours shows here."""

import pytest

from benchmarks import _registry
from benchmarks._harness import difference, missing

TRAINING = [n for n in _registry.names() if n.endswith("-step") or n == "fit-dispatch"]


def _witness(entry):
    witness = entry.make().witness
    assert witness is not None
    return witness()


@pytest.mark.slow
@pytest.mark.parametrize("name", _registry.names())
def test_entries_agree_with_ours(name):
    benchmark = _registry.load(name)
    ours = _witness(benchmark.ours)
    for other, entry in benchmark.others.items():
        if not missing(entry):
            assert difference(ours, _witness(entry)) <= benchmark.tolerance, other


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINING)
def test_witnesses_are_losses_that_training_moved(name):
    """A constant witness (a step that learns nothing) would agree with anything as idle."""
    losses = _witness(_registry.load(name).ours)
    assert len(losses) >= 3
    assert losses[-1] < losses[0]
