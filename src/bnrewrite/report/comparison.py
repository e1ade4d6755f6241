"""Comparison: the outputs with statistics of either kind, compiled when they are first asked for.

No function moves random streams, so that all of them draw the same noise. Only outputs that are
numbers take part; a random stream among them has none. What rounding makes of the outputs can be
seen: each function computes with parameters that are off by a rounding error if called with
``nudge=True``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnrewrite.graph.endless import count_steps, running_on
from bnrewrite.graph.engine import (
    SharedVariable,
    TensorType,
    Variable,
    function_without_updates,
    graph_inputs,
)
from bnrewrite.graph.engine import tensor as at
from bnrewrite.graph.fast import fast_compilation
from bnrewrite.graph.statistics import Path

Values = list[NDArray[Any]]
Predict = Callable[..., Values]
# What to call real numbers that outputs are decided by, in the training and the inference graph.
Deciding = tuple[str, Variable, Variable]


class Comparison:
    """Compiled functions for the outputs that are numbers, of the inputs in their order.

    Attributes
    ----------
    inputs, batch_outputs, outputs : list of Variable
        Of the training graph, and of the inference graph.
    labels : list of str
        What to call the outputs.
    n_outputs : int
        How many there are. What some of them are decided by comes after them.
    """

    def __init__(
        self,
        inputs: Sequence[Variable],
        batch_outputs: Sequence[Variable],
        outputs: Sequence[Variable],
        deciding: Sequence[Deciding],
        mode: Any,
    ) -> None:
        numeric = [i for i, v in enumerate(outputs) if isinstance(v.type, TensorType)]
        self.inputs, self._mode = list(inputs), mode
        self.labels = [batch_outputs[i].name or f"output {i}" for i in numeric]
        self.batch_outputs = [batch_outputs[i] for i in numeric]
        self.outputs = [outputs[i] for i in numeric]
        self.n_outputs = len(numeric)
        for label, batch, inference in deciding:
            self.labels.append(label)
            self.batch_outputs.append(batch)
            self.outputs.append(inference)
        self._running_on: dict[int, Predict] = {}

    @cached_property
    def batch(self) -> Predict:
        """The training graph."""
        return self._compile(self.batch_outputs)

    @cached_property
    def inference(self) -> Predict:
        """The inference graph."""
        return self._compile(self.outputs)

    def running_on(self, n_steps: int) -> Predict:
        """The inference graph, with while-loops that take `n_steps` at least, if they can."""
        if n_steps not in self._running_on:
            self._running_on = {n_steps: self._compile(running_on(self.outputs, n_steps))}
        return self._running_on[n_steps]

    def stop_before(self, paths: Sequence[Path], n_steps: int, values: Sequence[Any]) -> bool:
        """Whether loops of the inference graph would take further steps if they ran on."""
        taken = [count_steps(path) for path in paths]
        computed = self._compile([*taken, *running_on(taken, n_steps)])(*values)
        pairs = zip(computed[: len(paths)], computed[len(paths) :], strict=True)
        return not all(np.array_equal(before, after) for before, after in pairs)

    def _compile(self, outputs: Sequence[Variable]) -> Predict:
        is_nudged = at.bscalar("is_nudged")
        parameters = filter(_is_real, graph_inputs(outputs))
        givens = [(p, p.type.filter_variable(_nudged(p, is_nudged))) for p in parameters]
        inputs = [*self.inputs, is_nudged]
        with fast_compilation():
            function = function_without_updates(inputs, outputs, givens, self._mode)

        def predict(*values: Any, nudge: bool = False) -> Values:
            return [_dense(value) for value in function(*values, nudge)]

        return predict


def _is_real(variable: Variable) -> bool:
    """Whether a variable is a parameter of real numbers; what has default updates is none."""
    kind = variable.type
    is_shared = isinstance(variable, SharedVariable) and isinstance(kind, TensorType)
    is_moving = getattr(variable, "default_update", None) is not None
    is_real = is_shared and not hasattr(kind, "format") and kind.dtype.startswith("float")
    return is_real and not is_moving


def _nudged(parameter: Variable, is_nudged: Variable) -> Variable:
    """A parameter, or one that is off by a rounding error, for functions that are asked for it."""
    eps = np.finfo(parameter.dtype).eps
    factor = at.switch(is_nudged, 1 + eps, 1)
    return parameter * at.cast(factor, parameter.dtype)


def _dense(value: Any) -> NDArray[Any]:
    """A value as an array, if it was a sparse matrix."""
    dense: NDArray[Any] = value.toarray() if hasattr(value, "toarray") else value
    return dense
