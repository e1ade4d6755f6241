"""Unmarked: sums over the examples of a batch that go back into the outputs of each example.

A statistic whose mark was forgotten stays one of the batch in the inference graph, and nothing in
there tells it from another sum, except two things. It is taken over the axes that marked statistics
are taken over, and what becomes of it is combined with values of each example again. This file
looks for sums that have both, from the outputs upwards, in four roles:

==========  ====================================================================================
`EXAMPLE`   a value for each example
`SHARED`    a value for all examples alike, which an example's value is computed from: a sum over
            examples found in this role is a batch statistic
`TOTAL`     an output for the whole batch, such as a cost
`COST`      a value for each example, summed up for such an output
==========  ====================================================================================

A cost may weigh its examples by totals of the batch, and a variance that is an output subtracts a
mean: so between a total and its costs nothing is looked for, as long as they are only added,
multiplied and the like. Whatever else is in between is a model, with values for each example.

Normalization over units, softmax, attention and pooling over time sum over other axes. Whole
numbers, and what is counted with them, are no statistics; but classes and comparisons may be
decided by some. What is upstream of a mark is not looked
at: it is replaced.

Sharp edge: axes are known as far as `axes` knows them. Where marks are taken over several axes at
once (as over examples and pixels), only sums over all of these are recognized.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from itertools import chain
from typing import NamedTuple

from bnrewrite.cautions import UnmarkedStatistic, caution
from bnrewrite.graph.axes import Axes, Kinds
from bnrewrite.graph.engine import Apply, CAReduce, DimShuffle, Elemwise, Op, Variable
from bnrewrite.graph.marks import is_marked
from bnrewrite.graph.statistics import Path, name_of
from bnrewrite.graph.sums import (
    axes_of_examples,
    batch_kinds,
    described,
    is_decided,
    is_measured,
    is_sum,
    read,
    summed,
    values_of_marks,
)

Role = Enum("Role", ["EXAMPLE", "SHARED", "TOTAL", "COST"])
# What may be done to the costs of examples before they are summed up.
_PLAIN = {
    *("Abs", "Add", "Cast", "Identity", "Mul", "Neg", "Pow", "Second"),
    *("Sqr", "Square", "Sub", "Switch", "TrueDiv", "TrueDivide"),
}


_Look = tuple[Role, Path, Variable, str]


class Found(NamedTuple):
    """A sum that may be a batch statistic: where it is, and what it is called."""

    path: Path
    variable: Variable
    name: str

    def __str__(self) -> str:
        return "/".join([*map(name_of, self.path), self.name])


class Search:
    """A search for sums over the axes in one of `batch`, in a graph of which `axes` are known.

    `marked` are the variables that are marked elsewhere, and are read without their mark.
    """

    def __init__(
        self, axes: Axes, batch: Sequence[Kinds], marked: Iterable[tuple[Path, Variable]]
    ) -> None:
        self._axes, self._batch, self._marked = axes, batch, set(marked)
        self._any_batch = frozenset(chain.from_iterable(batch))
        self.found: dict[tuple[Path, Variable], Found] = {}

    def look(self, outputs: Iterable[Variable], role: Role | None = None) -> list[Found]:
        """What is found in the graph of `outputs`, in a `role` that is theirs if not given."""
        todo: list[_Look] = [
            (role or (Role.EXAMPLE if self._has_batch((), v) else Role.TOTAL), (), v, "")
            for v in outputs
        ]
        seen: set[tuple[Role, Path, Variable]] = set()
        while todo:
            role, path, variable, name = todo.pop()
            is_new = (role, path, variable) not in seen
            if is_new and (is_measured(variable) or is_decided(variable)):
                seen.add((role, path, variable))
                todo += self._upstream(role, path, variable, variable.name or name)
        return list(self.found.values())

    def _upstream(self, role: Role, path: Path, variable: Variable, name: str) -> list[_Look]:
        """What `variable`, in its role, is computed from, in theirs."""
        node = variable.owner
        if is_marked(variable):
            return []  # as it is replaced
        if (path, variable) in self._marked and role in (Role.SHARED, Role.TOTAL):
            self._find(path, variable, name or "what is marked elsewhere")
        elif node is None:
            return self._outside(role, path, variable, name)
        elif (boundary := self._axes.boundaries.get(node)) is not None:
            inside = [(role, (*path, node), v, name) for v in boundary.inside(variable)]
            return inside + [(role, path, v, name) for v in boundary.outside(variable)]
        elif role is Role.SHARED and is_measured(variable) and self._sums_examples(path, node):
            self._find(path, variable, f"{name} ({described(node)})" if name else described(node))
        else:
            roles = [(self._role(role, node.op, self._has_batch(path, v)), v) for v in read(node)]
            return [(r, path, v, name if r is Role.SHARED else "") for r, v in roles if r]
        return []

    def _outside(self, role: Role, path: Path, variable: Variable, name: str) -> list[_Look]:
        boundary = self._axes.boundaries[path[-1]] if path else None
        if boundary is None or not boundary.is_input(variable):
            return []
        return [(role, path[:-1], outer, name) for outer in boundary.fed_by(variable)]

    def _role(self, role: Role, op: Op, has_batch: bool) -> Role | None:
        """The role of what is read, with or without examples, for what is computed."""
        is_cost = role is Role.TOTAL or (role is Role.COST and _is_plain(op))
        if has_batch:
            return None if role is Role.SHARED else Role.COST if is_cost else Role.EXAMPLE
        return Role.TOTAL if is_cost else Role.SHARED

    def _has_batch(self, path: Path, variable: Variable) -> bool:
        return not self._any_batch.isdisjoint(self._axes.all_of(path, variable))

    def _sums_examples(self, path: Path, node: Apply) -> bool:
        over = summed(self._axes, path, node) if is_sum(node.op) else frozenset()
        return any(kinds <= over for kinds in self._batch)

    def _find(self, path: Path, variable: Variable, name: str) -> None:
        self.found.setdefault((path, variable), Found(path, variable, name))


def _is_plain(op: Op) -> bool:
    if isinstance(op, Elemwise):
        return type(op.scalar_op).__name__ in _PLAIN
    return isinstance(op, DimShuffle | CAReduce)


def warn_of_unmarked(outputs: Sequence[Variable]) -> None:
    """Warn of sums in the graph of `outputs` that look like statistics whose mark was forgotten."""
    axes = Axes(outputs)
    found = Search(axes, batch_kinds(axes), values_of_marks(axes)).look(outputs)
    if found:
        caution(
            f"batch statistics may be left without a mark: {[str(f) for f in found]}. They sum "
            "over the axes that marked statistics are taken over, and values of single examples "
            "are computed from them, which so depend on the rest of their batch. Mark them, and "
            "use what `mark_statistic` returns. If it is meant, ignore this warning "
            "(`bnrewrite.UnmarkedStatistic`).",
            UnmarkedStatistic,
        )


def hint_of_unmarked(outputs: Sequence[Variable]) -> str:
    """What could be marked in a graph without marks, for an error that there are none."""
    axes = Axes(outputs)
    found = Search(axes, axes_of_examples(axes, outputs), ()).look(outputs)
    return f" These look like such statistics: {[str(f) for f in found]}." if found else ""
