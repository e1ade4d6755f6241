"""Labels: what to call a statistic, and whether it can be one.

A label is what its mark says. The engine's own normalization has no mark of the user's, and takes
its label from the names of its inputs, also from those that they have outside of loops.
"""

from __future__ import annotations

from bnrewrite.graph.boundaries import boundary_of
from bnrewrite.graph.engine import DimShuffle, Subtensor, TensorType, Variable
from bnrewrite.graph.marks import label_of
from bnrewrite.graph.native import BATCH_NORM, is_batch_norm
from bnrewrite.graph.statistics import Path, name_of


def checked_label(variable: Variable, path: Path) -> str:
    """The label of a statistic, if it can be one."""
    label = label_of(variable)
    if path and is_batch_norm(path[-1].op):
        label = label.replace(BATCH_NORM, _name_of_inputs(path) or BATCH_NORM, 1)
    where = "/".join([*map(name_of, path), label])
    if path and variable.owner is None:
        raise ValueError(
            f"the mark on {where!r} is on an input of the body of a loop, which all loops share. "
            "Mark the variable where it is computed, or a copy of it (`mark_statistic(x.copy())`)."
        )
    if not isinstance(variable.type, TensorType) or not variable.type.dtype.startswith("float"):
        raise TypeError(
            f"the statistic {where!r} is of type {variable.type}; only floating-point tensors can "
            "be averaged. Mark a variable cast to floating point."
        )
    return label


def _name_of_inputs(path: Path) -> str | None:
    """The name of what is normalized at `path`, or else of its scale or bias."""
    names = (_name(v, path[:-1]) for v in path[-1].inputs[:3])
    return next((name for name in names if name), None)


def _name(variable: Variable, path: Path) -> str | None:
    """The name of a variable of the graph at `path`, or of what it is a view of."""
    while variable.owner is not None and isinstance(variable.owner.op, DimShuffle | Subtensor):
        variable = variable.owner.inputs[0]  # Scan gives its slices names too
    if variable.name:
        return str(variable.name)
    boundary = boundary_of(path[-1]) if path else None
    if boundary is None or not boundary.is_input(variable):
        return None
    return _name(boundary.fed_by(variable)[0], path[:-1])
