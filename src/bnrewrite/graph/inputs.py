"""Inputs: what a graph may depend on, checked before any work starts."""

from __future__ import annotations

from collections.abc import Sequence

from bnrewrite.graph.engine import Constant, SharedVariable, Variable, graph_inputs


def check_inputs(inputs: Sequence[Variable], outputs: Sequence[Variable]) -> None:
    """Refuse `inputs` that are no inputs, or are not all that `outputs` depend on."""
    for variable in (*inputs, *outputs):
        if not isinstance(variable, Variable):
            raise TypeError(
                f"inputs and outputs must be variables, got {variable!r} of type "
                f"{type(variable).__name__}."
            )
    computed = [str(v) for v in inputs if v.owner is not None or isinstance(v, SharedVariable)]
    if computed:
        raise ValueError(f"inputs must not be computed, or shared variables: {computed}.")
    known = {*inputs}
    missing = sorted(
        str(v)
        for v in graph_inputs(outputs)
        if v not in known and not isinstance(v, SharedVariable | Constant)
    )
    if missing:
        raise ValueError(f"the outputs depend on variables that are not among inputs: {missing}.")
