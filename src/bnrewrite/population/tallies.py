"""What is kept of the batches seen: enough to average them, and to merge with what others saw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bnrewrite.population.moments import Array, Mask, PaddedMoments, VarlenMoments, VarlenSum, hold

Pooling = Literal["edge", "reached", "moments"]


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
    """

    value: Array
    reached: Mask
    count: Array | None


@dataclass
class Accumulators:
    """Sums over batches, for each statistic by name.

    Attributes
    ----------
    reached : dict of str to VarlenMoments
        Mean and spread of the batches that reached a step; with ``pooling="edge"`` `PaddedMoments`.
    elements : dict of str to VarlenMoments
        With ``pooling="moments"``: by the name of a mean, that of the elements, and their spread.
    variances : dict of str to str
        From the names of means to those of variances of the same elements.
    counts : dict of str to VarlenSum
        The number of elements, where it is known.
    """

    pooling: Pooling
    dtypes: dict[str, str]
    variances: dict[str, str]
    n_batches: int = 0
    reached: dict[str, VarlenMoments] = field(default_factory=dict)
    elements: dict[str, VarlenMoments] = field(default_factory=dict)
    counts: dict[str, VarlenSum] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.pooling not in get_args(Pooling):
            raise ValueError(f"pooling is one of {get_args(Pooling)}, and not {self.pooling!r}.")
        alone = set(self.dtypes) - set(self.variances) - set(self.variances.values())
        if self.pooling == "moments" and alone:
            raise ValueError(
                f'pooling="moments" needs means and variances that belong together, and does not '
                f"know what {sorted(alone)} are. Mark them with `mark_moments(mean, variance, "
                'count)`, or choose pooling="reached".'
            )

    @property
    def kinds(self) -> dict[str, Any]:
        """The attributes that hold accumulators, and the class of those in each."""
        reached = PaddedMoments if self.pooling == "edge" else VarlenMoments
        return {"reached": reached, "elements": VarlenMoments, "counts": VarlenSum}

    def add(self, readings: Mapping[str, Reading]) -> None:
        """Count a batch once."""
        for name, reading in readings.items():
            self._add(name, reading)
        if self.pooling == "moments":
            for mean, variance in self.variances.items():
                self._add_elements(mean, readings[mean], readings[variance])
        self.n_batches += 1

    def _add(self, name: str, reading: Reading) -> None:
        # One cast: NumPy is slow to add one dtype to another.
        value, n_time_axes = reading.value.astype(np.float64, copy=False), reading.reached.ndim
        weight = _weight(reading)
        if name not in self.reached:
            self.reached[name] = self.kinds["reached"].empty(n_time_axes, weight, value)
        self.reached[name].add(weight, value)
        if reading.count is not None:
            zeros = np.zeros_like(reading.count)
            self.counts.setdefault(name, VarlenSum(n_time_axes, zeros)).add(reading.count)

    def _add_elements(self, name: str, mean: Reading, variance: Reading) -> None:
        weight = _weight(mean) if mean.count is None else mean.count
        if name not in self.elements:
            self.elements[name] = VarlenMoments.empty(mean.reached.ndim, weight, mean.value)
        deviations = variance.value.astype(np.float64)
        deviations *= weight
        self.elements[name].add(weight, mean.value, deviations)

    def merged(self, other: Accumulators) -> Accumulators:
        """The sums over the batches of both, which stay as they are."""
        problems = self._differences(other)
        if problems:
            raise ValueError("these populations can't be merged:\n  " + "\n  ".join(problems))
        merged = deepcopy(self)
        for kind in self.kinds:
            mine, theirs = getattr(merged, kind), getattr(other, kind)
            for name, accumulator in mine.items():
                accumulator.merge(theirs[name])
        merged.n_batches += other.n_batches
        return merged

    def _differences(self, other: Accumulators) -> Iterable[str]:
        if self.pooling != other.pooling:
            return [f"one has pooling={self.pooling!r}, the other {other.pooling!r}"]
        problems = [f"only in one: {name}" for name in sorted({*self.dtypes} ^ {*other.dtypes})]
        for name in self.reached.keys() & other.reached.keys():
            mine, theirs = self._shape(name), other._shape(name)
            if mine != theirs:
                problems.append(f"of different shape: {name} is {mine} and {theirs}")
        if not problems and self.variances != other.variances:
            problems.append("means and variances belong together in different ways")
        return problems

    def _shape(self, name: str) -> tuple[int | str, ...]:
        """The shape of a statistic, with question marks for its time axes."""
        moments = self.reached[name]
        n = moments.n_time_axes
        return (*"?" * n, *moments.shape[n:])

    def coverage(self, name: str) -> NDArray[np.int64]:
        """How many batches reached each step."""
        return np.asarray(_per_step(self.reached[name]).max(axis=-1), dtype=np.int64)

    def count(self, name: str) -> NDArray[np.int64] | None:
        """How many elements there were, if known: for each step, or for each value of a step."""
        if name not in self.counts:
            return None
        total, steps = self.counts[name].total, self.coverage(name).shape
        is_per_step = total.size == np.prod(steps)
        return (total.reshape(steps) if is_per_step else total).astype(np.int64)

    def values(self, min_coverage: int) -> dict[str, NDArray[Any]]:
        """The pooled value of each statistic, in its dtype."""
        values = self._pooled()
        return {
            name: self._hold_covered(name, values[name], min_coverage).astype(dtype)
            for name, dtype in self.dtypes.items()
        }

    def _pooled(self) -> dict[str, Array]:
        if self.pooling != "moments":
            return {name: moments.pooled for name, moments in self.reached.items()}
        means = {name: moments.mean for name, moments in self.elements.items()}
        variances = {self.variances[name]: m.variance for name, m in self.elements.items()}
        return means | variances

    def _hold_covered(self, name: str, value: Array, min_coverage: int) -> Array:
        # Edge-padded batches have a value for each step, even where a mask left nothing.
        least = min_coverage if self.pooling == "edge" else max(1, min_coverage)
        coverage = _per_step(self.reached[name]).min(axis=-1)
        if coverage.max() < least:
            raise ValueError(
                f"no step of {name!r} was reached, with all its elements, by at least {least} of "
                f"the batches: {coverage.max():.0f} is the most. Estimate from more, or lower "
                "`min_coverage`."
            )
        return np.asarray(hold(value, coverage >= least))


def _weight(reading: Reading) -> Array:
    """1 where the batch has a value, 0 where it holds one."""
    if reading.count is not None:
        return (reading.count > 0).astype(np.float64)
    ndim = reading.value.ndim - reading.reached.ndim
    return reading.reached.reshape(reading.reached.shape + (1,) * ndim).astype(np.float64)


def _per_step(moments: VarlenMoments) -> Array:
    """The weights with the axes of time, and one for all others."""
    return moments.weight.reshape(*moments.weight.shape[: moments.n_time_axes], -1)
