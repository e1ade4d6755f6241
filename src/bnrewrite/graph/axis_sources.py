"""Axis sources: from which axes of what a node reads an axis of what it computes comes.

Some ops have axes of the same kind on both sides, whatever their lengths: slices, values side by
side, the branches of an `ifelse`. Others say what shapes they compute; a length that one takes over
belongs to the axis that it is the length of. Shapes that are put together from lengths (as for
`reshape`) are taken apart again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from bnrewrite.graph.engine import (
    Apply,
    Constant,
    Elemwise,
    IfElse,
    IncSubtensor,
    Join,
    MakeVector,
    Reshape,
    Shape,
    Subtensor,
    Variable,
    indices_from_subtensor,
)
from bnrewrite.graph.invariance import Dependency, upstream_of_length, upstream_of_value

# Of a vector of lengths: that of an axis, a number, or a variable with one; None if not known.
_Length: TypeAlias = Variable | Dependency | int | None

# Ops that repeat a value along axes of a shape that they are given.
_REPEATING = ("Alloc", "BroadcastTo")


def n_axes(variable: Variable) -> int:
    """The number of axes; 0 for what is no tensor."""
    return getattr(variable.type, "ndim", 0)


def sources(output: Variable, axis: int) -> tuple[list[Dependency], list[Dependency]]:
    """The axes that one of what a node computes is of one kind with, and those it is made of."""
    same = _same(output, axis)
    if same is not None:
        return same, []
    made_of = _made_of(output, axis)
    same = made_of if len(made_of) == 1 else []
    if type(output.owner.op).__name__ in _REPEATING:
        same = same + _aligned(output.owner.inputs[0], axis - n_axes(output))
    return same, [] if same else made_of


def _same(output: Variable, axis: int) -> list[Dependency] | None:
    """The axes of one kind by what the op does; None if that does not say it."""
    node, op = output.owner, output.owner.op
    if isinstance(op, Elemwise):
        return [Dependency(v, axis) for v in node.inputs if v.type.shape[axis] != 1]
    if isinstance(op, IfElse):
        branches = node.inputs[1:]
        return [Dependency(v, axis) for v in branches[output.index :: len(node.outputs)]]
    if isinstance(op, Join):
        return [Dependency(v, axis) for v in node.inputs if n_axes(v) == n_axes(output)]
    if isinstance(op, IncSubtensor):
        return [Dependency(node.inputs[0], axis), *_written(output, axis)]
    if isinstance(op, Subtensor):
        return upstream_of_length(output, axis)[:1]  # whatever the slice
    return None


def _made_of(output: Variable, axis: int) -> list[Dependency]:
    """The axes whose lengths make up that of an axis of what a node computes."""
    if isinstance(output.owner.op, Reshape):
        return _reshaped(output, axis)
    found: dict[Dependency, None] = {}
    for dependency in upstream_of_length(output, axis):
        is_value = dependency.axis is None
        found |= dict.fromkeys(_lengths_in(dependency.variable) if is_value else [dependency])
    return list(found)


def _written(output: Variable, axis: int) -> list[Dependency]:
    """The axis of what is written into some elements, if it has this one."""
    value, op = output.owner.inputs[1], output.owner.op
    picked = {a for a, place in enumerate(op.idx_list) if not isinstance(place, slice)}
    kept = [a for a in range(n_axes(output)) if a not in picked]
    return _aligned(value, kept.index(axis) - len(kept)) if axis in kept else []


def _aligned(value: Variable, axis: int) -> list[Dependency]:
    """The axis of a value that is broadcast along others, counted from the last."""
    own = n_axes(value) + axis
    return [Dependency(value, own)] if own >= 0 and value.type.shape[own] != 1 else []


def _reshaped(output: Variable, axis: int) -> list[Dependency]:
    """The axes that one of a new shape takes over; if it can't be told, all those left over."""
    values, shape = output.owner.inputs
    lengths = [_element(shape, i) for i in range(n_axes(output))]
    sources = [_lengths_in(length) for length in lengths]
    if _may_be_last(values, lengths):
        sources[-1] = [Dependency(values, n_axes(values) - 1)]
    taken = {s for source in sources for s in source}
    left = [Dependency(values, a) for a in range(n_axes(values))]
    return sources[axis] or [s for s in left if s not in taken]


def _may_be_last(values: Variable, lengths: list[_Length]) -> bool:
    """Whether a last length that is just a number may be that of the last axis."""
    numbers = [n for n in lengths[-1:] if isinstance(n, int) and n >= 0]
    return bool(numbers and n_axes(values)) and values.type.shape[-1] in (None, *numbers)


def _lengths_in(length: _Length) -> list[Dependency]:
    """The axes whose lengths make up a length."""
    found: dict[Dependency, None] = {}
    todo: list[_Length] = [length]
    seen: set[Variable] = set()
    while todo:
        length = todo.pop()
        if isinstance(length, Dependency) and length.axis is None:
            length = length.variable
        if isinstance(length, Dependency):
            found[length] = None
        elif _is_computed_integer(length) and length not in seen:
            seen.add(length)
            todo.extend(_upstream(length))
    return list(found)


def _is_computed_integer(length: _Length) -> bool:
    if not isinstance(length, Variable) or length.owner is None or n_axes(length) > 0:
        return False
    return "int" in str(getattr(length.type, "dtype", ""))


def _upstream(length: Variable) -> Sequence[_Length]:
    node = length.owner
    if isinstance(node.op, Subtensor) and len(node.inputs) == 2:
        index = _number(node.inputs[1])
        return [_element(node.inputs[0], index)] if isinstance(index, int) else []
    return upstream_of_value(length)


def _number(length: Variable) -> Variable | int:
    """A length, as a number if it is constant."""
    while length.owner is not None and len(length.owner.inputs) == 1:
        if not isinstance(length.owner.op, Elemwise):
            break
        length = length.owner.inputs[0]
    return int(length.data) if isinstance(length, Constant) else length


def _element(vector: Variable, i: int) -> _Length:
    """An element of a vector of lengths, as far as it can be told."""
    node, size = vector.owner, vector.type.shape[0]
    if i < 0:
        return None if size is None else _element(vector, size + i)
    if isinstance(vector, Constant):
        return int(vector.data[i])
    if node is None:
        return None
    if isinstance(node.op, Shape):
        return Dependency(node.inputs[0], i)
    if isinstance(node.op, MakeVector):
        return _number(node.inputs[i])
    if isinstance(node.op, Elemwise) and len(node.inputs) == 1:
        return _element(node.inputs[0], i)
    if isinstance(node.op, Join):
        return _joined([v for v in node.inputs if n_axes(v) == 1], i)
    if isinstance(node.op, Subtensor):
        return _sliced(node, i)
    return None


def _joined(parts: Sequence[Variable], i: int) -> _Length:
    for part in parts:
        (size,) = part.type.shape
        if size is None or i < size:
            return None if size is None else _element(part, i)
        i -= size
    return None


def _sliced(node: Apply, i: int) -> _Length:
    (place,) = indices_from_subtensor(node.inputs[1:], node.op.idx_list)
    start, step = (
        default if bound is None else _number(bound)
        for bound, default in ((place.start, 0), (place.step, 1))
    )
    if not isinstance(start, int) or step != 1:
        return None
    size = node.inputs[0].type.shape[0]
    if start < 0:
        return None if size is None else _element(node.inputs[0], max(size + start, 0) + i)
    return _element(node.inputs[0], start + i)
