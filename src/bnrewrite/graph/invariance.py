"""Invariance: what in the body of a loop is the same at each of its steps.

An inner loop that returns its statistics needs the same number of steps at each step of the loop
around it, or they would have no common length. So this number, which is a variable of the body, is
computed outside of it. It can be if it depends on nothing but constants, inputs that are the same
at each step, and shapes: a sequence has the same shape at each step, and so has a state.

What can't be proved here is refused by `export`. A wrong proof would be found when the function
runs, where arrays of different length don't stack, but for a length of one, which NumPy broadcasts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bnrewrite.graph.boundaries import LoopBoundary, is_loop
from bnrewrite.graph.engine import (
    Apply,
    Constant,
    OpFromGraph,
    Shape,
    Shape_i,
    Subtensor,
    Variable,
    ancestors,
    graph_inputs,
    rewrite_graph,
)
from bnrewrite.graph.rebuild import Memo, clone_node, rebuild


def outside_of(variables: Sequence[Variable], node: Apply) -> list[Variable | None]:
    """`variables` of the body of the loop `node`, computed outside of the loop.

    Returns
    -------
    list of Variable or None
        None for a value that may change from step to step. What depends only on non-sequences, and
        on the shapes of sequences and states, does not.
    """
    boundary = LoopBoundary(node)
    outside = [_outside_of(v, boundary) for v in variables]
    missing = [v for v, found in zip(variables, outside, strict=True) if found is None]
    if missing:
        # A rewrite, on a copy, expresses shapes within the body by the shapes of its inputs.
        # It does not see past what an `OpFromGraph` is applied to.
        inlined = rebuild(missing, {}, _inline)
        simpler = iter(rewrite_graph(inlined, include=("ShapeOpt", "canonicalize"), clone=True))
        outside = [_outside_of(next(simpler), boundary) if v is None else v for v in outside]
    return outside


def _outside_of(variable: Variable, boundary: LoopBoundary) -> Variable | None:
    memo = boundary.unchanging()
    for length, inner, axis in _lengths(variable):
        if boundary.is_input(inner) and inner not in memo:
            memo[length] = boundary.behind(inner)[0].shape[axis + 1]
        elif inner.owner and is_loop(inner.owner) and axis > 0:
            # What a loop stacks has the same shape at each of its steps.
            (stacked,) = LoopBoundary(inner.owner).inside(inner)
            outside: Variable | None = stacked.shape[axis - 1]
            for loop in (inner.owner, boundary.node):
                if outside is not None:
                    (outside,) = outside_of([outside], loop)
            if outside is not None:
                memo[length] = outside
    if any(boundary.is_input(v) and v not in memo for v in graph_inputs([variable], memo)):
        return None
    return rebuild([variable], memo, clone_node)[0]


def _inline(node: Apply, inputs: list[Variable]) -> Memo:
    """`node` on new `inputs`, or the graph inside if it is an `OpFromGraph`."""
    if not isinstance(node.op, OpFromGraph):
        return clone_node(node, inputs)
    memo, inner = dict(zip(node.op.inner_inputs, inputs, strict=True)), node.op.inner_outputs
    outputs = rebuild(inner, memo, _inline)
    return dict(zip(node.outputs, outputs, strict=False))


def _lengths(variable: Variable) -> Iterator[tuple[Variable, Variable, int]]:
    """The lengths that `variable` is computed from, each with what it is of and the axis."""
    for length in ancestors([variable]):
        if length.owner is None:
            continue
        if isinstance(length.owner.op, Shape_i):
            yield length, length.owner.inputs[0], length.owner.op.i
        elif isinstance(length.owner.op, Subtensor) and length.ndim == 0:
            shape, *index = length.owner.inputs
            if shape.owner and isinstance(shape.owner.op, Shape) and _is_constant(index):
                (inner,) = shape.owner.inputs
                yield length, inner, int(index[0].data) % inner.ndim


def _is_constant(index: Sequence[Variable]) -> bool:
    """Whether an index is one number."""
    return len(index) == 1 and isinstance(index[0], Constant)
