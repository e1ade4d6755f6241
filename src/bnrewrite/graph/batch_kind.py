"""Batch kind: which kind of axis is that of the examples, as marked statistics say it.

A statistic of the batch is what is left when data are reduced over the examples. So the reductions
in its formula, between its mark and the matrix product or the loop that the data come from, say
which axes these may be. A statistic over (time, batch) leaves a choice of two, which others narrow
down. What they leave is narrowed down further by what an axis of examples is not, an axis of a
parameter or the steps of a loop, and by what it is: an axis of all outputs that have any. What is
then an axis of most inputs is no more than a guess.

What is computed from statistics alone says nothing, such as the sum of a variance over the units:
there are no data in it any more.
"""

from __future__ import annotations

from collections.abc import Sequence

from bnrewrite.graph.axis_kinds import AxisKinds, Kind
from bnrewrite.graph.axis_rules import contraction, is_reduction, reduced_axes
from bnrewrite.graph.boundaries import boundary_of
from bnrewrite.graph.engine import Constant, SharedVariable, Variable
from bnrewrite.graph.marks import Mark
from bnrewrite.graph.scope import Scope
from bnrewrite.graph.statistics import Path, Statistic
from bnrewrite.graph.upstream import Place, downstream_of, is_length, upstream_of


def batch_kind(
    scope: Scope, kinds: AxisKinds, inputs: Sequence[Variable], outputs: Sequence[Variable]
) -> tuple[Kind | None, bool]:
    """The kind of the axes of the examples, None if it can't be told; and whether it is a guess."""
    statistics = list(scope.all_statistics())
    data = _data(statistics, outputs)
    found = [kinds_found for s in statistics if (kinds_found := _reduced(s, kinds, data))]
    if not found:
        return None, True
    left = set.intersection(*found) or set.union(*found)
    parameters, steps = kinds.of_parameters(), kinds.all_steps()
    of_inputs, of_outputs = ([_of_any_axis(v, kinds) for v in vs] for vs in (inputs, outputs))
    of_outputs = [several for several in of_outputs if several]
    counts = {kind: sum(kind in several for several in of_inputs) for kind in left}
    for is_likely in (
        lambda kind: kind not in parameters,
        lambda kind: kind not in steps,
        lambda kind: all(kind in several for several in of_outputs),
    ):
        left = set(filter(is_likely, left)) or left
    is_guess = len(left) > 1
    left = {kind for kind in left if counts[kind] == max(counts[k] for k in left)}
    return (left.pop() if len(left) == 1 else None), is_guess


def _of_any_axis(variable: Variable, kinds: AxisKinds) -> set[Kind]:
    n_axes = getattr(variable.type, "ndim", 0)
    return set().union(*(kinds.of(variable, axis) for axis in range(n_axes)))


def _formula(statistic: Statistic) -> Place:
    """What a statistic is before it is marked: itself, if by its tag alone."""
    path, variable = statistic.path, statistic.variable
    node = variable.owner
    return (path, node.inputs[variable.index] if node and isinstance(node.op, Mark) else variable)


def _data(statistics: Sequence[Statistic], outputs: Sequence[Variable]) -> set[Place]:
    """The places with values of the inputs in them, other than statistics and what is theirs."""
    marked = {(s.path, s.variable) for s in statistics}
    edges = upstream_of((((), v) for v in outputs), is_length)
    inputs = [place for place in edges if not place[0] and _is_input(place[1])]
    return downstream_of(inputs, edges, marked)


def _is_input(variable: Variable) -> bool:
    return variable.owner is None and not isinstance(variable, SharedVariable | Constant)


def _reduced(statistic: Statistic, kinds: AxisKinds, data: set[Place]) -> set[Kind]:
    """The kinds that the formula of a statistic reduces data over."""
    found: set[Kind] = set()
    todo, further = [_formula(statistic)], list[Place]()
    is_open = {*data, (statistic.path, statistic.variable)}
    while todo or (further and not found):
        place = todo.pop() if todo else further.pop()
        if place in is_open:
            is_open.remove(place)
            reduced, near, far = _step(place, kinds, data)
            found |= reduced
            todo += near
            further += far
    own = [kinds.of(statistic.variable, a, statistic.path) for a in range(statistic.variable.ndim)]
    return found.difference(*own)


def _step(
    place: Place, kinds: AxisKinds, data: set[Place]
) -> tuple[set[Kind], list[Place], list[Place]]:
    """What is reduced at a place; what is upstream of it in the formula, and what is further up."""
    path, variable = place
    node = variable.owner
    if node is None or boundary_of(node) is not None:
        return set(), [], list(upstream_of([place], lambda other: other != place))[1:]
    upstream = [(path, v) for v in node.inputs]
    sums = contraction(node)
    if sums and not all((path, v) in data for v, _ in sums):
        return set(), [], upstream
    if is_reduction(node):
        first = node.inputs[0]
        sums = [(first, axis) for axis in reduced_axes(node) if first.type.shape[axis] != 1]
        return _all_of(sums, kinds, path), upstream, []
    return _all_of(sums, kinds, path), [] if sums else upstream, []


def _all_of(axes: Sequence[tuple[Variable, int]], kinds: AxisKinds, path: Path) -> set[Kind]:
    return set().union(*(kinds.of(variable, axis, path) for variable, axis in axes))
