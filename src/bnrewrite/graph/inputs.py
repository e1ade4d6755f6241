"""Inputs: what a graph may be made of and depend on, checked before any work starts.

An engine checks inputs only when it compiles a function, and that is after the graph was built. Of
what passes here everything is known that a graph needs: inputs, shared variables or constants.

Sharp edge: a mode is known by its name only, so that one with a backend that is not installed
passes, and fails where the engine compiles with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bnrewrite.cautions import shown
from bnrewrite.graph.engine import (
    TITLE,
    Constant,
    Mode,
    SharedVariable,
    Variable,
    get_mode,
    graph_inputs,
)


def check_inputs(inputs: Sequence[Variable], outputs: Sequence[Variable]) -> None:
    """Refuse `inputs` that are no inputs, or are not all that `outputs` depend on."""
    if isinstance(inputs, Variable):
        raise TypeError(f"inputs is a list of variables, got {inputs} alone. Pass [{inputs}].")
    variables = listed(inputs, "inputs")
    computed = [str(v) for v in variables if v.owner is not None or isinstance(v, SharedVariable)]
    if computed:
        raise ValueError(f"inputs must not be computed, or shared variables: {computed}.")
    twice = [str(v) for v, n in Counter(variables).items() if n > 1]
    if twice:
        raise ValueError(f"inputs are given more than once: {twice}.")
    known = set(variables)
    missing = sorted(
        str(v)
        for v in graph_inputs(outputs)
        if v not in known and not isinstance(v, SharedVariable | Constant)
    )
    if missing:
        raise ValueError(f"the outputs depend on variables that are not among inputs: {missing}.")


def listed(variables: Any, name: str) -> list[Variable]:
    """One variable or several of them as a list; `name` is what they are called in errors.

    Raises
    ------
    TypeError
        If they are no variables.
    """
    if isinstance(variables, Variable):
        return [variables]
    if isinstance(variables, Mapping | str | bytes) or not isinstance(variables, Iterable):
        raise TypeError(f"{name} must be a list of variables, got {shown(variables)}.")
    several = list(variables)
    for variable in several:
        if not isinstance(variable, Variable):
            raise TypeError(f"{name} must be variables, got {shown(variable)}.")
    return several


def checked_outputs(outputs: Any, name: str = "outputs") -> list[Variable]:
    """`listed` outputs, of which there is one at least.

    Raises
    ------
    TypeError
        If they are no variables.
    ValueError
        If there is none.
    """
    several = listed(outputs, name)
    if not several:
        raise ValueError(f"{name} is empty: there is nothing to compute.")
    return several


def check_mode(mode: Any) -> None:
    """Refuse a mode that the engine does not know.

    Raises
    ------
    TypeError
        If it is neither text nor a mode.
    ValueError
        If there is none of this name.
    """
    if mode is None or isinstance(mode, Mode):
        return
    if not isinstance(mode, str):
        raise TypeError(f"mode must be the name of a mode, or one of {TITLE}, got {shown(mode)}.")
    try:
        get_mode(mode)
    except Exception as error:  # Aesara raises no more special one
        raise ValueError(f"mode={mode!r} is none that {TITLE} knows.") from error
