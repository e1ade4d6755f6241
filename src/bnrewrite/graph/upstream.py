"""Upstream: what a variable is computed from, through the boundaries of loops.

A place is a variable and the nodes with an inner graph around it: loops share the inputs of their
bodies, so that a variable alone does not say where it is. Next upstream of a place are the places
that it is computed from. Upstream of an output of a loop is what the body returns for it, of an
input of the body what it is given, and of a state what the body returned for it in the step before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from bnrewrite.graph.boundaries import OpBoundary, boundary_of, is_while_loop
from bnrewrite.graph.engine import Apply, Shape, Shape_i, Variable
from bnrewrite.graph.scope import Scope
from bnrewrite.graph.statistics import Path, Statistic

Place = tuple[Path, Variable]
Edges = dict[Place, list[Place]]


def upstream_of(places: Iterable[Place], is_end: Callable[[Place], bool]) -> Edges:
    """All that is upstream of `places`, each with what is next upstream: nothing for an end."""
    edges: Edges = {}
    boundaries: dict[Apply, OpBoundary | None] = {}
    todo = list(places)
    while todo:
        place = todo.pop()
        if place not in edges:
            edges[place] = [] if is_end(place) else _next_upstream(place, boundaries)
            todo.extend(edges[place])
    return edges


def _next_upstream(place: Place, boundaries: dict[Apply, OpBoundary | None]) -> list[Place]:
    path, variable = place
    node = variable.owner
    if node is None:
        around = _boundary(path[-1], boundaries) if path else None
        if around is None or not around.is_input(variable):
            return []
        return [(path[:-1], v) for v in around.fed_by(variable)]
    boundary = _boundary(node, boundaries)
    if boundary is None:
        return [(path, v) for v in node.inputs]
    inside = [*boundary.always_inside, *boundary.inside(variable)]
    outside = [*boundary.always_outside, *boundary.outside(variable)]
    return [*(((*path, node), v) for v in inside), *((path, v) for v in outside)]


def _boundary(node: Apply, boundaries: dict[Apply, OpBoundary | None]) -> OpBoundary | None:
    if node not in boundaries:
        boundaries[node] = boundary_of(node)
    return boundaries[node]


def downstream_of(places: Iterable[Place], edges: Edges, ends: Collection[Place]) -> set[Place]:
    """The `places`, and those of `edges` downstream of them, up to and without the `ends`."""
    readers: Edges = {}
    for reader, read in edges.items():
        for place in read:
            readers.setdefault(place, []).append(reader)
    found: set[Place] = set()
    todo = list(places)
    while todo:
        place = todo.pop()
        if place not in found and place not in ends:
            found.add(place)
            todo.extend(readers.get(place, ()))
    return found


def is_length(place: Place) -> bool:
    """Whether a place has the lengths of an array, which say nothing of its values."""
    node = place[1].owner
    return node is not None and isinstance(node.op, Shape | Shape_i)


def needed_statistics(scope: Scope, outputs: Sequence[Variable]) -> list[Statistic]:
    """The statistics that `outputs` still need when statistics are given.

    Not those that only other statistics are computed from, nor the one of two moments that nothing
    reads.
    """
    statistics = {(s.path, s.variable): s for s in scope.all_statistics()}
    reached = upstream_of((((), v) for v in outputs), statistics.__contains__)
    return [s for place, s in statistics.items() if place in reached]


def stops(output: Variable) -> list[Place]:
    """The conditions on which the while-loops upstream of `output` stop."""
    reached = upstream_of([((), output)], lambda place: False)
    nodes = {(path, v.owner): None for path, v in reached if v.owner and is_while_loop(v.owner)}
    conditions: list[Place] = []
    for path, node in nodes:
        boundary = boundary_of(node)
        assert boundary is not None
        conditions.append(((*path, node), boundary.always_inside[-1]))
    return conditions


def steps_are_fixed(path: Path, inputs: Collection[Variable]) -> bool:
    """Whether the loop that `path` ends in has room for as many steps whatever the `inputs`."""
    reached = upstream_of([(path[:-1], path[-1].inputs[0])], lambda place: False)
    return not any(((), v) in reached for v in inputs)


def values_read(places: Iterable[Place], inputs: Collection[Variable]) -> list[Variable]:
    """The `inputs` whose values, and not lengths alone, `places` are computed from."""
    reached = upstream_of(places, is_length)
    return [v for v in inputs if ((), v) in reached]
