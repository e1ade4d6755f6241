"""Tally: what is kept of one statistic, whatever it is.

A `Reading` is what one batch says of a statistic; a `Tally` adds readings up. It knows the batches
that reached each step (mean, spread and coverage), the held steps of those that ended before, and
the number of elements, where it is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnrewrite.population.padded import PaddedMoments
from bnrewrite.population.ragged import Array, Mask, common_lengths, pad_zero

Arrays = dict[str, NDArray[Any]]


@dataclass
class Reading:
    """A statistic of one batch.

    Attributes
    ----------
    value : ndarray
        With axes (T_1, ..., T_depth, *axes of the statistic). Steps that were not reached hold the
        last one that was.
    reached : ndarray of bool
        With axes (T_1, ..., T_depth).
    count : ndarray or None
        The number of elements behind it, if known: with time axes, and broadcast against `value`.
    needed : ndarray of bool or None
        With axes (T_1, ..., T_depth): the steps at which the batch took the branch that the
        statistic is in, if it is in one. At others it was not reached, and is not held.
    """

    value: Array
    reached: Mask
    count: Array | None
    needed: Mask | None = None

    @property
    def weight(self) -> Array:
        """1 where the batch has a value, 0 where it holds one."""
        if self.count is not None:
            return (self.count > 0).astype(np.float64)
        return self.per_step(self.reached).astype(np.float64)

    def per_step(self, mask: Mask) -> Mask:
        """A mask of steps, with axes of size 1 for the statistic's own."""
        return mask.reshape(mask.shape + (1,) * (self.value.ndim - mask.ndim))

    def has_gaps(self) -> bool:
        """Whether some units of a step have no element, and others have."""
        if self.count is None or self.count.size == self.reached.size:
            return False
        return bool(((self.count == 0) & self.per_step(self.reached)).any())


class Tally:
    """The sums over batches of one statistic.

    Attributes
    ----------
    moments : PaddedMoments
        Mean and spread of the batches that reached a step, and what is held of those that did not.
    count : ndarray or None
        The number of elements, if known.
    """

    def __init__(self, moments: PaddedMoments, count: Array | None) -> None:
        self.moments, self.count = moments, count

    @classmethod
    def empty(cls, reading: Reading) -> Tally:
        """Nothing seen yet, of the shapes of `reading`."""
        moments = PaddedMoments.empty(reading.reached.ndim, reading.weight, reading.value)
        return cls(moments, None if reading.count is None else np.zeros_like(reading.count))

    def add(self, reading: Reading) -> None:
        """Count a batch once."""
        # One cast: NumPy is slow to add one dtype to another.
        value = reading.value.astype(np.float64, copy=False)
        there = None if reading.needed is None else reading.per_step(reading.needed)
        self.moments.add(reading.weight, value, there=there)
        self._count(reading.count)

    def merge(self, other: Tally) -> None:
        """Count all batches of `other`."""
        self.moments.merge(other.moments)
        self._count(other.count)

    def _count(self, count: Array | None) -> None:
        if self.count is None or count is None:
            return
        lengths = common_lengths(self.count, count, self.moments.n_time_axes)
        self.count = pad_zero(self.count, lengths) + pad_zero(count, lengths)

    def shape(self) -> tuple[int | str, ...]:
        """The shape of the statistic, with question marks for its time axes."""
        n = self.moments.n_time_axes
        return (*"?" * n, *self.moments.shape[n:])

    def coverage(self) -> NDArray[np.int64]:
        """How many batches reached each step."""
        return np.asarray(self.moments.per_step().max(axis=-1), dtype=np.int64)

    def n_elements(self) -> NDArray[np.int64] | None:
        """How many elements there were, if known: for each step, or for each value of a step."""
        if self.count is None:
            return None
        steps = self.coverage().shape
        is_per_step = self.count.size == np.prod(steps)
        return (self.count.reshape(steps) if is_per_step else self.count).astype(np.int64)

    def to_arrays(self) -> Arrays:
        """What `from_arrays` needs."""
        arrays = self.moments.to_arrays()
        return arrays if self.count is None else {**arrays, "count": self.count}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Tally:
        """The tally that these arrays were taken from."""
        return cls(PaddedMoments.from_arrays(arrays), arrays.get("count"))
