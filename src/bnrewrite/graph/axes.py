"""Axes: which axes of a graph are of one kind, such as that of the examples, at any depth of loops.

An axis has no name in a graph. But an op says of what it computes how long it is, and so from which
axis of what it reads an axis comes; and what is added or multiplied has the same axes. All that can
be told apart this way are different kinds: time from examples, examples from units. Slices of an
axis are of its kind. An axis into which others were flattened is of all of their kinds.

Two kinds are known by what they are for. A loop that carries a state goes over steps, not examples;
and parameters have no examples.

Sharp edge: where an op does not say from where a length comes, a new kind begins. So two axes may
be of one kind and not be known to be; not the other way round. That suits a warning of forgotten
marks, which must not be false. `axis_kinds` errs on the other side, as suits `verify`, which must
not take for examples what has other axes of their kind.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple

from bnrewrite.graph.axis_sources import n_axes, sources
from bnrewrite.graph.boundaries import OpBoundary, boundary_of
from bnrewrite.graph.engine import Apply, Constant, SharedVariable, Variable
from bnrewrite.graph.rebuild import topological_order
from bnrewrite.graph.statistics import Path


class Axis(NamedTuple):
    """An axis of a variable at its place."""

    path: Path
    variable: Variable
    number: int


Kinds = frozenset[Axis]  # each kind is stood for by one of its axes


class Axes:
    """The axes of all that `outputs` are computed from.

    Attributes
    ----------
    nodes : list of (Path, Apply)
        All nodes, at any depth.
    boundaries : dict of Apply to OpBoundary
        Those of nodes with a graph inside.
    """

    def __init__(self, outputs: Iterable[Variable]) -> None:
        self.nodes: list[tuple[Path, Apply]] = []
        self.boundaries: dict[Apply, OpBoundary] = {}
        self._same: dict[Axis, Axis] = {}
        self._parts: dict[Axis, list[Axis]] = {}
        self._steps: list[Axis] = []
        self._known: dict[tuple[Path, Variable], tuple[Kinds, ...]] = {}
        self._parameters: dict[Axis, None] = {}
        self._look_through(outputs, ())

    def of(self, path: Path, variable: Variable) -> tuple[Kinds, ...]:
        """The kinds of each axis of a variable."""
        key = (path, variable)
        if key not in self._known:
            axes = (Axis(path, variable, i) for i in range(n_axes(variable)))
            self._known[key] = tuple(self._kinds(axis) for axis in axes)
        return self._known[key]

    def all_of(self, path: Path, variable: Variable) -> Kinds:
        """The kinds of all axes of a variable."""
        return frozenset(chain.from_iterable(self.of(path, variable)))

    def steps(self) -> Kinds:
        """The kinds of the axes that loops with a state go over."""
        return frozenset(chain.from_iterable(map(self._kinds, self._steps)))

    def parameters(self) -> Kinds:
        """The kinds of the axes of shared variables and constants."""
        return frozenset(chain.from_iterable(map(self._kinds, self._parameters)))

    # ---- reading

    def _kinds(self, axis: Axis) -> Kinds:
        found: dict[Axis, None] = {}
        todo: list[Axis] = [axis]
        seen: set[Axis] = set()
        while todo:
            root = self._root(todo.pop())
            parts = dict.fromkeys(map(self._root, self._parts.get(root, ())))
            if parts:
                self._parts[root] = list(parts)  # many of them are one by now
            if not parts or root in parts:  # as the longer of two axes of one kind is
                found[root] = None
            elif root not in seen:
                seen.add(root)
                todo.extend(parts)
        return frozenset(found) or frozenset({self._root(axis)})

    def _root(self, axis: Axis) -> Axis:
        root = axis
        while (above := self._same.get(root, root)) is not root:
            root = above
        if root is not axis:
            self._same[axis] = root
        return root

    # ---- writing

    def _unite(self, axis: Axis, other: Axis) -> None:
        one, root = self._root(axis), self._root(other)
        if one != root:
            self._same[one] = root
            if one in self._parts:
                self._parts.setdefault(root, []).extend(self._parts.pop(one))

    def _look_through(self, outputs: Iterable[Variable], path: Path) -> None:
        for node in topological_order(outputs, (), None):
            self.nodes.append((path, node))
            for variable in node.inputs:
                if isinstance(variable, SharedVariable | Constant):
                    axes = (Axis(path, variable, i) for i in range(n_axes(variable)))
                    self._parameters.update(dict.fromkeys(axes))
            boundary = self.boundaries.get(node) or boundary_of(node)
            if boundary is not None:
                self.boundaries[node] = boundary
                self._through_boundary(boundary, path)
                continue
            for output in node.outputs:
                for i in range(n_axes(output)):
                    self._connect(Axis(path, output, i))

    def _through_boundary(self, boundary: OpBoundary, path: Path) -> None:
        node = boundary.node
        inside = (*path, node)
        self._look_through(boundary.inner_outputs, inside)
        pairs = [(v, outer) for v in boundary.inner_inputs for outer in boundary.fed_by(v)]
        pairs += [(v, outer) for outer in node.outputs for v in boundary.inside(outer)]
        over = []
        for inner, outer in pairs:
            n_steps = n_axes(outer) - n_axes(inner)
            over += [Axis(path, outer, i) for i in range(n_steps)]
            for i in range(n_axes(inner)):
                self._unite(Axis(inside, inner, i), Axis(path, outer, i + n_steps))
        for axis in over:
            self._unite(axis, over[0])
        states = ((v, s) for v in boundary.inner_inputs for s in boundary.fed_by(v)[1:])
        if any(n_axes(state) > n_axes(v) for v, state in states):  # and not a random stream
            self._steps += over[:1]

    def _connect(self, axis: Axis) -> None:
        """Say from where the axis of an output of a node comes."""
        path, output, number = axis
        same, parts = (
            [Axis(path, v, i) for v, i in axes if i is not None] for axes in sources(output, number)
        )
        for other in same:
            self._unite(axis, other)
        if parts:
            self._parts.setdefault(self._root(axis), []).extend(parts)
