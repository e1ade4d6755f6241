"""Rebuild a graph node by node, from its inputs to its outputs, in one pass.

Every new node is built from the new versions of its inputs. So whatever reads a replaced variable
reads the new one, however many replacements lie upstream of each other, and no edge to the old
graph is left upstream of a replacement. Replacing in a finished graph, one variable after the
other, does not have this property: a replacement that was computed from another variable keeps the
old one.

The memo maps old variables to new ones. What is in it at the beginning is a replacement, and
nothing upstream of it is visited.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from operator import attrgetter, is_

from bnrewrite.graph.engine import Apply, Variable

Memo = dict[Variable, Variable]
RebuildNode = Callable[[Apply, list[Variable]], Memo]
_type = attrgetter("type")


def topological_order(
    outputs: Iterable[Variable], known: Collection[Variable], needed: Collection[Variable] | None
) -> list[Apply]:
    """The nodes that compute `outputs`, each after those it needs.

    Only variables in `needed`, if given, are followed, and nothing upstream of those in `known`.
    """
    order: list[Apply] = []
    state: dict[Apply, bool] = {}  # False while what a node needs is visited, then True
    todo = [v.owner for v in outputs if v not in known and v.owner][::-1]
    while todo:
        node = todo[-1]
        if node in state:
            todo.pop()
            if not state[node]:
                state[node] = True
                order.append(node)
            continue
        state[node] = False
        for variable in reversed(node.inputs):
            if (needed is None or variable in needed) and variable not in known:
                producer = variable.owner
                if producer is not None and producer not in state:
                    todo.append(producer)
    return order


def rebuild(outputs: Iterable[Variable], memo: Memo, rebuild_node: RebuildNode) -> list[Variable]:
    """Compute the new versions of `outputs`, and of all they need, into `memo`.

    `rebuild_node(node, new_inputs)` returns new versions of the outputs of a node.
    """
    outputs = list(outputs)
    rebuild_in_order(topological_order(outputs, memo, None), memo, rebuild_node)
    return [memo.get(v, v) for v in outputs]


def rebuild_in_order(
    order: Iterable[Apply],
    memo: Memo,
    rebuild_node: RebuildNode,
    special: Collection[Apply] | None = None,
) -> None:
    """Compute the new versions of what the nodes of `order` compute into `memo`.

    If `special` nodes are given, the others are rebuilt only if something upstream of them is new.
    """
    for node in order:
        if special is None or node in special or not memo.keys().isdisjoint(node.inputs):
            for old, new in rebuild_node(node, [memo.get(v, v) for v in node.inputs]).items():
                memo.setdefault(old, new)


def without_known(
    order: Sequence[Apply], outputs: Iterable[Variable], known: Collection[Variable]
) -> list[Apply]:
    """The nodes of `order` that `outputs` still need if the variables in `known` are given."""
    needed = set(outputs).difference(known)
    kept = []
    for node in reversed(order):
        if not needed.isdisjoint(node.outputs):
            needed.update(set(node.inputs).difference(known))
            kept.append(node)
    return kept[::-1]


def clone_node(node: Apply, inputs: Sequence[Variable]) -> Memo:
    """`node` on new `inputs`: itself if these are its own."""
    if all(map(is_, inputs, node.inputs)):
        return dict(zip(node.outputs, node.outputs, strict=True))
    if list(map(_type, inputs)) == list(map(_type, node.inputs)):
        clone = node.clone()  # half the work of what follows
        clone.inputs = list(inputs)
    else:
        clone = node.clone_with_new_inputs(inputs)
    return dict(zip(node.outputs, clone.outputs, strict=True))
