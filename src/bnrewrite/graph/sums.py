"""Sums: what is summed over which axes, and so over which axes marked statistics are taken.

A product of matrices is a sum too. A mean is a sum that is divided by a number, and a variance one
of squares: what is done to each value before, and to the result after, does not matter here.

Whole numbers, and what is computed from them alone, are not measured but counted: lengths, masks
made by comparing, numbers of examples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce

from bnrewrite.graph.axes import Axes, Kinds
from bnrewrite.graph.axis_sources import n_axes
from bnrewrite.graph.engine import (
    Apply,
    CAReduce,
    Constant,
    DimShuffle,
    Elemwise,
    Op,
    Reshape,
    Shape,
    Shape_i,
    Subtensor,
    Variable,
)
from bnrewrite.graph.marks import Mark, is_tagged
from bnrewrite.graph.statistics import Path

_SUMS, _PRODUCTS = ("Add", "Mean"), ("Dot", "BatchedDot")
_SCALING = ("Cast", "Mul", "TrueDiv", "TrueDivide")
_SHAPING = (DimShuffle, Elemwise, Reshape, Subtensor)


def is_measured(variable: Variable, look_back: int = 8) -> bool:
    """Whether a variable is of a floating-point dtype, and not computed from whole numbers."""
    if not str(getattr(variable.type, "dtype", "")).startswith("float"):
        return False
    node = variable.owner
    if node is None or not look_back or not isinstance(node.op, _SHAPING):
        return True
    return any(is_measured(v, look_back - 1) for v in node.inputs if not isinstance(v, Constant))


def is_decided(variable: Variable, look_back: int = 8) -> bool:
    """Whether a variable was made of such numbers, as a class or a comparison."""
    node = variable.owner
    if node is None or not look_back or isinstance(node.op, Shape | Shape_i):
        return False
    return any(is_measured(v) or is_decided(v, look_back - 1) for v in node.inputs)


def read(node: Apply) -> list[Variable]:
    """The inputs whose values a node reads, and not their shapes alone, as `ones_like` does."""
    is_fill = isinstance(node.op, Elemwise) and type(node.op.scalar_op).__name__ == "Second"
    return node.inputs[1:] if is_fill else list(node.inputs)


def is_sum(op: Op) -> bool:
    """Whether an op adds up values along axes."""
    if isinstance(op, CAReduce):
        return type(op.scalar_op).__name__ in _SUMS
    return _is_product(op)


def _is_product(op: Op) -> bool:
    return type(getattr(op, "core_op", op)).__name__ in _PRODUCTS


def summed(axes: Axes, path: Path, node: Apply) -> Kinds:
    """The kinds of the axes that a node sums over; none if it is no sum."""
    kinds: list[Kinds] = []
    if isinstance(node.op, CAReduce):
        of_values = axes.of(path, node.inputs[0])
        over = range(len(of_values)) if node.op.axis is None else node.op.axis
        kinds = [of_values[a] for a in over]
    elif _is_product(node.op):
        sides = [axes.of(path, v) for v in node.inputs[:2]]
        kinds = [*sides[0][-1:], *sides[1][-2:][:1]]
    return frozenset().union(*kinds)


def described(node: Apply) -> str:
    """What a sum is called that has no name."""
    values = " and ".join(v.name or str(v) for v in node.inputs)
    if not isinstance(node.op, CAReduce):
        return f"product of {values}"
    over = "all axes" if node.op.axis is None else f"axes {tuple(node.op.axis)}"
    return f"sum over {over} of {values}"


def batch_kinds(axes: Axes) -> list[Kinds]:
    """The kinds of axes that marked statistics are taken over: the sets that they have in common.

    Axes of steps are none of examples, and those of parameters neither. Both are left out, unless
    nothing is left.
    """
    statistics = values_of_marks(axes)
    statistics += [(path, v) for path, node in axes.nodes for v in node.outputs if is_tagged(v)]
    taken = [kinds for path, v in statistics for kinds in _taken_over(axes, path, v)]
    steps, parameters = axes.steps(), axes.parameters()
    for others in (steps | parameters, steps, frozenset()):
        left = list(dict.fromkeys(kinds - others for kinds in taken if kinds - others))
        if left:
            break
    common = [reduce(frozenset.intersection, (k for k in left if k & one)) for one in left]
    return list(dict.fromkeys(c or one for c, one in zip(common, left, strict=True)))


def values_of_marks(axes: Axes) -> list[tuple[Path, Variable]]:
    """What marks pass on."""
    marks = [(path, node) for path, node in axes.nodes if isinstance(node.op, Mark)]
    return [(path, v) for path, node in marks for v in node.inputs[: len(node.outputs)]]


def _taken_over(axes: Axes, path: Path, statistic: Variable) -> Iterator[Kinds]:
    """The axes of the sums that a statistic is computed from, without those further up."""
    todo, seen = [statistic], set()
    while todo:
        variable = todo.pop()
        node = variable.owner
        if node is None or variable in seen or not is_measured(variable):
            continue
        seen.add(variable)
        if isinstance(node.op, CAReduce) or _is_product(node.op):
            yield summed(axes, path, node) | _further(axes, path, node)
        elif isinstance(node.op, _SHAPING):
            todo += node.inputs


def _further(axes: Axes, path: Path, node: Apply) -> Kinds:
    """The axes of a sum that another one sums up, and so on."""
    kinds: Kinds = frozenset()
    while isinstance(node.op, CAReduce) or _is_scaling(node.op):
        kinds |= summed(axes, path, node)
        measured = [v for v in node.inputs if is_measured(v) and not isinstance(v, Constant)]
        if len(measured) != 1 or measured[0].owner is None:
            break
        node = measured[0].owner
    return kinds


def _is_scaling(op: Op) -> bool:
    if isinstance(op, Elemwise):
        return type(op.scalar_op).__name__ in _SCALING
    return isinstance(op, DimShuffle | Reshape)


def axes_of_examples(axes: Axes, outputs: Sequence[Variable]) -> list[Kinds]:
    """The kinds of axes that may be those of examples, if nothing is marked.

    They are axes of inputs and of all outputs that have any, and neither of steps nor parameters.
    """
    inputs = {v for path, node in axes.nodes if not path for v in node.inputs if v.owner is None}
    kinds = frozenset().union(*(axes.all_of((), v) for v in inputs))
    of_outputs = [axes.all_of((), v) for v in outputs if n_axes(v)]
    kinds = reduce(frozenset.intersection, of_outputs, kinds)
    return [frozenset({kind}) for kind in kinds - axes.steps() - axes.parameters()]
