"""The command line: errors, table, file and exit code."""

import json
from pathlib import Path

import pytest
import tyro

from benchmarks import _registry
from jaxnn.cli._bench import BenchOptions, bench
from tests.benchmarks.toys import absent, sleeper, toy


@pytest.fixture
def toys(monkeypatch):
    """Put toys in place of the repository's benchmarks; returns the dictionary of them."""
    found = {"toy": lambda: toy(other=sleeper(0.004), limit=0.001)}
    monkeypatch.setattr(_registry, "names", lambda: tuple(found))
    monkeypatch.setattr(_registry, "load", lambda name: found[name]())
    return found


def run(*names, **options):
    return bench(BenchOptions(names=names, rounds=2, sample_seconds=1e-3, **options))


def test_table_and_file(toys, tmp_path, capsys):
    path = tmp_path / "bench.json"
    assert run("toy", json=path) == 0
    printed = capsys.readouterr().out
    for word in ("toy", "ours", "other", "limit", "GFLOP/s", str(path)):
        assert word in printed
    report = json.loads(path.read_text())
    assert [entry["name"] for entry in report["benchmarks"]] == ["toy"]
    assert report["machine"]["matmul_gflops"] > 0


def test_all_are_run_if_none_is_named(toys, tmp_path):
    toys["nap"] = toys["toy"]
    assert run(json=tmp_path / "bench.json") == 0
    assert len(json.loads((tmp_path / "bench.json").read_text())["benchmarks"]) == 2


def test_wrong_competitor_is_printed_and_fails_the_command(toys, capsys):
    toys["toy"] = lambda: toy(wrong=sleeper(0.001, value=2.0))
    assert run("toy") == 1
    assert "toy: wrong NOT TIMED, differs from ours by 1" in capsys.readouterr().out


def test_missing_peer_is_printed_and_is_no_failure(toys, capsys):
    toys["toy"] = lambda: toy(peer=absent())
    assert run("toy") == 0
    assert "toy: peer skipped, not installed: no_such_package" in capsys.readouterr().out


def test_broken_benchmark_does_not_cost_the_others(toys, tmp_path, capsys):
    def broken():
        raise RuntimeError("no such model")

    toys["broken"] = broken
    assert run(json=tmp_path / "bench.json") == 1
    assert "broken: FAILED, RuntimeError: no such model" in capsys.readouterr().out
    report = json.loads((tmp_path / "bench.json").read_text())
    assert [entry["name"] for entry in report["benchmarks"]] == ["toy"]
    assert report["failures"] == {"broken": "RuntimeError: no such model"}


def test_unknown_benchmark_names_the_nearest(capsys):
    assert run("mlp-trian-step") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "`mlp-trian-step` is no benchmark; the nearest are mlp-train-step" in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (BenchOptions(rounds=0), "`--rounds` is 0; it needs a whole number above zero"),
        (BenchOptions(sample_seconds=0.0), "`--sample-seconds` is 0.0; it needs a number above"),
    ],
)
def test_bad_numbers_are_named(options, message, capsys):
    assert bench(options) == 2
    assert message in capsys.readouterr().err


def test_without_the_repository_there_is_one_clear_line(tmp_path, capsys):
    assert bench(BenchOptions(), folder=tmp_path / "benchmarks") == 2
    error = capsys.readouterr().err
    assert error == (
        "jaxnn bench: benchmarks live in the repository, not in the installed package\n"
    )


def test_another_package_of_the_same_name_is_not_mistaken_for_ours(tmp_path, capsys):
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").touch()
    assert bench(BenchOptions(), folder=tmp_path / "benchmarks") == 2
    assert "is imported as `benchmarks` in place of" in capsys.readouterr().err


def test_list_says_what_each_times(capsys):
    assert bench(BenchOptions(list=True)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(_registry.names())
    assert all(len(line.split()) > 3 for line in lines)


def test_options_are_read_from_the_command_line():
    options = tyro.cli(
        BenchOptions,
        args=["mlp-train-step", "kan-train-step", "--json", "out.json", "--rounds", "3"],
    )
    assert options == BenchOptions(
        names=("mlp-train-step", "kan-train-step"), json=Path("out.json"), rounds=3
    )
    assert tyro.cli(BenchOptions, args=["--list"]).list
