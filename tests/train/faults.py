"""Kill, stop, damage and starve ``jaxnn train``, resume it each time, and compare the bits.

``python -m tests.train.faults --kills 30 --seed 0`` prints the table. All faults of a kind hit one
run, one after the other; its end is compared with that of a run that nothing happened to.
"""

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from jaxnn.cli._evaluate import load_run
from tests.train.killing import ENVIRONMENT, ROOT, saved, start
from tests.train.toys import assert_same_bits, without_seconds

# A second of training, at the most, goes by between two faults; so that all find a run to hit.
STEPS_PER_FAULT = 3000
OPTIONS = {
    "--batch-size": 32,
    "--hidden": 16,
    "--ema-decay": 0.9,
    "--dropout": 0.1,
    "--record-every": 35,
    "--checkpoint-every": 250,
    "--evaluate-every": 900,
}
DISK = 'mount -t tmpfs -o size="$1" none "$2" || exit 99; shift 2; "$@"; code=$?; '


class Row(NamedTuple):
    """What was done, how often, what was seen, and whether the end had the same bits."""

    fault: str
    times: int
    seen: str
    same_bits: bool


def train_command(folder: Path, steps: int, *more: str) -> list[str]:
    options = [str(part) for pair in OPTIONS.items() for part in pair]
    where = ["--runs", str(folder.parent), "--name", folder.name]
    command = [sys.executable, "-m", "jaxnn.cli", "train", "mlp", "digits"]
    return [*command, "--steps", str(steps), *options, *where, *more]


def resume(folder: Path, steps: int) -> list[str]:
    return train_command(folder, steps, *["--resume"] * (folder / "config.json").is_file())


def run_to_the_end(command: list[str]) -> str:
    done = subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=600
    )
    if done.returncode:
        raise AssertionError(f"exit code {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def same_end(folder: Path, whole: Path) -> bool:
    """Compare states, histories and records on disk."""
    got, want = (load_run(path.name, path.parent) for path in (folder, whole))
    arrays = [(s.step, s.params, s.opt_state, s.key, s.ema) for s in (got.state, want.state)]
    try:
        assert_same_bits(*arrays)
    except AssertionError:
        return False
    texts = [[without_seconds(r.history), without_seconds(r.run.records())] for r in (got, want)]
    return texts[0] == texts[1]


def training(process: subprocess.Popen, folder: Path, since: float) -> bool:
    """Wait until records are written; false if the process ended before."""
    metrics = folder / "metrics.jsonl"
    while process.poll() is None:
        if metrics.is_file() and metrics.stat().st_mtime > since and metrics.stat().st_size:
            return True
        time.sleep(0.001)
    return False


def writing(folder: Path, since: float) -> bool:
    """Whether a checkpoint is half written, and not by a process that was killed before."""
    halves = (folder / "checkpoints").glob("*tmp*")
    try:
        return any(path.stat().st_mtime > since for path in halves)
    except FileNotFoundError:  # it has been completed
        return False


def kill(folder: Path, steps: int, times: int, chance: random.Random) -> Row:
    """Kill at random moments of training, every third time inside a write of a checkpoint."""
    inside = kills = early = 0
    while kills < times:
        since = time.time()
        process = start(resume(folder, steps))
        wait = kills % 3 == 2
        if kills % 10 == 9:
            time.sleep(chance.uniform(0, 4))  # while it starts
            early += 1
        elif not training(process, folder, since):
            raise AssertionError(f"{kills} kills and it was done:\n{process.communicate()[0]}")
        elif wait:
            while process.poll() is None and not writing(folder, since):
                time.sleep(0.0002)
        else:
            time.sleep(chance.uniform(0, 0.4))
        process.kill()
        process.communicate()
        if process.returncode != -signal.SIGKILL:
            raise AssertionError(f"{kills} kills and it was done, with {process.returncode}")
        kills += 1
        inside += writing(folder, since)
    run_to_the_end(resume(folder, steps))
    return Row("kill -9", kills, f"{inside} inside a write, {early} while starting", True)


def stop(folder: Path, steps: int, times: int, chance: random.Random) -> Row:
    """Ask politely."""
    for _ in range(times):
        since = time.time()
        process = start(resume(folder, steps))
        assert training(process, folder, since), process.communicate()[0]
        time.sleep(chance.uniform(0, 0.3))
        process.terminate()
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 128 + signal.SIGTERM, output
        assert "stopped early and saved; continue with --resume" in output, output
    run_to_the_end(resume(folder, steps))
    return Row("SIGTERM", times, "saved and left, exit code 143", True)


def damage(folder: Path, steps: int, times: int, chance: random.Random) -> Row:
    """Flip bits of the newest checkpoint's largest file."""
    for _ in range(times):
        process = start(resume(folder, steps))
        newest = max(train_steps(folder), default=0)
        while not (saved(folder, 2) and max(train_steps(folder)) > newest):
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.001)
        process.kill()
        process.communicate()
        newest = folder / "checkpoints" / str(max(train_steps(folder)))
        files = [path for path in (newest / "state").rglob("*") if path.is_file()]
        largest = max(files, key=lambda path: path.stat().st_size)
        content = bytearray(largest.read_bytes())
        for place in range(chance.randrange(50), len(content), 50):  # some bytes are never read
            content[place] ^= 1 << chance.randrange(8)
        largest.write_bytes(content)
        process = start(resume(folder, steps))
        while process.poll() is None and max(train_steps(folder)) <= int(newest.name):
            time.sleep(0.001)
        process.kill()
        output = process.communicate()[0]
        assert f"checkpoint {newest} is damaged" in output, output
        assert "using the one before" in output, output
    run_to_the_end(resume(folder, steps))
    return Row("flipped bits", times, "named, the one before used", True)


def train_steps(folder: Path) -> list[int]:
    """The steps whose checkpoints are complete."""
    found = (folder / "checkpoints").glob("*")
    return sorted(int(path.name) for path in found if path.name.isdecimal())


def fill(folder: Path, steps: int) -> Row:
    """Train on a small disk of its own until it is full, make it larger, and resume."""
    disk = folder.parent / "disk"
    disk.mkdir()
    inner = disk / folder.name
    script = (
        DISK + '[ "$code" = 74 ] || exit "$code"; '
        'ls "$RUN/checkpoints" && mount -o remount,size=64m "$DISK" '
        '&& "$@" --resume && cp -r "$RUN" "$OUT"'
    )
    environment = ENVIRONMENT | {"RUN": str(inner), "DISK": str(disk), "OUT": str(folder)}
    command = ["unshare", "-rm", "sh", "-c", script, "sh", "500k", str(disk)]
    done = subprocess.run(
        [*command, *train_command(inner, steps)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    output = done.stdout + done.stderr
    if done.returncode in (1, 99) and "checkpoint" not in output:
        return Row("full disk", 0, "not tried: this machine lends no disk of one's own", True)
    assert done.returncode == 0, output
    said = [line for line in done.stderr.splitlines() if "could not be written" in line]
    assert len(said) == 1, output
    assert "no space left" in said[0].lower(), output
    return Row("full disk", 1, "one line, exit code 74", True)


def second(folder: Path, steps: int) -> Row:
    """Start another process on a run that is being trained."""
    since = time.time()
    process = start(resume(folder, steps))
    assert training(process, folder, since), process.communicate()[0]
    other = start(resume(folder, steps))
    output, _ = other.communicate(timeout=120)
    assert other.returncode == 2, output
    assert "is in use by another process" in output, output
    assert process.wait(timeout=600) == 0
    process.communicate()
    return Row("second process", 1, "refused, exit code 2", True)


def table(kills: int, seed: int, folder: Path) -> list[Row]:
    """Do everything, and give what was seen."""
    chance = random.Random(seed)
    few = max(1, kills // 10)
    rows = []
    plans = [
        ("kill", kills * STEPS_PER_FAULT, lambda *a: kill(*a, kills, chance)),
        ("stop", 2 * few * STEPS_PER_FAULT, lambda *a: stop(*a, few, chance)),
        ("damage", 3 * few * STEPS_PER_FAULT, lambda *a: damage(*a, few, chance)),
        ("full", 2 * STEPS_PER_FAULT, fill),
        ("second", 12 * STEPS_PER_FAULT, second),
    ]
    for name, steps, fault in plans:
        whole, hit = folder / f"{name}-whole", folder / f"{name}-hit"
        run_to_the_end(train_command(whole, steps))
        row = fault(hit, steps)
        if row.times:
            row = row._replace(same_bits=same_end(hit, whole))
        rows.append(row)
        print(f"{row.fault:<16}{row.times:>4}  {row.seen:<48}{row.same_bits}", flush=True)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="jaxnn-faults-"))
    print(f"{'fault':<16}{'hits':>4}  {'seen':<48}same bits at the end")
    try:
        rows = table(options.kills, options.seed, folder)
    finally:
        shutil.rmtree(folder)
    return 0 if all(row.same_bits for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
