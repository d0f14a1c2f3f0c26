"""A graph made ready to run: subgraphs opened, cycles found, an order of execution.

Where the graph has no cycle, a node sees a whole sequence at once. The nodes of a cycle run step
by step together. In a cycle, an edge back to a node that has run already carries the value of
the step before; a delay of at least one step needs no such edge, its output being known before
its input.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """Nodes that run together.

    Attributes:
      nodes: their names, in the order they run within a step.
      recurrent: whether they are a cycle.
      back: edges within the part that carry the value of the step before.
    """

    nodes: tuple[str, ...]
    recurrent: bool
    back: frozenset[tuple[str, str]]


def open_subgraphs(
    graph: Any, kind: type, prefix: str = ""
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Give all nodes by their full names, and the edges between them.

    A subgraph's own inputs and outputs stay as nodes that pass on what they get.
    """
    nodes: dict[str, Any] = {}
    edges: list[tuple[str, str]] = []
    enter: dict[str, list[str]] = {}
    leave: dict[str, list[str]] = {}
    for name, node in graph.nodes.items():
        full = prefix + name
        if isinstance(node, kind):
            inner_nodes, inner_edges = open_subgraphs(node, kind, f"{full}.")
            nodes.update(inner_nodes)
            edges.extend(inner_edges)
            enter[name] = [f"{full}.{inner}" for inner in node.inputs]
            leave[name] = [f"{full}.{inner}" for inner in node.outputs]
        else:
            nodes[full] = node
            enter[name] = leave[name] = [full]
    for source, target in graph.edges:
        for name in (source, target):
            if name not in enter:
                raise ValueError(f"from_nir: an edge names the node {name!r}, which is missing.")
        edges.extend((a, b) for a in leave[source] for b in enter[target])
    return nodes, edges


def reached(start: str, edges: list[tuple[str, str]]) -> set[str]:
    """Give the nodes to which edges lead from a node, itself among them."""
    targets: dict[str, list[str]] = {}
    for source, target in edges:
        targets.setdefault(source, []).append(target)
        targets.setdefault(target, [])
    return set(_finished([start], {start: [], **targets}))


def parts(
    names: Iterable[str], edges: list[tuple[str, str]], early: frozenset[str]
) -> tuple[Part, ...]:
    """Sort nodes into parts in the order in which they run.

    Args:
      names: all nodes, the input first.
      edges: between them.
      early: nodes whose output in a step does not need their input of that step.
    """
    targets: dict[str, list[str]] = {name: [] for name in names}
    for source, target in edges:
        targets[source].append(target)
    order = _finished(targets, targets)[::-1]
    sources: dict[str, list[str]] = {name: [] for name in targets}
    for source, target in edges:
        sources[target].append(source)
    # Kosaraju: what the reversed graph reaches, from the first to the last, is a component.
    seen: set[str] = set()
    found = []
    for name in order:
        if name in seen:
            continue
        members = set(_finished([name], sources, seen))
        looped = len(members) > 1 or name in targets[name]
        found.append(_part([n for n in order if n in members], looped, targets, early))
    return tuple(found)


def _finished(
    starts: Iterable[str], targets: Mapping[str, list[str]], seen: set[str] | None = None
) -> list[str]:
    """Walk depth first, and give the nodes in the order in which they were left."""
    seen = set() if seen is None else seen
    done = []
    for start in starts:
        if start in seen:
            continue
        seen.add(start)
        stack = [(start, iter(targets[start]))]
        while stack:
            name, rest = stack[-1]
            following = next((n for n in rest if n not in seen), None)
            if following is None:
                done.append(name)
                stack.pop()
            else:
                seen.add(following)
                stack.append((following, iter(targets[following])))
    return done


def _part(
    members: list[str], looped: bool, targets: Mapping[str, list[str]], early: frozenset[str]
) -> Part:
    if not looped:
        return Part((members[0],), False, frozenset())
    first = [n for n in members if n in early]
    late = {n: [t for t in targets[n] if t in members and t not in early] for n in members}
    order = first + [n for n in _finished(members, late)[::-1] if n not in early]
    place = {name: i for i, name in enumerate(order)}
    back = {(a, b) for a in order for b in late[a] if place[b] <= place[a]}
    return Part(tuple(order), True, frozenset(back))
