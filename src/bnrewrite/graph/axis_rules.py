"""Axis rules: which axes of the inputs of a node are those of its outputs.

A link says what the length of an axis is: that of one other axis, which makes them of one kind, or
a product of several. Most ops that models are made of have a rule of their own; of any other it is
asked how it computes the shape of its outputs. Where that can't be said, there is no link.

Ops of the engine are known by their names: both engines share them, but not the modules.

A kind is coarser than a length: a part of an axis (``x[1:]``) is of its kind, and so are the two
that are joined along it.
"""

from __future__ import annotations

from collections.abc import Callable

from bnrewrite.graph.engine import (
    NAME,
    Apply,
    CAReduce,
    Constant,
    Op,
    Variable,
    infer_shape,
    lengths_of_inputs,
)
from bnrewrite.graph.engine import tensor as at
from bnrewrite.graph.factors import Number, entries, factors
from bnrewrite.graph.index_rules import Links, assigned, gathered, same, sliced
from bnrewrite.graph.invariance import Dependency


def links(node: Apply) -> Links:
    """The links from the axes of the outputs of `node`, without those of a graph inside."""
    if is_reduction(node):
        return _reduced(node)
    if contraction(node):
        return _contracted(node)
    return _RULES.get(_name_of(node.op), _inferred)(node)


def _name_of(op: Op) -> str:
    """The name of an op of ours or of the engine; none for others, which may mean anything."""
    kind = type(op)
    return kind.__name__ if kind.__module__.split(".")[0] in (NAME, "bnrewrite") else ""


def is_reduction(node: Apply) -> bool:
    """Whether `node` reduces axes of its input, as a sum does."""
    return isinstance(node.op, CAReduce) or _name_of(node.op) in ("MaxAndArgmax", "Argmax")


def reduced_axes(node: Apply) -> list[int]:
    """The axes that a reduction reduces over."""
    axis = node.op.axis
    return list(range(node.inputs[0].ndim)) if axis is None else list(axis)


def contraction(node: Apply) -> list[tuple[Variable, int]]:
    """The two variables, and their axes, over which a matrix product sums; none for other ops."""
    op = getattr(node.op, "core_op", node.op)
    if _name_of(op) not in ("Dot", "BatchedDot", "StructuredDot", "TrueDot", "MatMul"):
        return []
    left, right = node.inputs[:2]
    return [(left, left.ndim - 1), (right, max(right.ndim - 2, 0))]


def _elementwise(node: Apply) -> Links:
    for output in node.outputs:
        for axis in range(output.ndim):
            for v in node.inputs:
                if v.type.shape[axis] != 1:
                    yield Dependency(output, axis), {Dependency(v, axis)}


def _passed_on(node: Apply) -> Links:
    for output, value in zip(node.outputs, node.inputs, strict=False):
        for axis in range(output.ndim):
            yield Dependency(output, axis), {Dependency(value, axis)}


def _branched(node: Apply) -> Links:
    n = len(node.outputs)
    for i, output in enumerate(node.outputs):
        for value in (node.inputs[1 + i], node.inputs[1 + n + i]):
            for axis in range(getattr(output.type, "ndim", 0)):
                yield Dependency(output, axis), {Dependency(value, axis)}


def _transposed(node: Apply) -> Links:
    order = enumerate(node.op.new_order)
    return same(node, ((axis, node.inputs[0], old) for axis, old in order if old != "x"))


def _reduced(node: Apply) -> Links:
    (first, *_), reduced = node.inputs, reduced_axes(node)
    kept = [a for a in range(first.ndim) if a not in reduced]
    for output in node.outputs:
        for axis, old in enumerate(kept):
            yield Dependency(output, axis), {Dependency(first, old)}


def _contracted(node: Apply) -> Links:
    left, right = node.inputs[:2]
    output = node.outputs[0]
    (_, left_axis), (_, right_axis) = contraction(node)
    yield Dependency(left, left_axis), {Dependency(right, right_axis)}
    kept_left = [a for a in range(left.ndim) if a != left_axis]
    kept_right = [a for a in range(right.ndim) if a != right_axis]
    n_batched = max(left.ndim - 2, 0) if right.ndim > 2 or left.ndim > 2 else 0
    pairs = [(i, left, a) for i, a in enumerate(kept_left)]
    pairs += [(i, right, i) for i in range(min(n_batched, right.ndim - 2))]
    if len(kept_right) > n_batched:
        pairs.append((output.ndim - 1, right, kept_right[-1]))
    yield from same(node, pairs)


def _joined(node: Apply) -> Links:
    for v in node.inputs[1:]:
        yield from same(node, ((axis, v, axis) for axis in range(v.ndim)))


def _filled(node: Apply) -> Links:
    value, *shape = node.inputs
    yield from _shaped(node.outputs[0], list(shape))
    new = node.outputs[0].ndim - value.ndim
    yield from same(node, ((new + axis, value, axis) for axis in range(value.ndim)))


def _allocated(node: Apply) -> Links:
    return _shaped(node.outputs[0], list(node.inputs))


def _counted(node: Apply) -> Links:
    found = set().union(*(factors(v) for v in node.inputs))
    yield Dependency(node.outputs[0], 0), found


def _reshaped(node: Apply) -> Links:
    """The axes of which the length is given; the one that is not is all of the others."""
    first, shape = node.inputs
    lengths = entries(shape)
    if lengths is None:
        return
    given = [factors(n) for n in lengths]
    rest = {Dependency(first, axis) for axis in range(first.ndim)}.difference(*given)
    for axis, (n, found) in enumerate(zip(lengths, given, strict=True)):
        is_rest = getattr(n, "data", n) == -1 if isinstance(n, int | Constant) else False
        yield Dependency(node.outputs[0], axis), rest if is_rest else found


def _shaped(output: Variable, lengths: list[Number]) -> Links:
    for axis, n in enumerate(lengths):
        yield Dependency(output, axis), factors(n)


def _inferred(node: Apply) -> Links:
    """What the op says of the shapes that it computes, from the lengths of its inputs."""
    shapes, places = lengths_of_inputs(node)
    given = {n: Dependency(*place) for n, place in places.items()}
    try:
        inferred = infer_shape(node, shapes)
    except Exception:  # whatever an op raises that can't say
        return
    for output, lengths in zip(node.outputs, inferred, strict=True):
        for axis, n in enumerate(lengths or ()):
            number = n if isinstance(n, int) else at.as_tensor_variable(n)
            yield Dependency(output, axis), factors(number, given)


_RULES: dict[str, Callable[[Apply], Links]] = {
    "Elemwise": _elementwise,
    "Mark": _passed_on,
    "StatisticDerivative": _passed_on,
    "IfElse": _branched,
    "DimShuffle": _transposed,
    "Subtensor": sliced,
    "IncSubtensor": assigned,
    "AdvancedSubtensor": gathered,
    "AdvancedSubtensor1": gathered,
    "Join": _joined,
    "Alloc": _filled,
    "BroadcastTo": _filled,
    "AllocEmpty": _allocated,
    "ARange": _counted,
    "Reshape": _reshaped,
}
