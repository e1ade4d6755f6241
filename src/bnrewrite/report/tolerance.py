"""Tolerance: how much of a difference between outputs rounding explains.

Each element is compared by itself. What it may differ by is a small part of its own size and of
that of its unit (the elements with the same index on the last axis that is not one of examples), so
that a mask of -1e9 somewhere does not hide what happens elsewhere. The size of a unit is that of
its small elements. To this comes what rounding really does: the outputs are computed once more with
inputs that are off by as little as a number can be.

Numbers that are not floating point must be equal. So must be infinities, and NaN is equal to NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def is_inexact(array: Array) -> bool:
    """Whether an array is of floating point, real or complex."""
    return bool(np.issubdtype(array.dtype, np.inexact))


def nudged(value: Any, rng: np.random.Generator) -> Any:
    """`value` off by a rounding error, except where it is a whole number, as a mask is."""
    if not isinstance(value, np.ndarray) or not is_inexact(value):
        return value
    eps = np.finfo(value.dtype).eps
    off = (value * (1 + eps * rng.choice([-1, 1], size=value.shape))).astype(value.dtype)
    return np.where(np.isfinite(value) & (value != np.round(value)), off, value)


def tolerance(value: Array, rounded: Array, unit_axis: int | None) -> Array:
    """What each element of `value` may differ by; `rounded` is it after another rounding."""
    if not is_inexact(value):
        return np.zeros(value.shape)
    eps = float(np.finfo(value.dtype).eps)
    with np.errstate(all="ignore"):
        size = np.abs(value).astype(np.float64)
        noise = np.abs(rounded - value) if rounded.shape == value.shape else np.zeros(value.shape)
    size[~np.isfinite(size)], noise[~np.isfinite(noise)] = 0, 0
    typical = _small_sizes(size.reshape(1, -1))
    units = typical
    if unit_axis is not None:
        by_unit = np.moveaxis(size, unit_axis, 0).reshape(size.shape[unit_axis], -1)
        shape = [-1 if axis == unit_axis else 1 for axis in range(size.ndim)]
        units = np.minimum(_small_sizes(by_unit).reshape(shape), 100 * typical)
    allowed: Array = np.sqrt(eps) * (size + units) + 64 * eps * typical + 100 * noise
    return allowed


def _small_sizes(rows: Array) -> Array:
    """Of each row, what a tenth of those that are not 0 stay below; 0 if there are none."""
    if not rows.size:
        return np.zeros(len(rows))
    count = (rows > 0).sum(axis=1)
    in_order = np.sort(np.where(rows > 0, rows, np.inf), axis=1)
    found = in_order[np.arange(len(rows)), np.maximum(count - 1, 0) // 10]
    return np.where(count > 0, found, 0)


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
