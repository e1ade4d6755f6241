"""Boundaries: which variables outside and inside of a node with an inner graph belong together.

A loop (`Scan`) and an `OpFromGraph` have a graph of their own, whose inputs and outputs correspond
to those of the node without being connected to them. What a graph needs, and what a body may change
from step to step, is followed across this gap here, and only here and in `loops` is the order known
in which Scan lists sequences, states and the like.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from bnrewrite.graph.engine import (
    Apply,
    OpFromGraph,
    Scan,
    Variable,
    inner_graph,
    remember_inner_graph,
)
from bnrewrite.graph.native import is_batch_norm, written_out


class OpBoundary:
    """The boundary of an `OpFromGraph`: inputs and outputs belong together one by one.

    Or of an op that stands for a graph (`native`).

    Attributes
    ----------
    node : Apply
        The node with an inner graph.
    inner_inputs, inner_outputs : sequence of Variable
        Of this graph.
    always_inside : list of Variable
        What is computed inside whichever outputs are needed.
    always_outside : list of Variable
        What is needed from outside whichever outputs are needed.
    """

    def __init__(self, node: Apply) -> None:
        self.node = node
        inside = written_out(node) if is_batch_norm(node.op) else inner_graph(node)
        self.inner_inputs, self.inner_outputs = inside
        self.always_inside: list[Variable] = []
        self.always_outside: list[Variable] = []

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        remember_inner_graph(self.node, self.inner_inputs, self.inner_outputs)

    @cached_property
    def _index(self) -> dict[Variable, int]:
        return {v: i for i, v in enumerate(self.inner_inputs)}

    def is_input(self, variable: Variable) -> bool:
        """Whether `variable` is an input of the inner graph."""
        return variable in self._index

    def inside(self, output: Variable) -> list[Variable]:
        """What the inner graph returns for an output of the node; running averages are left out."""
        return list(self.inner_outputs[output.index : output.index + 1])

    def outside(self, output: Variable) -> list[Variable]:
        """What an output of the node is computed from, besides what is inside."""
        return []

    def fed_by(self, inner_input: Variable) -> list[Variable]:
        """Where an input of the inner graph comes from."""
        return [self.node.inputs[self._index[inner_input]]]

    def changes(self, inner_input: Variable) -> bool:
        """Whether an input of the inner graph may have another value at each step."""
        return False


class LoopBoundary(OpBoundary):
    """The boundary of a loop.

    Every loop needs its number of steps, and a while-loop its condition. A state is started from
    an outer input, and in further steps it is what the body returned in the step before. The states
    of a loop that is a derivative (mit-mots) are kept together, so each of them is needed.
    """

    def __init__(self, node: Apply) -> None:
        super().__init__(node)
        op = node.op
        self.always_inside = list(op.inner_mitmot_outs(self.inner_outputs))
        self.always_outside = [node.inputs[0], *op.outer_mitmot(node.inputs)]
        if is_while_loop(node):
            self.always_inside.append(self.inner_outputs[-1])
        self._maps = node.op.get_oinp_iinp_iout_oout_mappings()

    def inside(self, output: Variable) -> list[Variable]:
        """What the body returns for an output of the loop."""
        indices = self._maps["inner_out_from_outer_out"][output.index]
        return [self.inner_outputs[i] for i in indices]

    def outside(self, output: Variable) -> list[Variable]:
        """What an output of the loop is started from."""
        return [self.node.inputs[self._maps["outer_inp_from_outer_out"][output.index]]]

    def fed_by(self, inner_input: Variable) -> list[Variable]:
        """Where an input of the body comes from: an outer input and, for a state, its output."""
        index = self._index[inner_input]
        output = self._maps["outer_out_from_inner_inp"][index]
        state = [self.node.outputs[output]] if output >= 0 else []
        return [self.node.inputs[self._maps["outer_inp_from_inner_inp"][index]], *state]

    def changes(self, inner_input: Variable) -> bool:
        """Whether an input of the body may have another value at each step."""
        return inner_input not in self._unchanging

    @cached_property
    def _unchanging(self) -> set[Variable]:
        return set(self.node.op.inner_non_seqs(self.inner_inputs))


def boundary_of(node: Apply) -> OpBoundary | None:
    """The boundary of a node with an inner graph that can be rebuilt; None for other nodes."""
    if is_batch_norm(node.op):
        return OpBoundary(node)
    if getattr(node.op, "fgraph", None) is None:
        return None
    if is_loop(node):
        return LoopBoundary(node)
    return OpBoundary(node) if isinstance(node.op, OpFromGraph) else None


def is_loop(node: Apply) -> bool:
    """Whether `node` is a Scan."""
    return type(node.op) is Scan


def is_while_loop(node: Apply) -> bool:
    """Whether `node` is a Scan that may stop before its last step."""
    return is_loop(node) and node.op.info.as_while
