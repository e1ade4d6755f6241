"""Axis kinds: which axes of all variables of a graph are of one kind, in its loops too.

The batch, time and the units of a layer are kinds. Two axes are of one kind if their lengths are
bound to be the same, or if one is a part of the other: those of a state and of the state in the
step before, of what is added, of a sequence outside and its steps inside. Each op says so for its
own axes (`axis_rules`), and the boundaries of loops for those inside. From there it is a matter of
joining sets.

An axis may also be of several kinds at once: what is flattened from (time, batch) is of both.

Sharp edge: kinds that meet anywhere are one. A square matrix of weights makes one kind of the units
before and after it, which is why more than one axis of a variable may have a kind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bnrewrite.graph.axis_rules import links
from bnrewrite.graph.boundaries import OpBoundary, boundary_of, is_loop
from bnrewrite.graph.engine import Constant, SharedVariable, Variable
from bnrewrite.graph.factors import Factors, factors
from bnrewrite.graph.rebuild import topological_order
from bnrewrite.graph.statistics import Path


class Kind(NamedTuple):
    """An axis at its place, that stands for all of its kind; a number if the axis is None."""

    path: Path
    variable: Variable
    axis: int | None


class AxisKinds:
    """The kinds of the axes of everything that `outputs` are computed from."""

    def __init__(self, outputs: Sequence[Variable]) -> None:
        self._parent: dict[Kind, Kind] = {}
        self._products: list[tuple[Kind, list[Kind]]] = []
        self._parameters: list[Kind] = []
        self._loops: list[Path] = []
        self._visit(outputs, ())
        self._parts: dict[Kind, set[Kind]] = {}
        for kind, parts in self._products:
            self._parts.setdefault(self._find(kind), set()).update(parts)

    def of(self, variable: Variable, axis: int | None, path: Path = ()) -> set[Kind]:
        """The kinds of an axis: one, or those that it is flattened from."""
        return self._expanded(self._find(Kind(path, variable, axis)), set())

    def of_steps(self, path: Path) -> Kind:
        """The kind of the steps of the loop that `path` ends in."""
        return self._find(_steps(path))

    def all_steps(self) -> set[Kind]:
        """The kinds of the steps of all loops."""
        return {self.of_steps(path) for path in self._loops}

    def of_parameters(self) -> set[Kind]:
        """The kinds of axes that parameters and constants have."""
        return {self._find(kind) for kind in self._parameters}

    def _find(self, kind: Kind) -> Kind:
        while (parent := self._parent.get(kind, kind)) is not kind:
            self._parent[kind] = kind = self._parent.get(parent, parent)
        return kind

    def _expanded(self, kind: Kind, seen: set[Kind]) -> set[Kind]:
        parts = {self._find(part) for part in self._parts.get(kind, ())} - seen
        if not parts or kind in parts:  # as one axis joined to another is, in length
            return {kind}
        return set().union(*(self._expanded(part, {*seen, kind}) for part in parts))

    def _join(self, one: Kind, other: Kind) -> None:
        one, other = self._find(one), self._find(other)
        if one != other:
            self._parent[other] = one

    def _link(self, kind: Kind, path: Path, lengths: Factors) -> None:
        others = [Kind(path, *length) for length in lengths]
        if len(others) == 1:
            self._join(kind, others[0])
        elif others:
            self._products.append((kind, others))

    def _visit(self, outputs: Sequence[Variable], path: Path) -> None:
        for node in topological_order(outputs, (), None):
            self._parameters += [
                Kind(path, v, axis) for v in node.inputs if _is_parameter(v) for axis in _axes(v)
            ]
            boundary = boundary_of(node)
            if boundary is not None:
                self._visit(boundary.inner_outputs, (*path, node))
                self._cross(boundary, path)
                continue
            for dependency, lengths in links(node):
                self._link(Kind(path, *dependency), path, lengths)

    def _cross(self, boundary: OpBoundary, path: Path) -> None:
        """Join what is outside of a node with an inner graph with what is inside."""
        inside = (*path, boundary.node)
        for inner, outer in _pairs(boundary):
            new_axes = len(_axes(outer)) - len(_axes(inner))
            for axis in _axes(inner):
                self._join(Kind(inside, inner, axis), Kind(path, outer, axis + new_axes))
            if not _axes(outer):
                self._join(Kind(inside, inner, None), Kind(path, outer, None))
        if is_loop(boundary.node):
            self._cross_steps(boundary, path, inside)

    def _cross_steps(self, boundary: OpBoundary, path: Path, inside: Path) -> None:
        """Join the leading axes of all that a loop takes or returns by the step."""
        self._loops.append(inside)
        steps, n_steps = _steps(inside), factors(boundary.node.inputs[0])
        if len(n_steps) == 1:
            self._link(steps, path, n_steps)
        for inner, outer in _pairs(boundary):
            if len(_axes(outer)) > len(_axes(inner)):
                self._join(steps, Kind(path, outer, 0))


def _steps(path: Path) -> Kind:
    return Kind(path, path[-1].inputs[0], None)


def _pairs(boundary: OpBoundary) -> Iterator[tuple[Variable, Variable]]:
    """What is inside a node, with what it is or comes from outside."""
    for inner in boundary.inner_inputs:
        yield from ((inner, outer) for outer in boundary.fed_by(inner))
    for output in boundary.node.outputs:
        yield from ((inner, output) for inner in boundary.inside(output))


def _axes(variable: Variable) -> list[int]:
    """The axes of a variable that may be longer than 1."""
    return list(range(getattr(variable.type, "ndim", 0)))


def _is_parameter(variable: Variable) -> bool:
    return isinstance(variable, SharedVariable | Constant)
