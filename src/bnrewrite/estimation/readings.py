"""Readings: take the statistics of one batch from what the estimator returns, and check them.

A `Source` says where a statistic is among the arrays, `read` makes a `Reading` of it. What can't be
averaged is refused with the number of the batch and the step: a value that is not finite, a loop
that took no step, a shape that differs other than in time, a batch in which nothing was counted. A
step without elements is no error; the batch just does not count there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnrewrite.estimation.batches import BatchError
from bnrewrite.graph.engine import Variable
from bnrewrite.graph.exported import Export, Exported
from bnrewrite.graph.statistics import Statistic, loops_of, place
from bnrewrite.population.ragged import Array, Mask, crop, hold
from bnrewrite.population.tally import Reading


@dataclass(frozen=True)
class Source:
    """Where one statistic is, among the values that the estimator returns.

    Attributes
    ----------
    index : int
        The place of its value.
    name, dtype : str
        Of the statistic.
    loops : tuple of str
        The places of the loops around it, one for each time axis.
    taken : tuple of int or None
        For each of these, where the number of steps is that it took, if it may stop early.
    count : int or None
        Where the number of elements is, if known.
    """

    index: int
    name: str
    dtype: str
    loops: tuple[str, ...]
    taken: tuple[int | None, ...]
    count: int | None

    @property
    def depth(self) -> int:
        """The number of time axes."""
        return len(self.loops)


def sources(exported: Exported) -> tuple[list[Variable], list[Source]]:
    """What an estimator has to compute, and where each statistic is among it."""
    exports = exported.exports
    variables = list(dict.fromkeys(v for e in exports.values() for v in e.variables()))
    index: dict[Variable | None, int] = {v: i for i, v in enumerate(variables)}
    return variables, [_source(s, export, index) for s, export in exports.items()]


def _source(statistic: Statistic, export: Export, index: Mapping[Variable | None, int]) -> Source:
    return Source(
        index=index[export.value],
        name=statistic.name,
        dtype=str(statistic.variable.dtype),
        loops=tuple(place(path) for path in loops_of(statistic.path)),
        taken=tuple(index.get(v) for v in export.taken) or (None,) * statistic.depth,
        count=index.get(export.count),
    )


def read(
    source: Source,
    values: Sequence[Any],
    number: int,
    expected: tuple[int | str, ...] | None,
    pooling: str,
) -> Reading:
    """The value of a statistic in batch `number`, with the steps that there were.

    `expected` is the shape it had in batches before, if any, with anything for its time axes.
    """
    value = np.asarray(values[source.index])  # in its dtype: copies of all cost more than adding
    _check_shape(source, value, number, expected)
    count = None
    if source.count is not None:
        count = _count(source, np.asarray(values[source.count], np.float64), value.shape, number)
    reached = _reached(source, values, value.shape, count)
    if not reached.any():
        raise BatchError(
            f"{source.name!r} has no element in batch {number}: its count, or mask, is zero "
            "everywhere. Leave such batches out."
        )
    if not reached.all():
        if count is not None:
            # A loop that stopped early holds its count too, and there is nothing to count.
            count = crop(np.where(_with_ndim(reached, count.ndim), count, 0.0), reached)[0]
        value, reached = crop(hold(value, reached), reached)
    if count is not None:
        value = _without_empty(source, value, reached, count, number, pooling)
    _check_finite(source, value, number)
    return Reading(value, reached, count)


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


def _count(source: Source, count: Array, shape: tuple[int, ...], number: int) -> Array:
    """Give the count the number of axes of the statistic, whose last ones are its own."""
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
    if not np.isfinite(count).all() or (count < 0).any():
        raise BatchError(
            f"the count of {source.name!r} in batch {number} is negative or not finite. If it was "
            "marked by `batch_normalize`, its mask has other values than 0 and 1."
        )
    return count


def _reached(
    source: Source, values: Sequence[Any], shape: tuple[int, ...], count: Array | None
) -> Mask:
    """Which steps of the statistic there were in a batch."""
    shape = shape[: source.depth]
    reached = np.ones(shape, dtype=bool)
    for axis, index in enumerate(source.taken):
        if index is not None:
            steps = np.arange(shape[axis]) < np.asarray(values[index])[..., None]
            reached &= steps.reshape(steps.shape + (1,) * (len(shape) - axis - 1))
    if count is not None:
        reached &= (count > 0).reshape(*shape, -1).any(axis=-1)
    return reached


def _without_empty(
    source: Source, value: Array, reached: Mask, count: Array, number: int, pooling: str
) -> Array:
    """Put 0 where nothing was counted at a step at which something was."""
    empty = (count == 0) & _with_ndim(reached, count.ndim)
    if empty.any() and pooling == "edge":
        raise BatchError(
            f"the count of {source.name!r} in batch {number} is zero for some of its elements, and "
            'not for others, so that they have no value to average. Choose pooling="moments".'
        )
    return np.where(empty, 0.0, value) if empty.any() else value


def _with_ndim(reached: Mask, ndim: int) -> Mask:
    """Append axes of size 1 for the statistic's own."""
    return reached.reshape(reached.shape + (1,) * (ndim - reached.ndim))


def _check_finite(source: Source, value: Array, number: int) -> None:
    finite = np.isfinite(value)
    if not finite.all():
        step = tuple(int(i) for i in np.argwhere(~finite)[0][: source.depth])
        where = f" at step {step[0] if len(step) == 1 else step}" if step else ""
        raise BatchError(
            f"{source.name!r} is not finite in batch {number}{where} (counted from 0). Check "
            "the parameters and the batch; a mean over no elements, as behind a mask, is NaN."
        )
