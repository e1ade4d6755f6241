"""Readings: take the statistics of one batch from what the estimator returns, and check them.

A `Source` says where a statistic is among the arrays, `read` makes a `Reading` of it. What can't be
averaged is refused with the number of the batch and the step: a value that is not finite, a loop
that took no step, a shape that differs other than in time. A step without elements is no error; the
batch just does not count there.

A batch that did not take the branch of a statistic, or has no element for it as its mask is zero
everywhere, has no reading of it. At steps that did not take the branch, it may be anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bnrewrite.estimation.batches import BatchError
from bnrewrite.estimation.sources import Source
from bnrewrite.population.ragged import Array, Mask, fill_forward, length, up_to
from bnrewrite.population.tally import Reading


def read(
    source: Source,
    values: Sequence[Any],
    number: int,
    expected: tuple[int | str, ...] | None,
    pooling: str,
) -> Reading | None:
    """The value of a statistic in batch `number`, with the steps that there were.

    `expected` is the shape it had in batches before, if any, with anything for its time axes. None
    if the batch did not take the branch that the statistic is in, or has no element for it.
    """
    if source.entered is not None and not values[source.entered]:
        return None
    value = np.asarray(values[source.index])  # in its dtype: copies of all cost more than adding
    _check_shape(source, value, number, expected)
    needed = _needed(source, values, value.shape)
    if needed is not None and not needed.any():
        return None
    count = _count(source, values, value.shape, number, needed)
    ran = _ran(source, values, value.shape)
    reached = _reached(ran, count, needed)
    if not reached.any():
        return None
    if not reached.all():
        if count is not None:
            # A loop that stopped early holds its count too, and there is nothing to count.
            count = np.where(_with_ndim(reached, count.ndim), count, 0.0)
        kept = up_to(_lengths(ran, reached, needed))
        value, reached = fill_forward(value, reached)[kept], reached[kept]
        count = None if count is None else count[kept]
        needed = None if needed is None else needed[kept]
    if count is not None:
        value = _without_empty(source, value, reached, count, number, pooling)
    _check_finite(source, value, number)
    return Reading(value, reached, count, needed)


def _check_shape(
    source: Source, value: Array, number: int, expected: tuple[int | str, ...] | None
) -> None:
    depth, shape = source.depth, value.shape
    if 0 in shape[:depth]:
        raise BatchError(
            f"loop {source.loops[shape.index(0)]!r} took no step in batch {number}, which leaves "
            f"{source.name!r} without a value. Leave empty sequences out of the batches."
        )
    if expected is not None and expected[depth:] != shape[depth:]:
        own, before = shape[depth:], expected[depth:]
        axis = [n == m for n, m in zip(own, before, strict=True)].index(False)
        raise BatchError(
            f"{source.name!r} has shape {own} in batch {number}, and had {before} before: axis "
            f"{axis} has {own[axis]} elements in place of {before[axis]}. Only the number of steps "
            "of loops may differ between batches. If it is the number of examples that differs, "
            "the statistic keeps their axis: average over it, too."
        )


def _needed(source: Source, values: Sequence[Any], shape: tuple[int, ...]) -> Mask | None:
    """The steps at which a statistic was needed, with all time axes; None if that is all."""
    if source.need is None:
        return None
    steps = shape[: source.depth]
    need = np.asarray(values[source.need], bool)
    return np.broadcast_to(_with_ndim(need, len(steps)), steps)


def _count(
    source: Source,
    values: Sequence[Any],
    shape: tuple[int, ...],
    number: int,
    needed: Mask | None,
) -> Array | None:
    """Give the count the number of axes of the statistic, whose last ones are its own."""
    if source.count is None:
        return None
    count = np.asarray(values[source.count], np.float64)
    depth, n_axes = source.depth, len(shape)
    own = count.shape[depth:]
    fits = len(own) <= n_axes - depth and all(
        n in (1, m) for n, m in zip(own, shape[n_axes - len(own) :], strict=True)
    )
    if not fits:
        raise BatchError(
            f"the count of {source.name!r} in batch {number} has axes {own} that do not broadcast "
            f"to {shape[depth:]}."
        )
    count = count.reshape(shape[:depth] + (1,) * (n_axes - depth - len(own)) + own)
    if needed is not None:
        count = np.where(_with_ndim(needed, count.ndim), count, 0.0)
    if not np.isfinite(count).all() or (count < 0).any():
        raise BatchError(
            f"the count of {source.name!r} in batch {number} is negative or not finite. If it was "
            "marked by `batch_normalize`, its mask has other values than 0 and 1."
        )
    return count


def _ran(source: Source, values: Sequence[Any], shape: tuple[int, ...]) -> Mask:
    """The steps that loops took."""
    shape = shape[: source.depth]
    ran = np.ones(shape, dtype=bool)
    for axis, index in enumerate(source.steps_taken):
        if index is not None:
            steps = np.arange(shape[axis]) < np.asarray(values[index])[..., None]
            ran &= steps.reshape(steps.shape + (1,) * (len(shape) - axis - 1))
    return ran


def _reached(ran: Mask, count: Array | None, needed: Mask | None) -> Mask:
    """The steps that have a value."""
    reached = ran if needed is None else ran & needed
    return reached if count is None else reached & (count > 0).reshape(*ran.shape, -1).any(axis=-1)


def _lengths(ran: Mask, reached: Mask, needed: Mask | None) -> tuple[int, ...]:
    """The number of steps to keep of each loop.

    Up to the last one that was reached, or at which it is known that it was not needed. Of loops
    that were not entered nothing is known.
    """
    lengths = []
    for axis in range(reached.ndim):
        known = reached
        if needed is not None:
            entered = needed.any(axis=tuple(range(axis, reached.ndim)), keepdims=True)
            known = reached | (ran & ~needed & entered)
        lengths.append(length(known, axis))
    return tuple(lengths)


def _without_empty(
    source: Source, value: Array, reached: Mask, count: Array, number: int, pooling: str
) -> Array:
    """Put 0 where nothing was counted at a step at which something was."""
    empty = (count == 0) & _with_ndim(reached, count.ndim)
    if empty.any() and pooling == "edge":
        raise BatchError(
            f"the count of {source.name!r} in batch {number} is zero for some of its elements, and "
            'not for others, so that they have no value to repeat. Choose pooling="reached" or '
            '"moments".'
        )
    return np.where(empty, 0.0, value) if empty.any() else value


def _with_ndim(reached: Mask, ndim: int) -> Mask:
    """Append axes of size 1 for the statistic's own."""
    return reached.reshape(reached.shape + (1,) * (ndim - reached.ndim))


def _check_finite(source: Source, value: Array, number: int) -> None:
    finite = np.isfinite(value)
    if not finite.all():
        step = tuple(int(i) for i in np.argwhere(~finite)[0][: source.depth])
        at_step = f" at step {step[0] if len(step) == 1 else step} (counted from 0)" if step else ""
        raise BatchError(
            f"{source.name!r} is not finite in batch {number}{at_step}. Check "
            "the parameters and the batch; a mean over no elements, as behind a mask, is NaN."
        )
