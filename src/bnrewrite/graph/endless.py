"""Endless: loops that go on where they would have stopped.

A while-loop stops when its condition says so, and nothing of what it would have computed later can
be seen. To see it, the loop is built anew so that it takes some number of steps at least, though
not more than it has room for. And the steps that it does take are counted, at any depth.
"""

from __future__ import annotations

from collections.abc import Sequence

from bnrewrite.graph.boundaries import boundary_of, is_loop, is_while_loop
from bnrewrite.graph.engine import Apply, Variable
from bnrewrite.graph.engine import tensor as at
from bnrewrite.graph.loops import Loop
from bnrewrite.graph.rebuild import Memo, clone_node, rebuild
from bnrewrite.graph.statistics import Path


def running_on(outputs: Sequence[Variable], n_steps: int) -> list[Variable]:
    """`outputs`, with while-loops at any depth that take `n_steps` at least, if they can."""

    def rebuild_node(node: Apply, inputs: list[Variable]) -> Memo:
        boundary = boundary_of(node)
        if boundary is None or not may_stop(node):
            return clone_node(node, inputs)
        if not is_loop(node):
            memo = dict(zip(boundary.inner_inputs, inputs, strict=True))
            inner = rebuild(boundary.inner_outputs, memo, rebuild_node)
            return dict(zip(node.outputs, inner, strict=True))
        memo = {}
        rebuild(boundary.inner_outputs, memo, rebuild_node)
        loop = Loop(node, inputs, node.outputs, boundary.inner_inputs)
        loop.replace_inside(memo)
        if is_while_loop(node):
            step = at.lscalar()
            loop.add_sequences([at.arange(loop.n_steps)], [step])
            loop.stop_only_if(at.ge(step + 1, n_steps))
        return loop.build()[0]

    return rebuild(outputs, {}, rebuild_node)


def count_steps(path: Path) -> Variable:
    """How many steps the loop that `path` ends in takes, for each step of the loops around it."""
    taken: Variable = path[-1].outputs[0].shape[0]
    for node in reversed(path[:-1]):
        boundary = boundary_of(node)
        assert boundary is not None
        if is_loop(node):
            loop = Loop(node, list(node.inputs), node.outputs, boundary.inner_inputs)
            loop.add_nit_sots([taken])
            (taken,) = loop.build()[1]
        else:
            memo = dict(zip(boundary.inner_inputs, node.inputs, strict=True))
            (taken,) = rebuild([taken], memo, clone_node)
    return taken


def may_stop(node: Apply) -> bool:
    """Whether `node` is a while-loop, or has one inside."""
    fgraph = getattr(node.op, "fgraph", None)
    return fgraph is not None and (is_while_loop(node) or any(map(may_stop, fgraph.apply_nodes)))
