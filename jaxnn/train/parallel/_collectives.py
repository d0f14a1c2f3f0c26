"""What a compiled program sends, read from its text."""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

import jax

KINDS = ("all-gather", "all-reduce", "all-to-all", "collective-permute", "reduce-scatter")
INSTRUCTION = re.compile(rf" = (.*?) ({'|'.join(KINDS)})(-start)?\(")
ARRAY = re.compile(r"[a-z]+(\d*)\w*\[([\d,]*)\]")
CALLED = re.compile(
    r"(?:body|calls|to_apply|true_computation|false_computation)=%([\w.-]+)"
    r"|branch_computations=\{([^}]*)\}"
)


class Collective(NamedTuple):
    """One kind of communication at one place of a program.

    Attributes:
      kind: ``"all-gather"``, ``"all-reduce"``, ``"all-to-all"``, ``"collective-permute"`` or
        ``"reduce-scatter"``.
      size: bytes on each device: of what a gather gives, of what any other takes.
      devices: how many take part in one group.
      times: how often it runs, in a loop whose length is known.
    """

    kind: str
    size: int
    devices: int
    times: int

    @property
    def sent(self) -> float:
        """Bytes that a device sends in all, each piece once: a sum goes round a ring twice."""
        if self.kind == "collective-permute":
            return float(self.size * self.times) if self.devices > 1 else 0.0
        rounds = 2 if self.kind == "all-reduce" else 1
        return rounds * self.size * self.times * (self.devices - 1) / self.devices


def collectives(compiled: jax.stages.Compiled | str) -> tuple[Collective, ...]:
    """List what the devices of a compiled program send to each other.

    Args:
      compiled: ``jax.jit(f).lower(...).compile()``, or its text.

    Returns:
      Every collective of the program. Loops count as often as they run, if the compiler knows
      that, else once; of a conditional all branches count.

    Example:
      >>> found = collectives(step.lower(state, batch).compile())
      >>> sum(collective.sent for collective in found if collective.kind == "all-reduce")
    """
    text = compiled if isinstance(compiled, str) else compiled.as_text() or ""
    return tuple(
        _read(line, found, times)
        for lines, times in computations(text)
        for line in lines
        if (found := INSTRUCTION.search(line))
    )


def computations(text: str) -> Iterator[tuple[list[str], int]]:
    """Give the lines of each computation that a program runs, and how often it runs them."""
    bodies: dict[str, list[str]] = {}
    entry, lines = "", []
    for line in re.sub(r"/\*.*?\*/", "", text).splitlines():
        head = re.match(r"(ENTRY )?%?([\w.-]+) \(.*\{$", line)
        if head:
            lines = bodies.setdefault(head[2], [])
            entry = head[2] if head[1] else entry
        else:
            lines.append(line)
    yield from _walk(bodies, entry, 1)


def _walk(bodies: dict[str, list[str]], name: str, times: int) -> Iterator[tuple[list[str], int]]:
    yield bodies.get(name, []), times
    for line in bodies.get(name, []):
        if INSTRUCTION.search(line):
            continue
        trips = re.search(r'"known_trip_count":\{"n":"(\d+)"', line)
        for one, several in CALLED.findall(line):
            for inner in [one] if one else re.findall(r"%([\w.-]+)", several):
                yield from _walk(bodies, inner, times * (int(trips[1]) if trips else 1))


def _read(line: str, found: re.Match[str], times: int) -> Collective:
    shape, kind, start = found.groups()
    if start and kind in ("all-gather", "collective-permute"):
        # Begun and ended apart, these two give what they take beside what comes of it.
        shape = _parts(shape)[1]
    size = sum(_bytes(*array) for array in ARRAY.findall(shape))
    devices = _devices(line)
    if kind == "reduce-scatter":
        size *= devices
    return Collective(kind, size, devices, times)


def _parts(shape: str) -> list[str]:
    """Split a tuple's text at its outermost commas."""
    parts, depth = [""], 0
    for letter in shape[1:-1]:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _bytes(bits: str, sizes: str) -> int:
    """Count the bytes of an array such as ``f32[2,3]`` or ``pred[4]``."""
    count = math.prod(int(size) for size in sizes.split(",") if size)
    return (count * (int(bits) if bits else 8) + 7) // 8


def _devices(line: str) -> int:
    """Give the size of a group, which is written in one of four ways."""
    axes = re.search(r"replica_groups=\S*mesh\[(.*?)\].*? \{(.*?)\}", line)
    if axes:
        sizes = dict(re.findall(r"'(\w+)'=(\d+)", axes[1]))
        return math.prod(int(sizes[name]) for name in re.findall(r"'(\w+)'", axes[2]))
    iota = re.search(r"replica_groups=\[\d+,(\d+)\]", line)
    if iota:
        return int(iota[1])
    groups = re.search(r"replica_groups=\{\{([\d,]*)\}", line)
    if groups:
        return len(groups[1].split(","))
    pairs = re.search(r"source_target_pairs=\{(.*?)\}\}", line)
    if pairs:
        return len(set(re.findall(r"\d+", pairs[1])))
    return 1
