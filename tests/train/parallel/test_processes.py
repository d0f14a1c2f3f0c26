"""Two real processes, with four devices each, as one program over the loopback interface."""

import os
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from jaxnn.train.parallel import initialize

COMMAND = [sys.executable, "-u", "-m", "tests.train.parallel.worker"]
NAMES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")


@pytest.mark.parametrize(
    ("given", "variables", "message"),
    [
        (("a:1", 2), (), r"initialize: process \(JAX_PROCESS_ID\) missing; all three"),
        ((), ("a:1", "2"), r"process \(JAX_PROCESS_ID\) missing"),
        (("a", 2, 0), (), "`coordinator` is 'a'; it needs host:port"),
        (("a:x", 2, 0), (), "`coordinator` is 'a:x'"),
        (("a:1", 0, 0), (), "`processes` is 0"),
        (("a:1", 2, 2), (), "`process` is 2; .* 0 to 1"),
        ((), ("a:1", "two", "0"), r"`processes` \(JAX_NUM_PROCESSES\) is 'two'; .* whole number"),
        (("a:1",), ("b:2", "2", "7"), "`process` is 7"),
    ],
)
def test_bad_arguments_are_named(monkeypatch, given, variables, message):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in zip(NAMES, variables, strict=False):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(jax.distributed, "initialize", lambda *_: pytest.fail("it was called"))
    with pytest.raises(ValueError, match=message):
        initialize(*given)


def test_arguments_come_before_the_environment_and_the_cluster_last(monkeypatch):
    seen = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *args: seen.append(args))
    for name, value in zip(NAMES, ("b:2", "3", "1"), strict=True):
        monkeypatch.setenv(name, value)
    initialize("a:1", process=2)
    initialize()
    for name in NAMES:
        monkeypatch.delenv(name)
    initialize()
    assert seen == [("a:1", 3, 2), ("b:2", 3, 1), ()]


def test_an_unknown_cluster_is_said(monkeypatch):
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)

    def fail():
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(jax.distributed, "initialize", fail)
    with pytest.raises(RuntimeError, match=r"initialize: no known cluster .*JAX_PROCESS_ID"):
        initialize()


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(folder, count, **variables):
    """Start the processes; their lines go to files, which nobody need read for them to go on."""
    folder.mkdir(exist_ok=True)
    base = {k: v for k, v in os.environ.items() if k not in NAMES}
    base |= {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(8 // count), **variables}
    if count > 1:
        base |= {NAMES[0]: f"127.0.0.1:{free_port()}", NAMES[1]: str(count)}
    processes = []
    for number in range(count):
        mine = {NAMES[2]: str(number)} if count > 1 else {}
        with (folder / f"{number}.log").open("w") as log:
            processes.append(
                subprocess.Popen(
                    [*COMMAND, folder], env=base | mine, stdout=log, stderr=subprocess.STDOUT
                )
            )
    return processes


def finish(folder, processes):
    for number, process in enumerate(processes):
        text = folder / f"{number}.log"
        assert process.wait(timeout=120) == 0, text.read_text()[-2000:]
    return dict(np.load(folder / "params.npz"))


@pytest.mark.slow
@pytest.mark.parametrize("source", [{}, {"STREAM": "1"}], ids=["arrays", "stream"])
def test_killed_and_restarted_two_processes_end_like_one(tmp_path, source):
    """One is killed while both train; both are started again, and go on from a checkpoint."""
    started = []
    try:
        started += start(tmp_path / "one", 1, **source)
        folder = tmp_path / "two"
        pair = start(folder, 2, SLOW="1", **source)
        started += pair
        deadline = time.monotonic() + 120
        while not (folder / "checkpoints" / "4").is_dir():
            assert time.monotonic() < deadline, (folder / "0.log").read_text()[-2000:]
            assert all(process.poll() is None for process in pair)
            time.sleep(0.05)
        pair[1].kill()
        # The other waits for the one that is gone; whoever restarts them ends it.
        time.sleep(0.5)
        pair[0].kill()
        for process in pair:
            process.wait()
        assert not (folder / "params.npz").exists()
        again = start(folder, 2, **source)
        started += again
        got = finish(folder, again)
        want = finish(tmp_path / "one", started[:1])
        lines = (folder / "0.log").read_text().split("\n")
        (first,) = [line for line in lines if line.startswith("from ")]
        assert 0 < int(first.split()[1]) < 12
        assert "from 0" in (tmp_path / "one" / "0.log").read_text()
        assert got.keys() == want.keys()
        for name in want:
            np.testing.assert_allclose(got[name], want[name], atol=1e-6, err_msg=name)
    finally:
        for process in started:
            process.kill()
            process.wait()
