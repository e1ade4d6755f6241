"""Survey: look through a graph once, into every loop, and list the marked statistics.

The `Scope` that comes out is all that the passes know of the training graph: `export` and `replace`
walk along it, and so they agree on what a statistic is, where it is, and what is needed for it. It
has the nodes of each graph in an order in which they can be rebuilt, and a scope of its own for the
graph inside each node that holds statistics.

Only what the outputs need is looked at. A statistic that none of them needs may not even be
defined; and an input that nothing needs any more is not kept as one.

What can't be rewritten is refused here, before anything is built, with the path of loops to it:
derivatives of the training graph, noise that is the same for every batch, marks on inputs of a
body, marks on integers, and loops whose bodies the engine has changed already.

Sharp edges: statistics are named in the order in which they are computed, which depends on the
order of the outputs. A loop is named after its op, and equal names are told apart by a number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bnrewrite.graph.boundaries import boundary_of
from bnrewrite.graph.engine import Apply, Constant, Op, Variable
from bnrewrite.graph.hooks import check_marks_were_kept
from bnrewrite.graph.labels import checked_label
from bnrewrite.graph.marks import Mark, StatisticDerivative, is_tagged
from bnrewrite.graph.native import N_OUTPUTS, is_batch_norm, is_batch_norm_derivative
from bnrewrite.graph.rebuild import topological_order
from bnrewrite.graph.scope import Scope
from bnrewrite.graph.statistics import Path, Statistic, name_of, place, unique
from bnrewrite.graph.unmarked import hint_of_unmarked

# An op by its name, as importing its deprecated module warns.
_SAME_NOISE = "mrg_uniform"


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
    _name_statistics(scope, "", set())
    if next(scope.all_statistics(), None) is None:
        raise ValueError(
            "there is no marked statistic in the graph of the outputs. Mark the means and "
            "variances of the batch while building it, and use what `mark_statistic(x)` returns, "
            "or set `x.tag.bn_statistic = True`, on variables that the outputs are computed from."
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
                _check_op(node.op, scope.path)
    return inputs


def _check_op(op: Op, path: Path) -> None:
    """Refuse what can't be in an inference graph."""
    if isinstance(op, StatisticDerivative) or is_batch_norm_derivative(op):
        labels = op.labels if isinstance(op, StatisticDerivative) else [type(op).__name__]
        raise ValueError(
            f"{'/'.join([*map(name_of, path), *labels])!r}: the outputs need a derivative of the "
            "training graph, through statistics of the batch. Leave derivatives out of the "
            "outputs, and take derivatives of the inference graph."
        )
    if type(op).__name__ == _SAME_NOISE:
        raise ValueError(
            f"{place(path)} draws noise from an MRG_RandomStream, which every batch of an estimate "
            "would draw alike. Use `aesara.tensor.random.RandomStream` instead."
        )


def _demand_inside(scope: Scope, output: Variable, node: Apply) -> list[Variable]:
    """What `output`, of a node with a graph inside, needs in the graph of `scope`."""
    inside = scope.scopes.get(node)
    if inside is None:
        if (boundary := boundary_of(node)) is None:
            return list(node.inputs)
        inside = scope.scopes[node] = Scope((*scope.path, node), boundary)
        check_marks_were_kept(node.op, inside.path)
    boundary = inside.boundary
    assert boundary is not None
    if is_batch_norm(node.op) and output.index >= N_OUTPUTS:
        raise ValueError(
            f"{place(inside.path)!r}: the outputs need a running average that "
            "`batch_normalization_train` returns. It is one of training, and population statistics "
            "stand in for it. Leave the running averages out of the outputs."
        )
    wanted = [*boundary.always_inside, *boundary.inside(output)]
    inside.outputs.extend(v for v in wanted if v not in inside.outputs)
    inputs = [v for v in _demand(inside, wanted) if not isinstance(v, Constant)]
    behind = [outer for inner in inputs for outer in boundary.behind(inner)]
    return [*boundary.always_outside, *boundary.outside(output), *behind]


def _drop_finished_scopes(scope: Scope) -> None:
    """Drop the scopes without statistics, unless something in front of them is not needed."""
    for node, inside in list(scope.scopes.items()):
        _drop_finished_scopes(inside)
        if not (inside.scopes or inside.marks or inside.tagged) and scope.needed.issuperset(
            node.inputs
        ):
            del scope.scopes[node]


def _name_statistics(scope: Scope, prefix: str, taken: set[str]) -> None:
    """List the statistics of `scope` and of those inside, each with a name not `taken`."""
    scope.order = topological_order(scope.outputs, (), scope.needed)
    for variable in _marked(scope):
        label = checked_label(variable, scope.path)
        name = unique(prefix + label, taken)
        scope.statistics[variable] = Statistic(scope.path, variable, label, name)
    for node in scope.order:
        if node in scope.scopes:
            inside = scope.scopes[node]
            _name_statistics(inside, unique(prefix + name_of(node) + "/", taken), taken)


def _marked(scope: Scope) -> list[Variable]:
    """The statistics of `scope`, inputs first, each behind those it is computed from."""
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
