"""Updates: no function of an inference graph changes shared variables by statistics of a batch.

A shared variable can have an update that every function runs which reads it (`default_update`), as
running averages made by hand may. It is computed in the training graph. So a function compiled from
an inference graph that reads such a variable would compute statistics of the batch it predicts, and
keep them. That is refused when the graph is built; the way out is to pass the update to the
function that trains. Functions that the library compiles itself run no updates at all.

An update that is an output, or that of a loop's state, is part of the graph, and rewritten like
the rest of it.

Sharp edges
-----------
- A random stream only moves on. What it draws may depend on statistics, but not where it moves to.
- Counting examples, or keeping the last state, is no statistic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bnrewrite.graph.axes import Axes
from bnrewrite.graph.engine import (
    Apply,
    Constant,
    RandomType,
    SharedVariable,
    Variable,
    graph_inputs,
)
from bnrewrite.graph.marks import Mark, StatisticDerivative, is_tagged, label_of
from bnrewrite.graph.native import is_batch_norm, is_batch_norm_derivative
from bnrewrite.graph.sums import batch_kinds, values_of_marks
from bnrewrite.graph.unmarked import Role, Search


def check_updates(batch_outputs: Sequence[Variable], outputs: Sequence[Variable]) -> None:
    """Refuse `outputs`, built from `batch_outputs`, whose default updates use batch statistics.

    Raises
    ------
    ValueError
        With the shared variable and the statistics.
    """
    known = set(graph_inputs(batch_outputs))
    updates = dict(_updates(outputs, known))
    for variable, update in updates.items():
        statistics = _statistics(update, [*batch_outputs, *updates.values()])
        if statistics:
            name = variable.name or "<unnamed>"
            raise ValueError(
                f"the default update of shared variable {name!r} is computed from statistics of "
                f"the batch, {statistics}. The outputs read {name!r}, so every function compiled "
                "from them would run it. Pass the update to the function that trains "
                "(`updates=`), in the place of `default_update`, or leave out what reads it."
            )


def _updates(
    outputs: Sequence[Variable], known: set[Variable]
) -> Iterator[tuple[Variable, Variable]]:
    """The default updates that a function of `outputs` runs, but for those of random streams."""
    todo, seen = list(graph_inputs(outputs)), set()
    while todo:
        variable = todo.pop()
        update = getattr(variable, "default_update", None)
        if update is None or variable in seen or isinstance(variable.type, RandomType):
            continue
        seen.add(variable)
        inputs = list(graph_inputs([update]))
        todo += inputs
        # What reads inputs of a loop's step is an update of its state.
        if all(isinstance(v, SharedVariable | Constant) or v in known for v in inputs):
            yield variable, update


def _statistics(update: Variable, outputs: Sequence[Variable]) -> list[str]:
    """What an update is computed from that is a statistic of the batch, marked or not."""
    axes, inside = Axes(outputs), Axes([update])
    marked = set(values_of_marks(axes))
    labels = [label for _, node in inside.nodes for label in _labels(node)]
    raw = [label_of(v) for path, n in inside.nodes for v in n.outputs if (path, v) in marked]
    search = Search(axes, batch_kinds(axes), marked)
    unmarked = () if labels or raw else search.look([update], Role.SHARED)
    return list(dict.fromkeys([*(labels or raw), *map(str, unmarked)]))


def _labels(node: Apply) -> list[str]:
    """The labels of the statistics that a node marks, computes or is a derivative of."""
    if isinstance(node.op, Mark | StatisticDerivative):
        return [*node.op.labels]
    if is_batch_norm(node.op) or is_batch_norm_derivative(node.op):
        return [type(node.op).__name__]
    return [label_of(v) for v in node.outputs if is_tagged(v)]
