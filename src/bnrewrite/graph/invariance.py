"""Invariance: what in the body of a loop is the same at each of its steps.

An inner loop that returns its statistics needs the same number of steps at each step of the loop
around it, or they would have no common length. What this number depends on is followed from the
body of a loop to its outside, loop by loop: on the value of a variable, or on its length along an
axis. A value that is given to each step anew may change from one to the next. The length of such a
value can't: a sequence has the same shape at each step, and so has a state.

Nothing is computed here. It is enough to know what a number depends on, so the answer errs on one
side: where an op does not say how its shape comes about, its shape depends on all values that it
reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from bnrewrite.graph.boundaries import LoopBoundary, OpBoundary, boundary_of, is_while_loop
from bnrewrite.graph.engine import (
    CAReduce,
    Constant,
    DimShuffle,
    Elemwise,
    Shape,
    Shape_i,
    Subtensor,
    Variable,
    infer_shape,
    lengths_of_inputs,
)
from bnrewrite.graph.engine import tensor as at
from bnrewrite.graph.marks import Mark


class Dependency(NamedTuple):
    """The length of a variable along `axis`; its value if that is None."""

    variable: Variable
    axis: int | None = None


Dependencies = set[Dependency]
_ALL = (slice(None),) * 64  # as many axes as an array can have


def outside_of(dependencies: Iterable[Dependency], boundary: OpBoundary) -> Dependencies | None:
    """What `dependencies` within a body depend on in the graph around it.

    Returns
    -------
    set of Dependency or None
        None if one of them may change from step to step.
    """
    outside: Dependencies = set()
    seen: Dependencies = set()
    todo = list(dependencies)
    while todo:
        dependency = todo.pop()
        if dependency in seen:
            continue
        seen.add(dependency)
        variable, axis = dependency
        if not boundary.is_input(variable):
            todo.extend(_upstream(dependency))
            continue
        outer, changes = boundary.fed_by(variable)[0], boundary.changes(variable)
        if axis is None and changes:
            return None
        outside.add(Dependency(outer, None if axis is None else axis + changes))
    return outside


def _upstream(dependency: Dependency) -> list[Dependency]:
    """What a dependency comes from, one node further up."""
    variable, axis = dependency
    node = variable.owner
    is_known = axis is not None and variable.type.shape[axis] is not None
    if node is None or is_known:
        return []
    if (boundary := boundary_of(node)) is not None:
        return _upstream_of_boundary(dependency, boundary)
    return upstream_of_value(variable) if axis is None else upstream_of_length(variable, axis)


def upstream_of_value(variable: Variable) -> list[Dependency]:
    """What the value of a variable that a node computes comes from."""
    op, inputs = variable.owner.op, variable.owner.inputs
    if (read := shape_read(variable)) is not None:
        return [read]
    if isinstance(op, Shape):
        return [Dependency(inputs[0], axis) for axis in range(inputs[0].ndim)]
    return [Dependency(v) for v in inputs]


def shape_read(variable: Variable) -> Dependency | None:
    """The length that a variable reads off the shape of another one, if it does that."""
    op, inputs = variable.owner.op, variable.owner.inputs
    if isinstance(op, Shape_i):
        return Dependency(inputs[0], op.i)
    if isinstance(op, Subtensor) and inputs[0].owner and isinstance(inputs[0].owner.op, Shape):
        (shaped,), index = inputs[0].owner.inputs, inputs[1:]
        if variable.ndim == 0 and len(index) == 1 and isinstance(index[0], Constant):
            return Dependency(shaped, int(index[0].data) % shaped.ndim)
    return None


def upstream_of_length(variable: Variable, axis: int) -> list[Dependency]:
    """What the length of a variable that a node computes comes from."""
    same = same_length(variable, axis)
    if same is not None:
        return same
    op, first = variable.owner.op, variable.owner.inputs[0]
    if isinstance(op, Subtensor):
        index = [Dependency(v) for v in variable.owner.inputs[1:]]
        return [Dependency(first, _kept_axes(op, first)[axis]), *index]
    return _inferred_length(variable, axis)


def same_length(variable: Variable, axis: int) -> list[Dependency] | None:
    """The lengths that are that of a variable: quickly for the ops that most bodies are made of.

    Where an op broadcasts, any of them may be 1. None for other ops.
    """
    node = variable.owner
    op, first = node.op, node.inputs[0]
    if isinstance(op, Elemwise):
        return [Dependency(v, axis) for v in node.inputs if v.type.shape[axis] != 1]
    if isinstance(op, Mark):
        return [Dependency(node.inputs[variable.index], axis)]
    if isinstance(op, DimShuffle):
        old_axis = op.new_order[axis]
        return [] if old_axis == "x" else [Dependency(first, old_axis)]
    if isinstance(op, CAReduce):
        reduced = range(first.ndim) if op.axis is None else op.axis
        return [Dependency(first, [a for a in range(first.ndim) if a not in reduced][axis])]
    if isinstance(op, Subtensor):
        kept = _kept_axes(op, first)[axis]
        if kept >= len(op.idx_list) or op.idx_list[kept] == slice(None):
            return [Dependency(first, kept)]
    return None


def _kept_axes(op: Subtensor, indexed: Variable) -> list[int]:
    """The axes of what is indexed that the result has."""
    return [a for a in range(indexed.ndim) if isinstance((*op.idx_list, *_ALL)[a], slice)]


def _inferred_length(variable: Variable, axis: int) -> list[Dependency]:
    """What the op says of the shape that it computes, from the lengths of its inputs."""
    node = variable.owner
    shapes, places = lengths_of_inputs(node)
    try:
        length = at.as_tensor_variable(infer_shape(node, shapes)[variable.index][axis])
    except Exception:  # whatever an op raises that can't say
        return [Dependency(v) for v in node.inputs]
    given = {n: Dependency(*place) for n, place in places.items()}
    found, todo = [], [Dependency(length)]
    while todo:
        dependency = todo.pop()
        if dependency.variable in given:
            found.append(given[dependency.variable])
        elif dependency.variable in node.inputs:
            found.append(dependency)
        else:
            todo.extend(_upstream(dependency))
    return found


def _upstream_of_boundary(dependency: Dependency, boundary: OpBoundary) -> list[Dependency]:
    variable, axis = dependency
    values = [Dependency(v) for v in boundary.node.inputs]
    if not isinstance(boundary, LoopBoundary):
        inner = Dependency(boundary.inside(variable)[0], axis)
    elif axis is None or (axis == 0 and is_while_loop(boundary.node)):
        return values
    elif axis == 0:  # as many steps as there is room for: a number, or an array to fill
        (room,) = boundary.outside(variable)
        return [Dependency(room, axis if room.ndim else None)]
    else:  # what a loop stacks has the same shape at each of its steps
        inner = Dependency(boundary.inside(variable)[-1], axis - 1)
    outside = outside_of([inner], boundary)
    return values if outside is None else list(outside)
