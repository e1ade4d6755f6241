"""Outwards: give every statistic, at any depth of loops, as a variable of the outer graph."""

from __future__ import annotations

from collections.abc import Sequence

from bnrewrite.graph.engine import Apply, Variable, ancestors
from bnrewrite.graph.hold import hold_last_step
from bnrewrite.graph.loops import Loop, is_loop, is_while_loop, outside_of
from bnrewrite.graph.marks import Exported, Moments, Path, Statistic, Steps
from bnrewrite.graph.rebuild import Memo, clone_node, rebuild
from bnrewrite.graph.survey import Scope, place, survey

_Key = Statistic | Moments | Steps
_Values = dict[_Key, Variable]
# The number of steps of loops that hold statistics, as variables of the old graph.
_Lengths = dict[Path, Variable]


def export_statistics(outputs: Variable | Sequence[Variable]) -> Exported:
    """Build a graph that computes every batch statistic that `outputs` need.

    Each loop that holds statistics is built anew once, with its statistics as additional outputs
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
    ValueError
        If there is no statistic, one that can't be exported, or a loop inside another one whose
        number of steps changes from step to step of that.

    Examples
    --------
    >>> import aesara.tensor as at
    >>> from bnrewrite import export_statistics, mark_statistic
    >>> x = at.matrix("x")
    >>> exported = export_statistics(x - mark_statistic(x.mean(axis=0), "mean"))
    >>> [statistic.name for statistic in exported]
    ['mean']
    """
    scope = survey([outputs] if isinstance(outputs, Variable) else outputs)
    values, _ = _export(scope, {})
    exported = Exported({key: v for key, v in values.items() if isinstance(key, Statistic)})
    exported.moments = list(scope.all_moments())
    exported.counts = {key: v for key, v in values.items() if isinstance(key, Moments)}
    exported.steps = {key.path: v for key, v in values.items() if isinstance(key, Steps)}
    return exported


def _export(scope: Scope, memo: Memo) -> tuple[_Values, _Lengths]:
    """Rebuild the graph of `scope` into `memo`; return what it holds, as variables of it."""
    values: _Values = {}
    lengths: _Lengths = {}

    def rebuild_node(node: Apply, inputs: list[Variable]) -> Memo:
        if node not in scope.scopes:
            return clone_node(node, inputs)
        inside = scope.scopes[node]
        export_from = _export_from_loop if is_loop(node) else _export_from_op
        new_outputs, inner_values, inner_lengths = export_from(inside, inputs, scope.needed)
        values.update(inner_values)
        lengths.update(inner_lengths)
        return new_outputs

    rebuild(scope.outputs, memo, scope.needed, rebuild_node)
    values.update({s: memo.get(v, v) for v, s in scope.statistics.items()})
    for moments, node in scope.moments.items():
        for count in node.inputs[2:]:
            values[moments] = memo.get(count, count)
    return values, lengths


def _export_from_op(
    inside: Scope, inputs: list[Variable], needed: set[Variable]
) -> tuple[Memo, _Values, _Lengths]:
    """Put what is inside an `OpFromGraph` in its place."""
    node = inside.path[-1]
    memo = dict(zip(node.op.inner_inputs, inputs, strict=True))
    values, lengths = _export(inside, memo)
    inner = zip(node.outputs, node.op.inner_outputs, strict=False)
    new_outputs = {v: memo.get(w, w) for v, w in inner if v in needed}
    arguments = dict(zip(node.op.inner_inputs, node.inputs, strict=True))
    outside = rebuild(lengths.values(), arguments, set(ancestors(lengths.values())), clone_node)
    return new_outputs, values, dict(zip(lengths, outside, strict=True))


def _export_from_loop(
    inside: Scope, inputs: list[Variable], needed: set[Variable]
) -> tuple[Memo, _Values, _Lengths]:
    """Build a loop anew so that it returns what its body holds."""
    node = inside.path[-1]
    memo: Memo = {}
    inner_values, inner_lengths = _export(inside, memo)
    lengths = _lengths_outside(inner_lengths, inside.path)
    loop = Loop(node, inputs, needed, inside.needed)
    loop.replace_inside(memo)
    loop.add_nit_sots(list(inner_values.values()))
    new_outputs, added = loop.build()
    values = dict(zip(inner_values, added, strict=True))
    if values:
        lengths[inside.path] = node.inputs[0]
    if values and is_while_loop(node) and any(map(is_loop, inside.path[:-1])):
        n_taken = added[0].shape[0]
        values = {key: hold_last_step(v, loop.n_steps) for key, v in values.items()}
        values[Steps(inside.path)] = n_taken
    return new_outputs, values, lengths


def _lengths_outside(lengths: _Lengths, path: Path) -> _Lengths:
    """Refuse inner loops whose statistics would have another number of steps at each step."""
    outside: _Lengths = {}
    for inner, length in zip(lengths, outside_of(list(lengths.values()), path[-1]), strict=True):
        if length is None:
            raise ValueError(
                f"the number of steps of loop {place(inner)!r} changes from one step of loop "
                f"{place(path)!r} to the next, so its statistics have no common length. "
                "Run it for the same number of steps, and mask or stop (`until`) what is too long."
            )
        outside[inner] = length
    return outside
