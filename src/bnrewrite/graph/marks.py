"""Marks: the nodes of a training graph that say "this is a statistic of the batch".

A mark passes its values on and changes nothing. It is a node of the graph, and not a note beside
it, because what copies, rewrites, freezes, pickles or differentiates a graph keeps its nodes and
may drop anything else. What is known of a statistic is found on its mark: the label, the partner (a
mean and a variance of the same elements are two outputs of one mark) and the number of elements.

Differentiating a mark leaves another node, `StatisticDerivative`. A graph with one is a
derivative of the training graph, wherever it is and whatever its loops are called.

Both are dropped when a function is compiled, before any other rewrite (see `hooks`), so that
training costs nothing, and by nothing else.

Sharp edges
-----------
- A mark whose result nothing reads marks nothing: use what `mark_statistic` returns.
- ``x.tag.bn_statistic = True`` is as good as a mark where the graph is not copied or differentiated
  in between: constructors of loops turn it into a mark, and the survey takes it for one in the
  outermost graph. One thing can't be seen: a derivative, outside of loops, of a statistic that was
  marked by its tag alone. It computes with statistics of the batch. Take derivatives of the
  inference graph, or mark with `mark_statistic`, and it is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bnrewrite.graph.engine import Apply, DisconnectedType, NullType, Op, Variable
from bnrewrite.graph.rebuild import Memo, clone_node, rebuild_in_order


class _Identity(Op):
    """Returns its first inputs, one for each label. Further ones are there to be read off."""

    __props__ = ("labels",)

    def __init__(self, *labels: str) -> None:
        self.labels = labels
        self.view_map = {i: [i] for i in range(len(labels))}

    def make_node(self, *inputs: Variable) -> Apply:
        """Outputs have the types of the inputs that they pass on."""
        return Apply(self, list(inputs), [v.type() for v in inputs[: len(self.labels)]])

    def perform(self, node: Apply, inputs: Any, output_storage: Any) -> None:
        """Pass the values on."""
        for storage, value in zip(output_storage, inputs, strict=False):
            storage[0] = value

    def shapes_of(self, node: Apply, shapes: Any) -> Any:
        """The shapes of what is passed on."""
        return shapes[: len(self.labels)]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """Each output depends on the input that it passes on."""
        return [[i == j for j in range(len(self.labels))] for i in range(len(node.inputs))]

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Pass the gradients on, and say what they are derivatives of."""
        rest = [DisconnectedType()() for _ in inputs[len(self.labels) :]]
        return [*map(derivative, cotangents, self.labels), *rest]

    def pushforward(self, inputs: Any, outputs: Any, tangents: Any) -> list[Any]:
        """Pass the derivatives on, and say what they are derivatives of."""
        return [*map(derivative, tangents, self.labels)]


class StatisticDerivative(_Identity):
    """Says that its input is a derivative through the batch statistics of these labels."""

    def vectorized(self, node: Apply, *inputs: Variable) -> Apply:
        """`node` on `inputs` with further leading axes: a derivative of each."""
        return self.make_node(*inputs)


class Mark(_Identity):
    """Says that its inputs are batch statistics, which have these labels.

    Two labels are those of a mean and a variance of the same elements. An input more than labels is
    the number of these elements.
    """

    def make_node(self, *inputs: Variable) -> Apply:
        """Tag the outputs too, for code that looks for tags."""
        node = super().make_node(*inputs)
        for variable, label in zip(node.outputs, self.labels, strict=True):
            variable.tag.bn_statistic, variable.tag.bn_label = True, label
        return node

    def vectorized(self, node: Apply, *inputs: Variable) -> Apply:
        """`node` on `inputs` with further leading axes, which its values get too."""
        ndim = node.inputs[0].ndim
        values, counts = inputs[: len(self.labels)], inputs[len(self.labels) :]
        return self.make_node(*values, *(_with_core_ndim(c, node, ndim) for c in counts))


def _with_core_ndim(count: Variable, node: Apply, ndim: int) -> Variable:
    """A vectorized count, which broadcasts against values that had `ndim` axes before."""
    core = node.inputs[-1].ndim
    leading = range(count.ndim - core)
    return count.dimshuffle(*leading, *"x" * (ndim - core), *range(len(leading), count.ndim))


def derivative(value: Variable | None, label: str) -> Variable | None:
    """`value`, known as a derivative through the statistic `label`, if it is one at all."""
    if value is None or isinstance(value.type, DisconnectedType | NullType):
        return value
    passed_on: Variable = StatisticDerivative(label)(value)
    return passed_on


def is_marked(variable: Variable) -> bool:
    """Whether `variable` is marked, by a mark or by its tag."""
    node = variable.owner
    return is_tagged(variable) or (node is not None and isinstance(node.op, Mark))


def is_tagged(variable: Variable) -> bool:
    """Whether `variable` is marked by its tag alone."""
    if not getattr(variable.tag, "bn_statistic", False):
        return False  # as for nearly all
    node = variable.owner
    return node is None or not isinstance(node.op, Mark)


def label_of(variable: Variable) -> str:
    """The label on the mark of a variable; else that of its tag, its name, or ``"statistic"``."""
    node = variable.owner
    if node is not None and isinstance(node.op, Mark):
        return str(node.op.labels[variable.index])
    return str(getattr(variable.tag, "bn_label", None) or variable.name or "statistic")


def has_marks(op: Any) -> bool:
    """Whether there is a mark, or a derivative of one, in the graph inside `op`, at any depth."""
    return has_inside(op, lambda inner: isinstance(inner, Mark | StatisticDerivative))


def has_inside(op: Any, found: Callable[[Any], bool]) -> bool:
    """Whether there is an op that `found` looks for in the graph inside `op`, at any depth."""
    fgraph = getattr(op, "fgraph", None)
    nodes = () if fgraph is None else fgraph.apply_nodes
    return any(found(n.op) or has_inside(n.op, found) for n in nodes)


def tags_to_marks(
    inputs: Sequence[Variable], outputs: Sequence[Variable], order: Sequence[Apply]
) -> list[Variable]:
    """`outputs`, with a mark on each variable with a tag alone.

    `order` has the nodes that compute them from `inputs`, each after those it needs.
    """
    tagged = {v for node in order for v in node.outputs if is_tagged(v)}
    if not tagged:
        return list(outputs)
    bare: Memo = {}

    def rebuild_node(node: Apply, new_inputs: list[Variable]) -> Memo:
        if isinstance(node.op, Mark):  # which says more than a tag
            new_inputs = [bare.get(v, v) for v in new_inputs]
        new = clone_node(node, new_inputs)
        for old in tagged.intersection(node.outputs):
            marked = Mark(label_of(old))(new[old])
            bare[marked] = new[old]
            new[old] = marked
        return new

    memo: Memo = {v: v for v in inputs}
    rebuild_in_order(order, memo, rebuild_node)
    return [memo.get(v, v) for v in outputs]
