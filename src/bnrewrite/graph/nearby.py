"""Nearby: marks that outputs do not need, to be named where none is found that they need.

Two mistakes leave a model without marks, and both are easy to make: to ignore what `mark_statistic`
returns and go on with the variable itself, and to mark in a part of a loop whose result is not
used. Nothing here changes what is done; it makes an error say more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from weakref import WeakSet

from bnrewrite.graph.engine import Apply, Variable, ancestors
from bnrewrite.graph.marks import is_marked, label_of
from bnrewrite.graph.statistics import Path, name_of

_made: WeakSet[Apply] = WeakSet()


def remember(mark: Apply) -> None:
    """Keep a mark in mind, as long as it is there."""
    _made.add(mark)


def marks_nearby(outputs: Sequence[Variable]) -> str:
    """A sentence about marks that `outputs` do not need; empty if there are none."""
    needed = set(ancestors(outputs))
    ignored = [
        label
        for node in _made
        for label, value, marked in zip(node.op.labels, node.inputs, node.outputs, strict=False)
        if value in needed and marked not in needed
    ]
    unused = list(dict.fromkeys(_marks_inside(needed, ())))
    said = ""
    if ignored:
        said += f" The outputs read the variables that were marked as {sorted(ignored)}, and not "
        said += "the variables that `mark_statistic` returned."
    if unused:
        said += f" There are marks on {unused}, in parts of loops that the outputs do not need."
    return said


def _marks_inside(variables: Iterable[Variable], path: Path) -> Iterator[str]:
    """The places of marks in the graphs inside the nodes that compute `variables`."""
    nodes = {v.owner: None for v in variables if v.owner}
    for node in nodes:
        graph = getattr(node.op, "fgraph", None)
        if graph is None:
            continue
        inside = list(ancestors(graph.outputs))
        for variable in inside:
            if is_marked(variable):
                yield "/".join([*map(name_of, (*path, node)), label_of(variable)])
        yield from _marks_inside(inside, (*path, node))
