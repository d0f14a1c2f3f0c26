"""Nothing is lost, whatever happens: the table of tests/train/faults.py, in small."""

import pytest

from tests.train import faults


@pytest.mark.slow
def test_every_fault_ends_with_the_same_bits(tmp_path):
    rows = faults.table(kills=4, seed=1, folder=tmp_path)
    assert [row.fault for row in rows if not row.same_bits] == []
    assert sum(row.times for row in rows) >= 7
