"""Index rules: which axes are left of a variable when it is indexed, and which come from an index.

Part of the rules of `axis_rules`, which says what a link is.

Sharp edges: where arrays index axes that are not side by side, or stand with anything but slices,
`gathered` gives no links. An axis whose type says that its length is 1 has none, as it is
broadcast.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from bnrewrite.graph.engine import Apply, Variable
from bnrewrite.graph.factors import Factors, index_of
from bnrewrite.graph.invariance import Dependency

Link = tuple[Dependency, Factors]
Links = Iterator[Link]


def same(node: Apply, pairs: Iterable[tuple[int, Variable, int]]) -> Links:
    """Links of the first output: its axis, and an axis of a variable that is not known to be 1."""
    for axis, variable, other in pairs:
        if variable.type.shape[other] != 1:
            yield Dependency(node.outputs[0], axis), {Dependency(variable, other)}


def sliced(node: Apply) -> Links:
    """What is left when a variable is indexed by numbers and slices."""
    first = node.inputs[0]
    return same(node, ((i, first, axis) for i, axis in enumerate(_kept(node, first.ndim))))


def assigned(node: Apply) -> Links:
    """A variable in which a part is set to a value."""
    first, value = node.inputs[:2]
    yield from same(node, ((axis, first, axis) for axis in range(first.ndim)))
    kept = _kept(node, first.ndim)
    for axis, other in zip(kept[::-1], range(value.ndim)[::-1], strict=False):
        if value.type.shape[other] != 1:
            yield Dependency(node.outputs[0], axis), {Dependency(value, other)}


def _kept(node: Apply, ndim: int) -> list[int]:
    """The axes that are left of a variable when it is indexed."""
    index = node.op.idx_list
    return [a for a in range(ndim) if a >= len(index) or isinstance(index[a], slice)]


def gathered(node: Apply) -> Links:
    """Indexed with arrays: their axes come where the first of them was."""
    first = node.inputs[0]
    index = index_of(node) if getattr(node.op, "idx_list", None) else node.inputs[1:]
    arrays = {a: v for a, v in enumerate(index) if _is_numbers(v)}
    places = list(arrays)
    is_plain = all(isinstance(v, slice) or _is_slice(v) for v in index if not _is_numbers(v))
    if not places or not is_plain or places != list(range(places[0], places[-1] + 1)):
        return
    n_new = max(v.ndim for v in arrays.values())
    for axis, v in arrays.items():
        if type(getattr(v.owner, "op", None)).__name__ == "ARange":  # one of each
            yield Dependency(first, axis), {Dependency(v, 0)}
        new = ((places[0] + n_new - v.ndim + i, v, i) for i in range(v.ndim))
        yield from same(node, new)
    kept = [a for a in range(first.ndim) if a not in arrays]
    old = ((i if i < places[0] else i + n_new, first, a) for i, a in enumerate(kept))
    yield from same(node, old)


def _is_numbers(index: Any) -> bool:
    return isinstance(index, Variable) and "int" in str(getattr(index.type, "dtype", ""))


def _is_slice(index: Any) -> bool:
    return isinstance(index, Variable) and type(index.type).__name__ == "SliceType"
