import dataclasses
import json

import numpy as np
import pytest

from benchmarks import _machine, _report
from benchmarks._harness import Result, measure
from tests.benchmarks.toys import absent, sleeper, toy


def result(units=1):
    """A result whose rounds were slowed by another program: ratios are steady, times are not."""
    load = np.array([1.0, 5.0, 2.0])
    benchmark = dataclasses.replace(toy(other=sleeper(0.001), limit=0.001), units=units)
    wall = {"ours": 2.0 * load, "other": 3.0 * load, "limit": 1.0 * load, "yardstick": 0.5 * load}
    return Result(
        benchmark=benchmark,
        wall=wall,
        cpu=wall,
        compile_seconds=dict.fromkeys(("ours", "other", "limit"), 0.5),
        disagreement={"other": 0.0, "wrong": float("inf")},
        skipped={"peer": "not installed: peer"},
        disqualified={"wrong": "differs"},
        calls=dict.fromkeys(wall, 4),
    )


def test_ratios_are_taken_within_rounds():
    entry = _report.record(result())
    assert entry["ratios"] == {"other": pytest.approx(1.5)}
    assert entry["limit_ratio"] == pytest.approx(2.0)
    assert entry["spread"]["other"] == pytest.approx([1.5, 1.5])
    assert entry["spread"]["limit"] == pytest.approx([2.0, 2.0])
    assert entry["ours_seconds"] == pytest.approx(4.0)


def test_seconds_are_those_of_one_unit_and_ratios_do_not_change():
    whole, units = _report.record(result()), _report.record(result(units=10))
    assert units["ours_seconds"] == pytest.approx(whole["ours_seconds"] / 10)
    assert units["others"]["other"] == pytest.approx(whole["others"]["other"] / 10)
    assert units["ratios"] == whole["ratios"]
    assert units["limit_ratio"] == whole["limit_ratio"]


def test_schema(tmp_path):
    yardstick = _machine.product()
    benchmark = toy(0.001, other=sleeper(0.001), peer=absent())
    results = [measure(benchmark, rounds=2, sample_seconds=1e-3, yardstick=yardstick)]
    report = {
        "benchmarks": [_report.record(r) for r in results],
        "machine": _report.machine(_machine.describe(), results, _machine.OPERATIONS),
    }
    _report.write(tmp_path / "new" / "bench.json", report)
    read = json.loads((tmp_path / "new" / "bench.json").read_text())
    assert read == report
    [entry] = read["benchmarks"]
    assert entry["name"] == "toy"
    assert isinstance(entry["ours_seconds"], float)
    assert set(entry["others"]) == set(entry["ratios"]) == set(entry["spread"]) == {"other"}
    assert entry["limit_ratio"] is None
    assert entry["skipped"] == {"peer": "not installed: no_such_package"}
    assert entry["rounds"] == 2
    low, high = entry["spread"]["other"]
    assert low <= entry["ratios"]["other"] <= high
    assert read["machine"]["matmul_gflops"] > 0.1
    assert read["machine"]["versions"]["jax"]


def test_rate_counts_operations_per_second():
    machine = _report.machine({}, [result()], operations=1e9)
    assert machine["matmul_gflops"] == pytest.approx(1.0)  # the middle sample took a second


def test_infinite_disagreement_is_null_as_json_knows_no_infinity(tmp_path):
    entry = _report.record(result())
    assert entry["disagreement"] == {"other": 0.0, "wrong": None}
    _report.write(tmp_path / "bench.json", entry)


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "bench.json"
    _report.write(path, {"value": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        _report.write(path, {"value": float("nan")})
    assert json.loads(path.read_text()) == {"value": 1}
    assert list(tmp_path.iterdir()) == [path]
