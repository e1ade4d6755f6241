"""Arguments: what `batch_normalize` is given, checked before anything is built.

What passes is in one form: a tensor variable, axes counted from the front and in order, a float.

Sharp edge: epsilon must be above 0 once it is rounded to the dtype of the activations, as a small
one is 0 in float16.
"""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np

from bnrewrite.cautions import shown
from bnrewrite.graph.engine import Variable
from bnrewrite.graph.engine import tensor as at


def as_tensor(value: Any, name: str) -> Variable:
    """`value` as a tensor of numbers; `name` is what it is called in errors."""
    try:
        variable: Variable = at.as_tensor_variable(value)
        is_number = np.dtype(variable.dtype).kind in "biuf"
    except Exception:  # whatever the engine raises for what it can't convert
        is_number = False
    if not is_number:
        raise TypeError(f"{name} must be a tensor variable or a number, got {shown(value)}.")
    return variable


def checked_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """The axes that `axis` names, counted from the front and in order."""
    axes = tuple(axis) if isinstance(axis, Iterable) and not isinstance(axis, str) else (axis,)
    for a in axes:
        if isinstance(a, bool) or not isinstance(a, int | np.integer):
            raise TypeError(f"axis must be a whole number or a tuple of them, got {shown(axis)}.")
    if not axes or any(not -ndim <= a < ndim for a in axes):
        raise ValueError(f"axis={axis} does not name axes of a variable with {ndim} axes.")
    positive = sorted({int(a) % ndim for a in axes})
    if len(positive) < len(axes):
        raise ValueError(f"axis={axis} names an axis twice.")
    return tuple(positive)


def checked_epsilon(epsilon: Any, dtype: str) -> float:
    """`epsilon`, which stays above 0 and finite in `dtype`."""
    if isinstance(epsilon, bool) or not isinstance(epsilon, Real | np.floating | np.integer):
        raise TypeError(f"epsilon must be a number, got {shown(epsilon)}.")
    with np.errstate(over="ignore", under="ignore"):
        rounded = np.asarray(epsilon, dtype)
    if not (np.isfinite(rounded) and rounded > 0):
        raise ValueError(
            f"epsilon must be above 0 and finite, and {epsilon!r} is {rounded} in {dtype}. Without "
            "it, a variance of 0 is divided by."
        )
    return float(epsilon)
