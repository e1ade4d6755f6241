"""Survey: look through a graph once, into every loop, and list the marked statistics.

The `Scope` that comes out is all that the passes know of the training graph: `export` and `replace`
walk along it, and so they agree on what a statistic is, where it is, and what is needed for it. It
has the nodes of each graph in an order in which they can be rebuilt, and a scope of its own for the
graph inside each node with statistics inside.

Only what the outputs need is looked at. A statistic that none of them needs may not even be
defined; and an input that nothing needs any more is not kept as one.

What can't be rewritten is refused here, before anything is built, with the path of loops to it:
derivatives of the training graph, noise that is the same for every batch, marks inside ops that
can't be opened, marks on inputs of a body, marks on integers, and loops whose bodies the engine has
changed already.

Sharp edge: the order of the statistics is that of computation, which depends on the order of the
outputs; their names do not (see `names`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bnrewrite.graph.boundaries import boundary_of
from bnrewrite.graph.engine import Apply, Constant, Variable
from bnrewrite.graph.hooks import check_marks_were_kept
from bnrewrite.graph.labels import checked_label
from bnrewrite.graph.marks import Mark, is_tagged
from bnrewrite.graph.names import Numbering
from bnrewrite.graph.native import N_OUTPUTS, is_batch_norm
from bnrewrite.graph.nearby import marks_nearby
from bnrewrite.graph.rebuild import topological_order
from bnrewrite.graph.refusals import check_closed, check_op
from bnrewrite.graph.scope import Scope
from bnrewrite.graph.statistics import Statistic, name_of, where
from bnrewrite.graph.unmarked import hint_of_unmarked


def survey(outputs: Sequence[Variable]) -> Scope:
    """Find the statistics that `outputs` need.

    Raises
    ------
    ValueError
        If there is none, or one on an inner input of a loop, or if a derivative of the training
        graph is needed, or if noise is drawn that can't be made fresh for each batch.
    TypeError
        If a marked variable is not a floating-point tensor.
    RuntimeError
        If the engine has rewritten the inside of a nested loop, where marks may have been.
    """
    scope = Scope()
    _demand(scope, outputs)
    scope.outputs.extend(dict.fromkeys(outputs))
    _drop_finished_scopes(scope)
    numbering = Numbering()
    _name_statistics(scope, "", numbering)
    numbering.warn()
    if next(scope.all_statistics(), None) is None:
        raise ValueError(
            "there is no marked statistic in the graph of the outputs. Mark the means and "
            "variances of the batch while building it, and use what `mark_statistic(x)` returns, "
            "or set `x.tag.bn_statistic = True`, on variables that the outputs are computed from."
            + marks_nearby(outputs)
            + hint_of_unmarked(outputs)
        )
    return scope


def _demand(scope: Scope, variables: Iterable[Variable]) -> list[Variable]:
    """Extend `scope` by what `variables` need; return the inputs among this.

    Each variable is visited once: a state of a loop that is needed needs what the body returns for
    it, which may need further states.
    """
    inputs = []
    todo = list(variables)[::-1]
    while todo:
        variable = todo.pop()
        if variable in scope.needed:
            continue
        scope.needed.add(variable)
        if getattr(variable.tag, "bn_statistic", False) and is_tagged(variable):
            scope.tagged.append(variable)
        node = variable.owner
        if node is None:
            inputs.append(variable)
        elif getattr(node.op, "fgraph", None) is not None or is_batch_norm(node.op):
            todo.extend(reversed(_demand_inside(scope, variable, node)))
        else:
            todo.extend(reversed(node.inputs))
            if isinstance(node.op, Mark):
                scope.needed.update(node.outputs)  # they are estimated together
                scope.marks.append(node)
            else:
                check_op(node.op, scope.path)
    return inputs


def _demand_inside(scope: Scope, output: Variable, node: Apply) -> list[Variable]:
    """What `output`, of a node with a graph inside, needs in the graph of `scope`."""
    inside = scope.scopes.get(node)
    if inside is None:
        if (boundary := boundary_of(node)) is None:
            check_closed(node.op, node.op, scope.path)
            return list(node.inputs)
        inside = scope.scopes[node] = Scope((*scope.path, node), boundary)
        check_marks_were_kept(node.op, inside.path)
    boundary = inside.boundary
    assert boundary is not None
    if is_batch_norm(node.op) and output.index >= N_OUTPUTS:
        raise ValueError(
            f"{where(inside.path)!r}: the outputs need a running average that "
            "`batch_normalization_train` returns. It is one of training, and population statistics "
            "stand in for it. Leave the running averages out of the outputs."
        )
    wanted = [*boundary.always_inside, *boundary.inside(output)]
    inside.outputs.extend(v for v in wanted if v not in inside.outputs)
    inputs = [v for v in _demand(inside, wanted) if not isinstance(v, Constant)]
    fed = [outer for inner in inputs for outer in boundary.fed_by(inner)]
    return [*boundary.always_outside, *boundary.outside(output), *fed]


def _drop_finished_scopes(scope: Scope) -> None:
    """Drop the scopes without statistics, unless something upstream of them is not needed."""
    for node, inside in list(scope.scopes.items()):
        _drop_finished_scopes(inside)
        if not (inside.scopes or inside.marks or inside.tagged) and scope.needed.issuperset(
            node.inputs
        ):
            del scope.scopes[node]


def _name_statistics(scope: Scope, prefix: str, numbering: Numbering) -> None:
    """List the statistics of `scope` and of those inside, each with a name of its own."""
    scope.order = topological_order(scope.outputs, (), scope.needed)
    place = scope.path, scope.order
    labels = {v: checked_label(v, scope.path) for v in _marked(scope)}
    names = numbering.names(labels, lambda v: prefix + labels[v], *place)
    scope.statistics = {v: Statistic(scope.path, v, labels[v], names[v]) for v in labels}
    nodes = [node for node in scope.order if node in scope.scopes]
    prefixes = numbering.names(nodes, lambda node: f"{prefix}{name_of(node)}/", *place)
    for node in nodes:
        _name_statistics(scope.scopes[node], prefixes[node], numbering)


def _marked(scope: Scope) -> list[Variable]:
    """The statistics of `scope`, inputs first, each after those it is computed from."""
    tagged = _tagged(scope)
    marked = set(tagged).union(*(node.outputs for node in scope.marks))
    inputs = [v for v in tagged if v.owner is None]
    return inputs + [v for node in scope.order for v in node.outputs if v in marked]


def _tagged(scope: Scope) -> list[Variable]:
    """The variables with a tag alone. To a mark a tag says nothing: it may have another label."""
    if not scope.tagged:
        return []
    readers = [node.inputs for node in scope.order if not isinstance(node.op, Mark)]
    read = set(scope.outputs).union(*readers)
    return [v for v in scope.tagged if v in read]
