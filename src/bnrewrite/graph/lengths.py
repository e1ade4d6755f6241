"""Lengths: how long a variable is along an axis, without computing it.

A population replaces what would have told its shape: the batch statistic. So its shape is followed
upstream, node by node and out of loops, to an input or a parameter of the outer graph, which are
there in any case; what is left at run time is to read their lengths. A body of a loop has the same
shapes at each of its steps, so its inputs have the lengths of the sequences, states and parameters
outside.

The answer errs on one side: where an op does not say how its shape comes about, or says it by
numbers that only the training graph computes, there is none. Not followed is also what reads an
input that `readable` leaves out, as the function that predicts may not be given it.

What is found for a variable is kept for all that are computed from it, so the work grows with the
number of axes of the graph, and not with how far away an input is.

Sharp edge: PyTensor refuses arrays of different lengths in one operation, so the first length that
is found is right. Aesara repeats what has length 1, so all of them are looked at; where they are
too many, or one is unknown, those that were found say nothing unless one of them is not 1.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from typing import Any, NamedTuple

from bnrewrite.graph.boundaries import OpBoundary, boundary_of, is_while_loop
from bnrewrite.graph.engine import (
    BROADCASTS,
    Reshape,
    Shape_i,
    SharedVariable,
    TensorType,
    Variable,
)
from bnrewrite.graph.engine import tensor as at
from bnrewrite.graph.formulas import AxisAt, Formula, Inside, Recomputation, entry, inferred
from bnrewrite.graph.invariance import same_length, shape_read

UNKNOWN = -1
_MOST = 50  # origins that are kept of a length


class _Origins(NamedTuple):
    """Where a length comes from in the end, by place; and whether that is all there is."""

    ends: dict[AxisAt, Variable | Formula]
    is_all: bool

    def has_length(self) -> bool:
        """Whether one of them need not be computed."""
        return any(isinstance(end, Variable) for end in self.ends.values())


class Lengths:
    """The lengths of variables at any depth, as whole numbers of the outer graph.

    Parameters
    ----------
    readable : collection of Variable
        The inputs of the outer graph that may be read.
    """

    def __init__(self, readable: Collection[Variable]) -> None:
        self._readable = readable
        self._origins: dict[AxisAt, _Origins] = {}
        self._found: dict[AxisAt, tuple[Variable, bool] | None] = {}
        self._recomputed = Recomputation(self._exact, self._is_there)

    def of(self, place: AxisAt) -> Variable | None:
        """The length at a place, `UNKNOWN` where it may be more; None if nothing is known of it."""
        found = self._find(place)
        if found is None:
            return None
        length, is_all = found
        return length if is_all else at.switch(at.eq(length, 1), UNKNOWN, length)

    def _find(self, place: AxisAt) -> tuple[Variable, bool] | None:
        """The longest length found upstream, and whether that is all there are."""
        if place not in self._found:
            self._found[place] = self._read(self._follow(place))
        return self._found[place]

    def _exact(self, place: AxisAt) -> Variable | None:
        found = self._find(place)
        return found[0] if found is not None and found[1] else None

    def _is_there(self, variable: Variable) -> bool:
        return isinstance(variable, SharedVariable) or variable in self._readable

    def _read(self, origins: _Origins) -> tuple[Variable, bool] | None:
        ends = origins.ends.values()
        lengths = [end for end in ends if isinstance(end, Variable)]
        if lengths and not BROADCASTS:  # reading a length takes one node, and computing it many
            return lengths[0], True
        computed = [self._recomputed(end) for end in ends if isinstance(end, Formula)]
        lengths += [length for length in computed if length is not None]
        if not lengths:
            return None
        if not BROADCASTS:
            return lengths[0], True
        return _longest(lengths), origins.is_all and None not in computed

    def _follow(self, start: AxisAt) -> _Origins:
        """Where the length at `start` comes from, and with it all those on the way."""
        upstream: dict[AxisAt, list[AxisAt]] = {}
        todo = [start]
        while todo:
            place = todo[-1]
            if place in self._origins:
                todo.pop()
            elif place in upstream:
                self._origins[place] = _together([self._origins[p] for p in upstream[place]])
            else:
                further = self._upstream(place)
                if isinstance(further, list):
                    upstream[place] = further
                    todo += [p for p in further if p not in self._origins]
                else:
                    self._origins[place] = _Origins(
                        {} if further is None else {place: further}, further is not None
                    )
        return self._origins[start]

    def _upstream(self, place: AxisAt) -> Variable | list[AxisAt] | Formula | None:
        """Where a length comes from, one node further up; or the length, or None if unknown."""
        inside, variable, axis = place
        if not isinstance(variable.type, TensorType):
            return None
        if (known := variable.type.shape[axis]) is not None:
            return at.constant(known, dtype="int64")
        if (outside := inside.outside_of(variable)) is not None:
            around, boundary_around = outside
            (outer, *_) = boundary_around.fed_by(variable)
            return [AxisAt(around, outer, axis + outer.ndim - variable.ndim)]
        node = variable.owner
        if node is None:
            return Shape_i(axis)(variable) if self._is_there(variable) else None
        if (boundary := boundary_of(node)) is not None:
            inner = boundary.inside(variable)[-1]
            inner_axis = axis + inner.ndim - variable.ndim
            if inner_axis < 0:
                return _steps(inside, variable, boundary)
            return [AxisAt(inside.enter(boundary), inner, inner_axis)]
        same = same_length(variable, axis)
        if same is not None:
            return [AxisAt(inside, d.variable, d.axis) for d in same if d.axis is not None]
        return self._by_op(place)

    def _by_op(self, place: AxisAt) -> list[AxisAt] | Formula | None:
        """What an op says that has no quick answer."""
        inside, variable, axis = place
        if isinstance(variable.owner.op, Reshape):  # to the shape of another variable, mostly
            given = entry(variable.owner.inputs[1], axis)
            read = None if given is None or given.owner is None else shape_read(given)
            if read is not None and read.axis is not None:
                return [AxisAt(inside, read.variable, read.axis)]
        upstream = inferred(place)
        return [upstream] if isinstance(upstream, AxisAt) else upstream


def _steps(inside: Inside, variable: Variable, boundary: OpBoundary) -> Any:
    """As many steps as there is room for: a number, or an array to fill; unknown if it may stop."""
    (room,) = boundary.outside(variable)
    if is_while_loop(boundary.node):
        return None
    return [AxisAt(inside, room, 0)] if room.ndim else Formula(inside, room, {})


def _together(origins: list[_Origins]) -> _Origins:
    """The origins of a length that is any of several."""
    if not BROADCASTS:
        origins = [o for o in origins if o.has_length()][:1] or origins
    if len(origins) == 1:
        return origins[0]
    ends: dict[AxisAt, Variable | Formula] = {}
    for origin in origins:
        ends |= origin.ends
    kept = dict(islice(ends.items(), _MOST))
    return _Origins(kept, len(kept) == len(ends) and all(origin.is_all for origin in origins))


def _longest(lengths: list[Variable]) -> Variable:
    longest, *others = dict.fromkeys(lengths)
    for other in others:
        longest = at.maximum(longest, other)
    return longest
