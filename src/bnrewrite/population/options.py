"""Options: what a caller may ask of a population, checked before anything is computed.

`True` and `False` are refused where a whole number is asked for, though Python takes them for 1 and
0. Numbers of NumPy become those of Python.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from bnrewrite.cautions import shown
from bnrewrite.population.counts import MinCount


def checked_min_coverage(value: Any) -> int:
    """`value` as a number of batches.

    Raises
    ------
    TypeError
        If it is no whole number.
    ValueError
        If it is negative.
    """
    return _whole("min_coverage", value, "a whole number of batches")


def checked_min_count(value: Any) -> MinCount:
    """`value` as a number of elements, or ``"auto"``.

    Raises
    ------
    TypeError
        If it is neither.
    ValueError
        If it is negative.
    """
    if isinstance(value, str) and value == "auto":
        return "auto"
    return _whole("min_count", value, 'a whole number of elements, or "auto"')


def checked_path(value: Any) -> str | os.PathLike[str]:
    """`value` as the path of a file.

    Raises
    ------
    TypeError
        If it is none.
    """
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"path must be text or a path, got {shown(value)}.")
    return value


def _whole(name: str, value: Any, what: str) -> int:
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} is {what}, and not {shown(value)}.")
    if value < 0:
        raise ValueError(f"{name} is {what}, 0 or more, and not {value!r}.")
    return int(value)
