"""Tally: what is kept of one statistic, whatever it is.

A `Reading` is what one batch says of a statistic; a `Tally` adds readings up. It knows the batches
that count at each step (mean, spread and coverage), the held steps of those that do not, and the
numbers of elements, where they are known.

Sharp edge: a batch that counts at no step at all is left out; its elements are counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnrewrite.population.counts import IN_A_BATCH, Counts, MinCount, fewest, least_count
from bnrewrite.population.padded import PaddedMoments
from bnrewrite.population.ragged import Array, Mask, fill_forward

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

    def enough(self, min_count: MinCount) -> Reading:
        """The same, reaching only steps with enough elements; where none has, it reaches none."""
        if self.count is None or min_count == 0:
            return self
        counts = fewest(self.count, self.reached.ndim)
        reached = self.reached & (counts >= least_count(counts, min_count, IN_A_BATCH))
        if (reached == self.reached).all():
            return self
        value = fill_forward(self.value, reached) if reached.any() else self.value
        held = Reading(value, reached, self.count, self.needed)
        held.count = np.where(held.per_step(reached), self.count, 0.0)
        return held


class Tally:
    """The sums over batches of one statistic.

    Attributes
    ----------
    moments : PaddedMoments
        Mean and spread of the batches that count at a step, and what is held of the others.
    counts : Counts or None
        The numbers of elements, if known.
    """

    def __init__(self, moments: PaddedMoments, counts: Counts | None) -> None:
        self.moments, self.counts = moments, counts

    @classmethod
    def empty(cls, reading: Reading) -> Tally:
        """Nothing seen yet, of the shapes of `reading`."""
        moments = PaddedMoments.empty(reading.reached.ndim, reading.weight, reading.value)
        if reading.count is None:
            return cls(moments, None)
        zeros = np.zeros_like(reading.count)
        return cls(moments, Counts.of(zeros, np.zeros_like(reading.reached)))

    def add(self, reading: Reading, enough: Reading) -> None:
        """Count a batch once, at the steps that `enough` of it reaches."""
        if enough.reached.any():
            there = None if reading.needed is None else reading.per_step(reading.needed)
            self.moments.add(enough.weight, enough.value, there=there)
        else:
            self.moments.grow(reading.value)
        if reading.count is not None:
            self._count(Counts.of(reading.count, enough.reached))

    def merge(self, other: Tally) -> None:
        """Count all batches of `other`."""
        self.moments.merge(other.moments)
        self._count(other.counts)

    def _count(self, counts: Counts | None) -> None:
        if self.counts is not None and counts is not None:
            self.counts = self.counts.merged(counts)

    def shape(self) -> tuple[int | str, ...]:
        """The shape of the statistic, with question marks for its time axes."""
        n = self.moments.n_time_axes
        return (*"?" * n, *self.moments.shape[n:])

    def batches(self, pooling: str) -> Array:
        """How many batches are behind each value of a step, with the axes of time and one more."""
        if pooling == "moments" and self.counts is not None:
            return self.counts.per_step(self.counts.batches)
        return self.moments.per_step()

    def n_elements(self) -> NDArray[np.int64] | None:
        """How many elements there were, if known: for each step, or for each value of a step."""
        if self.counts is None:
            return None
        total, steps = self.counts.total, self.counts.least.shape
        is_per_step = total.size == np.prod(steps)
        return (total.reshape(steps) if is_per_step else total).astype(np.int64)

    def to_arrays(self) -> Arrays:
        """What `from_arrays` needs."""
        counts = {} if self.counts is None else self.counts.to_arrays()
        return {**self.moments.to_arrays(), **counts}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Tally:
        """The tally that these arrays were taken from."""
        return cls(PaddedMoments.from_arrays(arrays), Counts.from_arrays(arrays))
