"""Start a command that trains, kill it when something is seen on disk, and read what it left.

Made for any command that writes a run's folder: the script beside this file, or ``jaxnn train``.
"""

import os
import subprocess
import time
from pathlib import Path

from jaxnn import train
from tests.conftest import CACHE

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {
    "JAX_PLATFORMS": "cpu",
    "JAX_COMPILATION_CACHE_DIR": str(CACHE),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}


def start(command):
    """Start a command in the repository with the tests' compilation cache."""
    return subprocess.Popen(
        [str(part) for part in command],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    """Wait for the end and see that it was a good one."""
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output


def kill_when(command, seen):
    """Run a command and kill it, with no chance to react, as soon as ``seen()`` is true."""
    process = start(command)
    while not seen():
        if process.poll() is not None:
            raise AssertionError(f"ended before it was killed:\n{process.communicate()[0]}")
        time.sleep(0.0005)
    process.kill()
    process.communicate()
    assert process.returncode == -9


def recorded(folder):
    """At least one record is on disk."""
    path = Path(folder) / "metrics.jsonl"
    return path.is_file() and path.stat().st_size > 0


def saved(folder, least=1):
    """At least so many checkpoints are complete."""
    return len(train.Checkpoints(Path(folder) / "checkpoints").steps()) >= least


def saving(folder):
    """A checkpoint is half written."""
    return any((Path(folder) / "checkpoints").glob("*tmp*"))


def outcome(folder, template):
    """The newest checkpoint and all records on disk."""
    run = train.open_run(folder)
    state, position = run.open_checkpoints().restore(template)
    return state, position, run.records()
