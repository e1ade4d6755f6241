"""Hold: give a loop as many steps of a value as it takes, the last one repeated where it has fewer.

This is how a population estimated from sequences up to some length serves longer ones (Cooijmans et
al. 2017): past the end its last step is held. It is also how while-loops in a loop return
statistics of one length. Where there are enough steps, the result is a view of
the value and nothing is copied.

An op of its own, and not an index into the value, because indexing copies, once for each statistic
and call. Backends that translate ops instead of running them (Numba, JAX) do not know this one, and
get the index: `GatherHeldSteps` sees to it. Derivatives of held steps add up at the step that they
repeat.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bnrewrite.graph.engine import (
    Apply,
    DisconnectedType,
    GraphRewriter,
    Op,
    ReplaceValidate,
    Variable,
    runs_ops,
)
from bnrewrite.graph.engine import tensor as at


class HoldLastStep(Op):
    """The first steps of a value, the last one repeated where there are fewer: a view if not."""

    __props__ = ()
    view_map = {0: [0]}  # noqa: RUF012

    def make_node(self, values: Variable, n_steps: Variable) -> Apply:
        """The static shape stays, but for the number of steps."""
        kind = values.type
        if kind.shape[0] is not None:
            kind = kind.clone(shape=(None, *kind.shape[1:]))
        n_steps = at.as_tensor_variable(n_steps)
        return Apply(self, [values, n_steps], [kind()])

    def perform(self, node: Apply, inputs: Any, output_storage: Any) -> None:
        """Slice, or else gather."""
        values, n_steps = inputs
        if n_steps > len(values) == 0:
            raise ValueError("a value has no steps, and a loop needs one at least to hold.")
        if n_steps > len(values):
            output_storage[0][0] = values[np.minimum(np.arange(n_steps), len(values) - 1)]
        else:
            output_storage[0][0] = values[: max(n_steps, 0)]

    def shapes_of(self, node: Apply, shapes: Any) -> Any:
        """As many steps as are asked for."""
        return [(at.maximum(node.inputs[1], 0), *shapes[0][1:])]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """There is no derivative by the number of steps."""
        return [[True], [False]]

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Add up the gradients of the repeated steps."""
        values, n_steps = inputs
        steps = _steps(values, n_steps)
        gradient = at.inc_subtensor(at.zeros_like(values)[steps], cotangents[0])
        return [gradient, DisconnectedType()()]

    def pushforward(self, inputs: Any, outputs: Any, tangents: Any) -> list[Any]:
        """What is true of values is true of their derivatives."""
        tangent = tangents[0]
        is_one = tangent is not None and not isinstance(tangent.type, DisconnectedType)
        return [self(tangent, inputs[1]) if is_one else tangent]


class GatherHeldSteps(GraphRewriter):  # type: ignore[misc]
    """Index into values in the place of `HoldLastStep`, in backends that do not run ops."""

    def add_requirements(self, fgraph: Any) -> None:
        """Nodes have to be replaced."""
        fgraph.attach_feature(ReplaceValidate())

    def apply(self, fgraph: Any) -> None:
        """Replace all of this graph: those inside of loops are compiled in the same way."""
        if runs_ops(fgraph):
            return
        for node in fgraph.toposort():
            if isinstance(node.op, HoldLastStep):
                values, n_steps = node.inputs
                held = node.outputs[0].type.filter_variable(values[_steps(values, n_steps)])
                fgraph.replace(node.outputs[0], held, reason="gather_held_steps")


def _steps(values: Variable, n_steps: Variable) -> Variable:
    return at.minimum(at.arange(n_steps), values.shape[0] - 1)


_hold_last_step = HoldLastStep()


def hold_last_step(values: Variable, n_steps: Variable) -> Variable:
    """The first `n_steps` of `values`, the last one repeated where there are fewer."""
    held: Variable = _hold_last_step(values, n_steps)
    return held
