"""Structure: whether a graph is one of inference, as far as its marks say.

No batch statistic of the training graph is left in it, at any depth, marked or known from the
survey; and it reads the population statistics that it has to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from bnrewrite.graph.engine import Variable, ancestors, graph_inputs
from bnrewrite.graph.marks import Mark, is_marked, label_of
from bnrewrite.graph.native import is_batch_norm, written_out
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
    """The batch statistics in the graph of `outputs`, but for those `left_on_purpose`.

    Those of `scope` are left whatever they are called, and so is what was marked as one of them,
    unless another statistic is computed from it, or the training graph reads it without the mark.
    """
    known = {s.variable: s.name for s in scope.all_statistics()}
    without_mark = _without_marks(outputs) - _without_marks(scope.outputs)
    for statistic in scope.all_statistics():
        known |= {v: statistic.name for v in _marked(statistic) if v in without_mark}
    allowed = Counter(label_of(s.variable) for s in left_on_purpose)
    left = []
    for path, variable in _batch_statistics(outputs, known, ()):
        label = label_of(variable)
        if variable in known:
            left.append(known[variable])
        elif allowed[label]:
            allowed[label] -= 1
        else:
            left.append("/".join([*map(name_of, path), label]))
    return sorted(set(left))


def _without_marks(outputs: Sequence[Variable]) -> set[Variable]:
    """What `outputs` are computed from other than by way of a mark."""
    marked = {v for v in ancestors(outputs) if is_marked(v)}
    return set(ancestors(outputs, blockers=marked))


def _marked(statistic: Statistic) -> list[Variable]:
    """What was marked as `statistic`, and may be read without its mark."""
    node = statistic.variable.owner
    is_mark = node is not None and isinstance(node.op, Mark)
    marked = node.inputs[statistic.variable.index] if is_mark else statistic.variable
    return [marked] if marked.owner is not None else []


def _batch_statistics(
    outputs: Sequence[Variable], known: Collection[Variable], path: Path
) -> Iterator[tuple[Path, Variable]]:
    """The places of marked or `known` variables at any depth, once for each."""
    variables = list(ancestors(outputs))
    yield from ((path, v) for v in variables if is_marked(v) or v in known)
    for node in dict.fromkeys(v.owner for v in variables if v.owner is not None):
        if is_batch_norm(node.op):
            yield from _batch_statistics(written_out(node)[1], known, (*path, node))
        elif hasattr(node.op, "fgraph"):
            yield from _batch_statistics(node.op.fgraph.outputs, known, (*path, node))
