"""Training graphs of any size, to see how the work of building grows with it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from bnrewrite import mark_statistic
from bnrewrite.graph.engine import Apply, Scan, ancestors
from bnrewrite.graph.rebuild import rebuild
from models import Variable, at, scan

STATISTICS_PER_LOOP = 4


def step(x_t: Variable, h: Variable) -> Variable:
    """Return a new state, computed with a few statistics of the batch."""
    for i in range(STATISTICS_PER_LOOP):
        h = at.tanh(x_t + h - mark_statistic(h.mean(axis=0), f"mean{i}"))
    return h


def loops() -> Iterator[Callable[[Variable], Variable]]:
    """Copies of one loop: to build each takes longer, the more there is in front of it."""
    x = at.dtensor3("x")
    h = scan(step, sequences=[x], outputs_info=[at.zeros_like(x[0])], name="loop")
    while True:
        yield lambda y: rebuild([h], {x: y}, copy_node)[0]


def copy_node(node: Apply, inputs: list[Variable]) -> dict[Variable, Variable]:
    copy = node.clone_with_new_inputs(inputs)
    return dict(zip(node.outputs, copy.outputs, strict=True))


def abreast(n_loops: int) -> tuple[Variable, Variable]:
    """Loops side by side."""
    x = at.dtensor3("x")
    return x, at.add(*(loop(x)[-1] for loop in islice(loops(), n_loops)))


def stacked(n_loops: int) -> tuple[Variable, Variable]:
    """Loops that read each other."""
    x = y = at.dtensor3("x")
    for loop in islice(loops(), n_loops):
        y = loop(y)
    return x, y


def nested(n_loops: int, depth: int = 10) -> tuple[Variable, Variable]:
    """Loops side by side, in further loops up to a depth: a statistic in each body."""
    x = at.TensorType("float64", (None,) * (depth + 2))("x")

    def inside(x: Variable, depth: int) -> Variable:
        y = x - mark_statistic(x.mean(axis=-2, keepdims=True), "mean")
        copies = n_loops if depth == 1 else min(depth, 1)
        return at.add(y, *(around(y, depth - 1) for _ in range(copies)))

    def around(x: Variable, depth: int) -> Variable:
        return scan(lambda x_t: inside(x_t, depth), sequences=[x], name=f"depth{depth}")

    return x, inside(x, depth)


def deep(depth: int) -> tuple[Variable, Variable]:
    """One loop in another. Tensors have as many axes, and each axis a length to keep track of."""
    return nested(1, depth)


def n_nodes(outputs: list[Variable]) -> int:
    """Count the nodes of a graph and of those inside its loops."""
    return sum(1 for _ in all_nodes(outputs))


def n_edges(outputs: list[Variable]) -> int:
    """Count what these nodes read and return."""
    return sum(len(node.inputs) + len(node.outputs) for node in all_nodes(outputs))


def all_nodes(outputs: list[Variable]) -> Iterator[Apply]:
    """The nodes of a graph and of those inside its loops."""
    for node in {v.owner for v in ancestors(outputs) if v.owner}:
        yield node
        if isinstance(node.op, Scan):
            yield from all_nodes(node.op.fgraph.outputs)


def n_calls(function: Callable[[], Any]) -> int:
    """Count the calls of Python functions, a measure of work that no machine changes."""
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(before)
    return calls
