"""Structure: whether a graph is one of inference, as far as its marks say.

No batch statistic of the training graph is left in it, at any depth, marked or known from the
survey; and it reads the population statistics that it has to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from bnrewrite.graph.engine import Variable, ancestors, graph_inputs
from bnrewrite.graph.marks import is_marked, label_of
from bnrewrite.graph.scope import Scope
from bnrewrite.graph.statistics import Path, Statistic, name_of
from bnrewrite.graph.upstream import needed_statistics


def verify_structure(
    scope: Scope,
    batch_outputs: Sequence[Variable],
    outputs: Sequence[Variable],
    values: Mapping[Statistic, Variable],
    left_on_purpose: Iterable[Statistic] = (),
) -> None:
    """Refuse `outputs` with a batch statistic of `scope` left, or without a population statistic.

    Those have to be read that `batch_outputs` read other than by way of further statistics.
    """
    if found := statistics_left(scope, outputs, left_on_purpose):
        raise RuntimeError(f"batch statistics are left in the inference graph: {found}.")
    read = set(graph_inputs(outputs))
    needed = needed_statistics(scope, batch_outputs)
    unread = [s.name for s in needed if values[s] not in read]
    if unread:
        raise RuntimeError(f"population statistics that the outputs do not depend on: {unread}.")


def statistics_left(
    scope: Scope, outputs: Sequence[Variable], left_on_purpose: Iterable[Statistic]
) -> list[str]:
    """The batch statistics in the graph of `outputs`, but for those `left_on_purpose`."""
    found = Counter(_batch_statistics(outputs, {s.variable for s in scope.all_statistics()}, ()))
    found -= Counter("/".join([*map(name_of, s.path), s.label]) for s in left_on_purpose)
    return sorted(found)


def _batch_statistics(
    outputs: Sequence[Variable], known: Collection[Variable], path: Path
) -> Iterator[str]:
    """The places of marked or `known` variables at any depth, once for each."""
    variables = list(ancestors(outputs))
    for variable in variables:
        if is_marked(variable) or variable in known:
            yield "/".join([*map(name_of, path), label_of(variable)])
    for node in dict.fromkeys(v.owner for v in variables):
        if node is not None and hasattr(node.op, "fgraph"):
            yield from _batch_statistics(node.op.fgraph.outputs, known, (*path, node))
