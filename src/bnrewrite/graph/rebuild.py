"""Rebuild a graph node by node, from its inputs to its outputs, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from bnrewrite.graph.engine import Apply, Variable

Memo = dict[Variable, Variable]
RebuildNode = Callable[[Apply, list[Variable]], Memo]


def topological_order(
    outputs: Iterable[Variable], known: Collection[Variable], needed: Collection[Variable]
) -> list[Apply]:
    """The nodes that compute `outputs`, each behind those it needs.

    Only variables in `needed` are followed, and nothing behind those in `known`.
    """

    def producers(variables: Iterable[Variable]) -> list[Apply]:
        return [v.owner for v in variables if v.owner and v in needed and v not in known]

    order: list[Apply] = []
    placed: set[Apply] = set()
    todo = producers(outputs)[::-1]
    while todo:
        node = todo[-1]
        missing = [n for n in producers(node.inputs) if n not in placed]
        if missing and node not in placed:
            todo.extend(reversed(missing))
            continue
        todo.pop()
        if node not in placed:
            placed.add(node)
            order.append(node)
    return order


def rebuild(
    outputs: Iterable[Variable],
    memo: Memo,
    needed: Collection[Variable],
    rebuild_node: RebuildNode,
) -> list[Variable]:
    """Compute the new versions of `outputs`, and of all they need, into `memo`.

    What `memo` holds already is a replacement: nothing behind it is visited. `rebuild_node(node,
    new_inputs)` returns new versions of the outputs of a node, so that whatever reads a replaced
    variable reads the new one, however many replacements lie upstream of each other.
    """
    outputs = list(outputs)
    for node in topological_order(outputs, memo, needed):
        for old, new in rebuild_node(node, [memo.get(v, v) for v in node.inputs]).items():
            memo.setdefault(old, new)
    return [memo.get(v, v) for v in outputs]


def clone_node(node: Apply, inputs: list[Variable]) -> Memo:
    """`node` on new `inputs`: itself if these are its own."""
    if all(new is old for new, old in zip(inputs, node.inputs, strict=True)):
        return {v: v for v in node.outputs}
    clone = node.clone_with_new_inputs(inputs)
    return dict(zip(node.outputs, clone.outputs, strict=True))
