"""Ragged: arrays whose leading axes, those of time, end early.

Batches take different numbers of steps, and what they have is brought to common lengths here. A
batch that ended may repeat its last step (`pad_edge`) or count for nothing (`pad_zero`); a step
that no batch reached takes the value of the one before (`fill_forward`).

Only leading axes are touched. The others are a statistic's own, and are the same for all batches.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]


def pad_edge(values: Array, lengths: tuple[int, ...]) -> Array:
    """Repeat the last step of each leading axis of `values` until it is of one of `lengths`."""
    for axis, length in enumerate(lengths):
        if values.shape[axis] < length:
            index = np.minimum(np.arange(length), values.shape[axis] - 1)
            values = values.take(index, axis=axis)
    return values


def pad_zero(values: Array, lengths: tuple[int, ...]) -> Array:
    """Append zeros to the leading axes of `values` until they are of `lengths`."""
    old = values.shape[: len(lengths)]
    if old == lengths:
        return values
    padded = np.zeros(lengths + values.shape[len(lengths) :], values.dtype)
    padded[up_to(old)] = values
    return padded


def up_to(lengths: tuple[int, ...]) -> Any:
    """The index of as many steps on the leading axes."""
    return (*map(slice, lengths), ...)


def plus(sums: Array, values: Array, lengths: tuple[int, ...]) -> Array:
    """Add `values`, whose leading axes have `lengths`, to that part of `sums`, in a new array."""
    if values.shape == sums.shape:
        return np.asarray(sums + values)
    added = np.empty_like(sums)
    part = up_to(lengths)
    np.add(sums[part], values, out=added[part])
    for axis, length in enumerate(lengths):
        rest = (*map(slice, lengths[:axis]), slice(length, None))
        added[rest] = sums[rest]
    return added


def plus_ends(sums: Array, values: Array, lengths: tuple[int, ...]) -> Array:
    """Add to `sums` what `pad_edge` appends to `values`, in a new array."""
    added = sums.copy()
    for axis, length in enumerate(values.shape[: len(lengths)]):
        before = (slice(None),) * axis
        last = values[(*before, slice(length - 1, None))]
        rest = (*map(slice, values.shape[:axis]), slice(length, None))
        added[rest] += pad_edge(last, (*last.shape[: axis + 1], *lengths[axis + 1 :]))
    return added


def common_lengths(a: Array, b: Array, n_time_axes: int) -> tuple[int, ...]:
    """The greater of the lengths of two arrays on each time axis."""
    return tuple(map(max, a.shape[:n_time_axes], b.shape[:n_time_axes]))


def fill_forward(values: Array, reached: Mask) -> Array:
    """Replace the steps of `values` that were not `reached` by the last one before that was.

    Where there is none before, the next one is taken. Inner time axes are filled first,
    then whole steps of the outer ones.

    Parameters
    ----------
    values : ndarray
        With axes (T_1, ..., T_depth, *axes of the statistic).
    reached : ndarray of bool
        With axes (T_1, ..., T_depth); true somewhere.
    """
    if reached.all():
        return values
    for axis in reversed(range(reached.ndim)):
        steps = np.arange(reached.shape[axis]).reshape(-1, *[1] * (reached.ndim - axis - 1))
        source = np.maximum.accumulate(np.where(reached, steps, -1), axis=axis)
        source = np.where(source < 0, reached.argmax(axis=axis, keepdims=True), source)
        index = source.reshape(source.shape + (1,) * (values.ndim - reached.ndim))
        values = np.take_along_axis(values, index, axis=axis)
        reached = np.broadcast_to(reached.any(axis=axis, keepdims=True), reached.shape)
    return values


def length(mask: Mask, axis: int) -> int:
    """The number of steps of an axis up to the last one at which `mask` is true anywhere."""
    others = tuple(a for a in range(mask.ndim) if a != axis)
    return int(np.flatnonzero(mask.any(axis=others))[-1]) + 1
