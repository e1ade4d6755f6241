"""Tolerance: how much of a difference between outputs rounding explains.

Each element is compared by itself. What it may differ by is a small part of its own size and of
that of its unit (the elements with the same index on the last axis that is not one of examples), so
that a mask of -1e9 somewhere does not hide what happens elsewhere. The size of a unit is that of
its small elements.

To this comes what rounding really does, which may be much in a long recurrence: the outputs are
computed once more with inputs and parameters that are off by as little as a number can be. Where
this changes one unit, it is taken to change all units of the same example and step, each by its
size. Where it changes much, little can be said, and that is said (`unclear`).

Numbers that are not floating point must be equal, but for a few more than rounding changes. So must
be infinities; NaN is equal to NaN.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_TIMES = 100  # rounding may do this much more than it was seen to do
_VISIBLE = 0.1  # of the size of an element
_FEW = 0.01  # of all elements


def is_inexact(array: Array) -> bool:
    """Whether an array is of floating point, real or complex."""
    return bool(np.issubdtype(array.dtype, np.inexact))


class Tolerance(NamedTuple):
    """What the elements of an array may differ by.

    Attributes
    ----------
    allowed : array
        For each element.
    n_excused : int
        How many of them may differ by more.
    unclear : str or None
        Why a difference that is allowed may still be one, if rounding makes much of it.
    """

    allowed: Array
    n_excused: int = 0
    unclear: str | None = None


def nudged(value: Any, rng: np.random.Generator) -> Any:
    """`value` off by a rounding error, except where it is a whole number, as a mask is."""
    if not isinstance(value, np.ndarray) or not is_inexact(value):
        return value
    eps = np.finfo(value.dtype).eps
    off = (value * (1 + eps * rng.choice([-1, 1], size=value.shape))).astype(value.dtype)
    return np.where(np.isfinite(value) & (value != np.round(value)), off, value)


def tolerance_of(value: Array, rounded: Array, unit_axis: int | None) -> Tolerance:
    """What each element of `value` may differ by; `rounded` is it after another rounding."""
    if rounded.shape != value.shape:
        rounded = value
    if not is_inexact(value):
        changed = rounded != value
        return Tolerance(np.zeros(value.shape), 10 * int(changed.sum()), _unclear(changed))
    eps = float(np.finfo(value.dtype).eps)
    size = np.abs(value).astype(np.float64)
    size[~np.isfinite(size)] = 0
    typical = _small_sizes(size.reshape(1, -1))
    own = size + _unit_sizes(size, unit_axis, typical)
    with np.errstate(all="ignore"):
        noise = _TIMES * np.abs(rounded - value) / np.where(own > 0, own, np.inf)
    noise[~np.isfinite(noise)] = 0
    unclear = _unclear(noise > _VISIBLE)
    if unit_axis is not None:
        # Of a unit that is nothing but rounding, nothing follows for the others.
        telling = np.where(own > np.sqrt(eps) * typical, noise, 0)
        noise = np.maximum(noise, telling.max(axis=unit_axis, keepdims=True, initial=0))
    return Tolerance((np.sqrt(eps) + noise) * own + 64 * eps * typical, 0, unclear)


def _unclear(changed: NDArray[np.bool_]) -> str | None:
    """Why little can be said, if rounding may have changed more than a few elements."""
    if not changed.size or changed.mean() <= _FEW:
        return None
    return f"rounding alone may change {changed.mean():.0%} of it by as much as could be seen."


def _unit_sizes(size: Array, unit_axis: int | None, typical: Array) -> Array:
    if unit_axis is None:
        return typical
    by_unit = np.moveaxis(size, unit_axis, 0).reshape(size.shape[unit_axis], -1)
    shape = [-1 if axis == unit_axis else 1 for axis in range(size.ndim)]
    return np.asarray(np.minimum(_small_sizes(by_unit).reshape(shape), 100 * typical))


def _small_sizes(rows: Array) -> Array:
    """Of each row, what a tenth of those that are not 0 stay below; 0 if there are none."""
    if not rows.size:
        return np.zeros(len(rows))
    count = (rows > 0).sum(axis=1)
    in_order = np.sort(np.where(rows > 0, rows, np.inf), axis=1)
    found = in_order[np.arange(len(rows)), np.maximum(count - 1, 0) // 10]
    return np.asarray(np.where(count > 0, found, 0))


def differ(expected: Array, actual: Array, allowed: Array) -> NDArray[np.bool_]:
    """Where two arrays differ by more than is `allowed`."""
    if not is_inexact(expected):
        return np.asarray(expected != actual)
    both_nan = np.isnan(expected) & np.isnan(actual)
    with np.errstate(all="ignore"):
        near = np.abs(expected - actual) <= allowed
    finite = np.isfinite(expected) & np.isfinite(actual)
    return np.asarray(~((expected == actual) | both_nan | (finite & near)))


def difference(expected: Array, actual: Array, where: NDArray[np.bool_]) -> str:
    """The greatest difference among some elements, in words."""
    a, b = np.ravel(expected[where]), np.ravel(actual[where])
    if not is_inexact(a) or not (np.isfinite(a) & np.isfinite(b)).all():
        first = 0 if not is_inexact(a) else int(np.argmin(np.isfinite(a) & np.isfinite(b)))
        return f"changes from {a[first]!s} to {b[first]!s}"
    return f"changes by up to {np.abs(np.subtract(a, b)).max():.3g}"
