import pytest

from benchmarks._weak_scaling import FORMS, table


def test_what_is_computed_and_sent_is_what_theory_says():
    """By each form of parallelism, on two and eight devices, to the byte."""
    rows = table((2, 8))
    assert len(rows) == 2 * len(FORMS) == 10
    for row in rows:
        assert row.flops == row.flops_theory > 0, row
        assert row.sent == pytest.approx(row.sent_theory), row
        assert row.sent > 0, row
