"""Tallies: what is kept of the batches seen.

One `Tally` a statistic, and for a mean and a variance of the same elements their `Elements`.
Together they hold sums enough for every pooling, so a pooling is a way to read them, chosen at any
time:

=========  ===================================================================================
"edge"     the mean of the batches' values, shorter batches repeating their last step
"reached"  the mean of those batches that reached a step
"moments"  mean and variance of all elements at a step, whichever batches they were in
=========  ===================================================================================

Sharp edge: where a batch has no element for some units of a step but has for others, its value
can't be repeated in the place of what is missing. Then "edge" can't be read any more, and says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from bnrewrite.population.elements import Elements
from bnrewrite.population.ragged import Array, hold
from bnrewrite.population.tally import Reading, Tally

Pooling = Literal["edge", "reached", "moments"]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
_Sums = TypeVar("_Sums", Tally, Elements)


class Tallies:
    """The sums over batches of all statistics.

    Parameters
    ----------
    dtypes : dict of str to str
        The dtype of each statistic, by name, in order.
    variances : dict of str to str
        From the names of means to those of variances of the same elements.

    Attributes
    ----------
    n_batches : int
        How many batches were added.
    by_name : dict of str to Tally
        Those of the statistics, from the first batch on.
    elements : dict of str to Elements
        By the name of the mean.
    readable : set of str
        The poolings that can be read.
    """

    def __init__(self, dtypes: Mapping[str, str], variances: Mapping[str, str]) -> None:
        self.dtypes, self.variances = dict(dtypes), dict(variances)
        self.n_batches = 0
        self.by_name: dict[str, Tally] = {}
        self.elements = {mean: Elements() for mean in variances}
        self.readable: set[str] = set(POOLINGS)

    def check(self, pooling: str) -> None:
        """Refuse a pooling that is none, or that can't be read."""
        if pooling not in POOLINGS:
            raise ValueError(f"pooling is one of {POOLINGS}, and not {pooling!r}.")
        alone = set(self.dtypes) - set(self.variances) - set(self.variances.values())
        if pooling == "moments" and alone:
            raise ValueError(
                f'pooling="moments" needs means and variances that belong together, and does not '
                f"know what {sorted(alone)} are. Mark them with `mark_moments(mean, variance, "
                'count)`, or choose pooling="reached".'
            )
        if pooling not in self.readable:
            raise ValueError(
                f"pooling={pooling!r} can't be read from these sums. They have a count that is "
                "zero for some units of a step and not for others, or come from a file of format "
                "1, which kept only what its own pooling needs. Estimate again, or choose one of "
                f"{sorted(self.readable)}."
            )

    def add(self, readings: Mapping[str, Reading]) -> None:
        """Count a batch once; whatever goes wrong, and whenever, all of it or nothing."""
        after = copy(self)
        after._add(readings)
        vars(self).update(vars(after))  # in one go: no interrupt comes in between

    def _add(self, readings: Mapping[str, Reading]) -> None:
        if not self.by_name:
            self.by_name = {name: Tally.empty(reading) for name, reading in readings.items()}
        for mean, variance in self.variances.items():
            before = self.by_name[mean].moments, self.by_name[variance].moments
            self.elements[mean].add(readings[mean], readings[variance], *before)
        for name, reading in readings.items():
            self.by_name[name].add(reading)
            if reading.has_gaps():
                self.readable.discard("edge")
        self.n_batches += 1

    def __copy__(self) -> Tallies:
        """The same sums, to which can be added without changing these."""
        copied = object.__new__(type(self))
        vars(copied).update(vars(self))
        copied.by_name = {name: _forked(tally) for name, tally in self.by_name.items()}
        copied.elements = {name: _forked(elements) for name, elements in self.elements.items()}
        copied.readable = {*self.readable}
        return copied

    def merged(self, other: Tallies) -> Tallies:
        """The sums over the batches of both, which stay as they are."""
        problems = list(self.differences(other))
        if problems:
            raise ValueError("these populations can't be merged:\n  " + "\n  ".join(problems))
        merged = copy(self)
        for mean, variance in self.variances.items():
            mine = self.by_name[mean].moments, self.by_name[variance].moments
            theirs = other.by_name[mean].moments, other.by_name[variance].moments
            merged.elements[mean] = self.elements[mean].merged(other.elements[mean], mine, theirs)
        for name, tally in merged.by_name.items():
            tally.merge(other.by_name[name])
        merged.n_batches += other.n_batches
        merged.readable &= other.readable
        return merged

    def differences(self, other: Tallies) -> Iterable[str]:
        """What keeps the sums of two from being added; nothing if they can be."""
        for name in sorted({*self.dtypes} ^ {*other.dtypes}):
            yield f"only in one: {name}"
        for name in [name for name in self.by_name if name in other.by_name]:
            mine, theirs = self.by_name[name].shape(), other.by_name[name].shape()
            if mine != theirs:
                yield f"of different shape: {name} is {mine} and {theirs}"
        if self.dtypes.keys() == other.dtypes.keys() and self.variances != other.variances:
            yield "means and variances belong together in different ways"

    def values(self, pooling: Pooling, min_coverage: int) -> dict[str, NDArray[Any]]:
        """The value of each statistic under a pooling, in its dtype."""
        self.check(pooling)
        # Edge-padded batches have a value for each step, even where a mask left nothing.
        least = min_coverage if pooling == "edge" else max(1, min_coverage)
        pooled = self._pooled(pooling)
        return {
            name: self._hold_covered(name, pooled[name], least).astype(dtype)
            for name, dtype in self.dtypes.items()
        }

    def _pooled(self, pooling: Pooling) -> dict[str, Array]:
        if pooling == "edge":
            return {name: tally.moments.padded_mean for name, tally in self.by_name.items()}
        values = {name: tally.moments.mean for name, tally in self.by_name.items()}
        if pooling == "moments":
            for mean, variance in self.variances.items():
                batches = self.by_name[mean].moments, self.by_name[variance].moments
                values[mean], values[variance] = self.elements[mean].pooled(*batches)
        return values

    def _hold_covered(self, name: str, value: Array, least: int) -> Array:
        coverage = self.by_name[name].moments.per_step().min(axis=-1)
        if coverage.max() < least:
            raise ValueError(
                f"no step of {name!r} was reached, with all its elements, by at least {least} of "
                f"the batches: {coverage.max():.0f} is the most. Estimate from more, or lower "
                "`min_coverage`."
            )
        return np.asarray(hold(value, coverage >= least))


def _forked(sums: _Sums) -> _Sums:
    """A copy to add to: their arrays are never written to, so these can be shared."""
    forked = copy(sums)
    forked.moments = copy(sums.moments)
    return forked
