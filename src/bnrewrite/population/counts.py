"""Counts: how many elements are behind each step of a statistic, and how many are enough.

Where masks leave few elements, the variance of a batch is too small: with c independent elements by
a factor of (c - 1) / c on average, and with one it is 0. What it normalizes is then scaled by up to
``1 / sqrt(epsilon)``, at this step and at all that hold it. So a batch counts at a step only if it
has enough elements there; elsewhere it repeats its last step that does (`Reading.enough`). All
elements taken together do not know of batches, and for them the number in total decides.

How many are enough is said by `min_count`. ``"auto"`` is 8, where a variance is an eighth too small
at most, and in total 32, where its standard error is a quarter. If not even the fullest step has
twice as many, it is half of what that has, and 2 at the least: a batch is never left without a
step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bnrewrite.population.ragged import Array, common_lengths, pad_zero, up_to

MinCount = int | Literal["auto"]
IN_A_BATCH, IN_TOTAL = 8, 32


def least_count(counts: Array, min_count: MinCount, enough: int) -> float:
    """How many elements a step needs, if the steps have `counts`; ``"auto"`` is `enough`."""
    if min_count != "auto":
        return min_count
    fullest = counts.max(initial=0)
    return float(min(enough, max(2, np.ceil(fullest / 2)), fullest))


def fewest(count: Array, n_time_axes: int) -> Array:
    """For each step, the fewest elements behind one of its values; values without any do not count.

    `count` has `n_time_axes` and broadcasts against the statistic.
    """
    flat = count.reshape(*count.shape[:n_time_axes], -1)
    if flat.shape[-1] == 1:
        return np.asarray(flat[..., 0])
    some = np.where(flat > 0, flat, np.inf).min(axis=-1)
    return np.where(np.isinf(some), 0, some)


@dataclass
class Counts:
    """The numbers of elements of a statistic.

    Attributes
    ----------
    total : ndarray
        Of all batches: with time axes, and broadcast against the statistic.
    batches : ndarray
        How many batches have any, with the same axes.
    least : ndarray
        With time axes: the fewest in a batch that counts there; infinite if none does, NaN if it is
        unknown.
    """

    total: Array
    batches: Array
    least: Array

    @classmethod
    def of(cls, count: Array, is_enough: NDArray[np.bool_]) -> Counts:
        """Those of one batch, which counts at the steps that have enough."""
        least = np.where(is_enough, fewest(count, is_enough.ndim), np.inf)
        return cls(count, (count > 0).astype(np.float64), least)

    def merged(self, other: Counts) -> Counts:
        """Those of the batches of both."""
        lengths = common_lengths(self.total, other.total, self.least.ndim)
        total, batches = (
            pad_zero(a, lengths) + pad_zero(b, lengths)
            for a, b in ((self.total, other.total), (self.batches, other.batches))
        )
        least = np.full(lengths, np.inf)
        for one in (self.least, other.least):
            part = least[up_to(one.shape)]
            np.minimum(part, one, out=part)
        return Counts(total, batches, least)

    def per_step(self, values: Array) -> Array:
        """`values` like `total`, with the axes of time, and one for all others."""
        return values.reshape(*self.least.shape, -1)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """What `from_arrays` needs."""
        return {"count": self.total, "batches": self.batches, "least": self.least}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Counts | None:
        """The counts that these arrays were taken from, if there were any."""
        if "count" not in arrays:
            return None
        total = np.array(arrays["count"], np.float64)
        unknown = np.full(total.shape[: int(arrays["n_time_axes"])], np.nan)
        # Files of format 1 do not have these, and all their batches counted.
        batches = np.array(arrays.get("batches", arrays["weight"]), np.float64)
        return cls(total, batches, np.array(arrays.get("least", unknown), np.float64))
