"""Export: every statistic, at any depth of loops, as a variable of the outer graph.

Each loop with statistics inside is built anew, once, and returns them as further outputs
(nit-sots). Whatever read the old loop reads the new one. Were a single reader left behind, both
loops would run, and what lies downstream of the old one would be computed twice; `rebuild` makes
that impossible by building from inputs to outputs.

A value on its way out gets a leading time axis from each loop. What else is to be known of it takes
the same way: the number of elements behind it, the number of steps that loops took, and whether it
was needed, where it is in a branch.

Sharp edges
-----------
- An inner loop must take as many steps at each step of the loop around it, or its statistics would
  have no common length. `invariance` proves it, or the loop is refused.
- A while-loop inside another loop may stop after a different number of steps each time. Its
  statistics repeat their last step up to the most that it may take, and `Export.steps_taken` says
  where they end.
- An `OpFromGraph` with statistics inside becomes part of the graph around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bnrewrite.graph.boundaries import is_loop, is_while_loop
from bnrewrite.graph.branches import needs_of
from bnrewrite.graph.engine import Apply, Variable, without_test_values
from bnrewrite.graph.exported import Export, Exported
from bnrewrite.graph.hold import hold_last_step
from bnrewrite.graph.inputs import checked_outputs
from bnrewrite.graph.invariance import Dependencies, Dependency, outside_of
from bnrewrite.graph.loops import Loop
from bnrewrite.graph.needs import Need, answers, wherever
from bnrewrite.graph.rebuild import Memo, clone_node, rebuild_in_order
from bnrewrite.graph.scope import Scope
from bnrewrite.graph.statistics import Path, Statistic, loops_of, where
from bnrewrite.graph.survey import survey

_Exports = dict[Statistic, Export]
# What the number of steps of loops with statistics inside depends on, in the old graph.
_Lengths = dict[Path, Dependencies]
_Needs = dict[Statistic, Need]


def export_statistics(outputs: Variable | Sequence[Variable]) -> Exported:
    """Build a graph that computes every batch statistic that `outputs` need.

    Each loop with statistics inside is built anew once, with its statistics as additional outputs
    (nit-sots), and whatever depends on it reads the new one. The graph of `outputs` stays as it is.

    Parameters
    ----------
    outputs : Variable or sequence of Variable
        Outputs of a training graph, with marked statistics.

    Returns
    -------
    dict of Statistic to Variable
        In order of computation. The value of a statistic inside loops has a leading time axis for
        each, outermost first, in the order in which the loop takes its steps.

    Raises
    ------
    TypeError
        If an output is no variable.
    ValueError
        If there is no statistic, one that can't be exported, or a loop inside another one whose
        number of steps changes from step to step of that.

    Examples
    --------
    >>> import pytensor.tensor as pt
    >>> from bnrewrite import export_statistics, mark_statistic
    >>> x = pt.matrix("x")
    >>> exported = export_statistics(x - mark_statistic(x.mean(axis=0), "mean"))
    >>> [statistic.name for statistic in exported]
    ['mean']
    """
    return export(survey(checked_outputs(outputs)))


@without_test_values
def export(scope: Scope) -> Exported:
    """`export_statistics` of the outputs of a survey."""
    exports, _ = _export(scope, {}, needs_of(scope))
    return Exported({s: exports[s] for s in scope.all_statistics()}, _variances(scope))


def _variances(scope: Scope) -> dict[Statistic, Statistic]:
    pairs = [
        [scope.statistics[v] for v in node.outputs if v in scope.statistics] for node in scope.marks
    ]
    variances = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
    for inside in scope.scopes.values():
        variances |= _variances(inside)
    return variances


def _export(scope: Scope, memo: Memo, needs: _Needs) -> tuple[_Exports, _Lengths]:
    """Rebuild the graph of `scope` into `memo`; return what is in it, as variables of it."""
    exports: _Exports = {}
    lengths: _Lengths = {}

    def rebuild_node(node: Apply, inputs: list[Variable]) -> Memo:
        if node not in scope.scopes:
            return clone_node(node, inputs)
        inside = scope.scopes[node]
        export_from = _export_from_loop if is_loop(node) else _export_from_op
        new_outputs, inner_exports, inner_lengths = export_from(inside, inputs, scope.needed, needs)
        exports.update(inner_exports)
        lengths.update(inner_lengths)
        return new_outputs

    rebuild_in_order(scope.order, memo, rebuild_node, scope.scopes)
    for variable, s in scope.statistics.items():
        exports[s] = Export(memo.get(variable, variable), need=needs.get(s, True))
    for node in scope.marks:
        for count in node.inputs[len(node.outputs) :]:
            for statistic in (scope.statistics[v] for v in node.outputs if v in scope.statistics):
                exports[statistic] = replace(exports[statistic], count=memo.get(count, count))
    return _answered(exports, scope.path, memo), lengths


def _answered(exports: _Exports, path: Path, memo: Memo) -> _Exports:
    """Compute whether statistics were needed, as far as conditions in the graph at `path` say."""
    known = answers(len(path), lambda v: memo.get(v, v))
    answered = {s: replace(e, need=known(e.need)) for s, e in exports.items()}
    if path:
        return answered
    at_all = wherever(1)
    return {
        s: replace(e, entered=known(at_all(exports[s].need)) if s.depth else e.need)
        for s, e in answered.items()
    }


def _export_from_op(
    inside: Scope, inputs: list[Variable], needed: set[Variable], needs: _Needs
) -> tuple[Memo, _Exports, _Lengths]:
    """Put what is inside an `OpFromGraph` in its place."""
    node, boundary = inside.path[-1], inside.boundary
    assert boundary is not None
    memo = dict(zip(boundary.inner_inputs, inputs, strict=True))
    exports, lengths = _export(inside, memo, needs)
    inner = zip(node.outputs, boundary.inner_outputs, strict=False)
    new_outputs = {v: memo.get(w, w) for v, w in inner if v in needed}
    return new_outputs, exports, _lengths_outside(lengths, inside)


def _export_from_loop(
    inside: Scope, inputs: list[Variable], needed: set[Variable], needs: _Needs
) -> tuple[Memo, _Exports, _Lengths]:
    """Build a loop anew so that it returns what is exported of its body."""
    node = inside.path[-1]
    memo: Memo = {}
    inner_exports, inner_lengths = _export(inside, memo, needs)
    lengths = _lengths_outside(inner_lengths, inside)
    loop = Loop(node, inputs, needed, inside.needed)
    loop.replace_inside(memo)
    inner = list(dict.fromkeys(v for e in inner_exports.values() for v in e.variables()))
    loop.add_nit_sots(inner)
    new_outputs, added = loop.build()
    if not inner:
        return new_outputs, {}, lengths
    steps_taken = None
    if is_while_loop(node) and loops_of(inside.path[:-1]):
        steps_taken = added[0].shape[0]
        added = [hold_last_step(v, loop.n_steps) for v in added]
    outer = dict(zip(inner, added, strict=True))
    exports = {s: e.mapped(outer.__getitem__) for s, e in inner_exports.items()}
    exports = {s: replace(e, steps_taken=(steps_taken, *e.steps_taken)) for s, e in exports.items()}
    return new_outputs, exports, {**lengths, inside.path: {Dependency(node.inputs[0])}}


def _lengths_outside(lengths: _Lengths, inside: Scope) -> _Lengths:
    """Refuse inner loops whose statistics would have another number of steps at each step."""
    assert inside.boundary is not None
    outside: _Lengths = {}
    for inner, length in lengths.items():
        dependencies = outside_of(length, inside.boundary)
        if dependencies is None:
            raise ValueError(
                f"the number of steps of loop {where(inner)!r} changes from one step of loop "
                f"{where(inside.path)!r} to the next, so its statistics have no common length. "
                "Run it for the same number of steps, and mask or stop (`until`) what is too long."
            )
        outside[inner] = dependencies
    return outside
