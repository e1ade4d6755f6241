"""Formulas: whole numbers of a body, computed in the outer graph.

Where a length is not that of another variable, as that of a slice or a concatenation, the op that
makes it gives a formula. It is built anew in the outer graph from what is known there: constants,
parameters and inputs, and lengths that were followed out of the loops. Anything else, such as a
number that changes from step to step, has no formula outside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from bnrewrite.graph.boundaries import OpBoundary
from bnrewrite.graph.engine import (
    Apply,
    Constant,
    MakeVector,
    Shape,
    Subtensor,
    Variable,
    infer_shape,
    lengths_of_inputs,
)
from bnrewrite.graph.engine import tensor as at
from bnrewrite.graph.invariance import shape_read

_DEEPEST = 40  # computations on top of each other


class Inside:
    """A graph: the outer one, or that inside a node of another. There is one for each place.

    Bodies of equal loops may have the same variables, so that a variable alone does not say where
    it is.
    """

    def __init__(self, boundary: OpBoundary | None = None, around: Inside | None = None) -> None:
        self.boundary, self._around = boundary, around
        self._entered: dict[Apply, Inside] = {}

    def enter(self, boundary: OpBoundary) -> Inside:
        """The graph inside a node of this graph."""
        if boundary.node not in self._entered:
            self._entered[boundary.node] = Inside(boundary, self)
        return self._entered[boundary.node]

    def outside_of(self, variable: Variable) -> tuple[Inside, OpBoundary] | None:
        """Where an input of this graph comes from; None for other variables."""
        if self.boundary is None or self._around is None or not self.boundary.is_input(variable):
            return None
        return self._around, self.boundary


class AxisAt(NamedTuple):
    """An axis of a variable in a graph."""

    inside: Inside
    variable: Variable
    axis: int


class Formula(NamedTuple):
    """A number in a graph, with the lengths that it is computed from."""

    inside: Inside
    number: Variable
    given: dict[Variable, AxisAt]


def inferred(place: AxisAt) -> AxisAt | Formula | None:
    """What the op that computes a variable says of its length; None if nothing."""
    inside, variable, axis = place
    node = variable.owner
    shapes, places = lengths_of_inputs(node)
    try:
        length = at.as_tensor_variable(infer_shape(node, shapes)[variable.index][axis])
    except Exception:  # whatever an op raises that can't say
        return None
    given = {n: AxisAt(inside, *place) for n, place in places.items()}
    return given[length] if length in given else Formula(inside, length, given)


class Recomputation:
    """Computes formulas in the outer graph.

    Parameters
    ----------
    length : callable
        The length at a place, None if it is not known.
    is_there : callable
        Whether a variable that nothing computes may be read.
    """

    def __init__(
        self, length: Callable[[AxisAt], Variable | None], is_there: Callable[[Variable], bool]
    ) -> None:
        self._length, self._is_there = length, is_there
        self._depth = 0

    def __call__(self, formula: Formula) -> Variable | None:
        """The number, None if it can't be computed there."""
        if self._depth > _DEEPEST:
            return None
        self._depth += 1
        try:
            return self._computed(*formula)
        finally:
            self._depth -= 1

    def _computed(
        self, inside: Inside, number: Variable, given: dict[Variable, AxisAt]
    ) -> Variable | None:
        if number in given:
            return self._length(given[number])
        if isinstance(number, Constant):
            return number
        if (outside := inside.outside_of(number)) is not None:
            around, boundary = outside
            if boundary.changes(number):
                return None
            return self(Formula(around, boundary.fed_by(number)[0], {}))
        if number.owner is None:
            return number if self._is_there(number) else None
        if (read := shape_read(number)) is not None:
            return self._length(AxisAt(inside, read.variable, read.axis or 0))
        if (entry := entry_of(number)) is not None:
            return self(Formula(inside, entry, given))
        return self._again(inside, number.owner, given, number.index)

    def _again(
        self, inside: Inside, node: Apply, given: dict[Variable, AxisAt], index: int
    ) -> Variable | None:
        """An output of `node`, whose inputs are computed in the outer graph too."""
        if isinstance(node.op, Shape):
            (shaped,) = node.inputs
            lengths = [self._length(AxisAt(inside, shaped, axis)) for axis in range(shaped.ndim)]
            return at.stack(lengths) if lengths and all(v is not None for v in lengths) else None
        if not all(map(_is_whole, node.outputs)):
            return None
        inputs = [self(Formula(inside, v, given)) for v in node.inputs]
        if any(v is None for v in inputs):
            return None
        output: Variable = node.clone_with_new_inputs(inputs).outputs[index]
        return output


def entry_of(number: Variable) -> Variable | None:
    """What a number was before it was put into a vector and taken out again, if it was."""
    op, inputs = number.owner.op, number.owner.inputs
    if not isinstance(op, Subtensor) or number.ndim or len(inputs) != 2:
        return None
    return entry(inputs[0], int(inputs[1].data)) if isinstance(inputs[1], Constant) else None


def entry(vector: Variable, index: int) -> Variable | None:
    """What was put into a vector, if it was made of single numbers."""
    node = vector.owner
    if node is None or not isinstance(node.op, MakeVector):
        return None
    found: Variable = node.inputs[index]
    return found


def _is_whole(variable: Variable) -> bool:
    """Whether a variable is one whole number, or a few."""
    dtype = str(getattr(variable.type, "dtype", ""))
    return dtype.startswith(("int", "uint", "bool")) and getattr(variable.type, "ndim", 0) < 2
