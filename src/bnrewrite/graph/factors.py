"""Factors: which axes a number is the length of, or a product of the lengths of.

What says how long an axis becomes is a number, ``x.shape[0]`` or ``x.shape[0] * x.shape[1]``, or
one of a vector of them as `Reshape` takes it. Such numbers are taken apart here, so far as they
consist of lengths: constants do not count, and a sum is taken for a product. What is not a length
stands for itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from bnrewrite.graph.engine import CAReduce, Constant, Shape_i, Subtensor, Variable
from bnrewrite.graph.invariance import Dependency

Factors = set[Dependency]
Number: TypeAlias = Variable | Dependency | int
Given = Mapping[Variable, Dependency]


def factors(number: Number, given: Given | None = None) -> Factors:
    """The lengths that `number` is made of, and other variables that it is; none if constant.

    Variables that are `given` are these lengths.
    """
    if isinstance(number, int | Constant):
        return set()
    if isinstance(number, Dependency):
        return {number}
    if given and number in given:
        return {given[number]}
    parts = _parts(number)
    if parts is None:
        return {Dependency(number)}
    return set().union(*(factors(part, given) for part in parts))


def _parts(number: Variable) -> list[Number] | None:
    """What a number is computed from, if that can be made of lengths."""
    node = number.owner
    if node is None:
        return None
    op, first = node.op, node.inputs[0]
    if isinstance(op, Shape_i):
        return [Dependency(first, op.i)]
    if isinstance(op, CAReduce):
        return entries(first)
    if isinstance(op, Subtensor):
        (index,), vector = index_of(node), entries(first)
        is_known = vector is not None and isinstance(index, Constant)
        return [vector[int(index.data)]] if is_known and vector else None
    return list(node.inputs) if all(_ndim(v) == 0 for v in node.inputs) else None


def entries(vector: Variable) -> list[Number] | None:
    """The numbers in a vector; None if they can't be told apart."""
    if isinstance(vector, Constant):
        return [int(n) for n in np.ravel(vector.data)]
    node = vector.owner
    name = type(node.op).__name__ if node else None
    if name == "MakeVector":
        return list(node.inputs)
    if name == "Shape":
        return [Dependency(node.inputs[0], axis) for axis in range(node.inputs[0].ndim)]
    if name == "Join":
        joined = [entries(v) for v in node.inputs[1:]]
        return None if None in joined else [n for part in joined if part for n in part]
    if name == "Subtensor":
        return _slice_of(entries(node.inputs[0]), index_of(node)[0])
    if name in ("Elemwise", "DimShuffle") and len(node.inputs) == 1:  # a cast, or a lone number
        return entries(node.inputs[0]) if _ndim(node.inputs[0]) else list(node.inputs)
    return None


def _slice_of(vector: list[Number] | None, index: Any) -> list[Number] | None:
    bounds = [index.start, index.stop, index.step] if isinstance(index, slice) else [index]
    if vector is None or not all(v is None or isinstance(v, Constant) for v in bounds):
        return None
    return vector[slice(*(None if _is_none(v) else int(v.data) for v in bounds))]


def _is_none(bound: Variable | None) -> bool:
    return bound is None or bound.data is None


def index_of(node: Any) -> list[Any]:
    """The index of a subtensor as it was written, with variables for its numbers."""
    indices = iter(node.inputs[1:])

    def filled(part: Any) -> Any:
        return None if part is None else next(indices)

    return [
        slice(filled(i.start), filled(i.stop), filled(i.step))
        if isinstance(i, slice)
        else filled(i)
        for i in node.op.idx_list
    ]


def _ndim(variable: Variable) -> int:
    return getattr(variable.type, "ndim", 0)
