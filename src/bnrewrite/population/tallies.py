"""Tallies: what is kept of the batches seen.

One `Tally` a statistic, and for a mean and a variance of the same elements their `Elements`.
Together they are sums enough for these three poolings, so a pooling is a way to read them, chosen
at any time:

=========  ===================================================================================
"edge"     the mean of the batches' values, shorter batches repeating their last step
"reached"  the mean of those batches that reached a step with enough elements
"moments"  mean and variance of all elements at a step, whichever batches they were in
=========  ===================================================================================

Sharp edge: where a batch has no element for some units of a step but has for others, its value
can't be repeated in the place of what is missing. Then "edge" can't be read any more, and says so.

A batch that did not take the branch of a statistic has no reading of it, or none at some steps. It
is not counted there under any pooling, and is not repeated. A statistic that no batch had has no
value, and that is an error when values are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from typing import Literal, TypeVar, get_args

from bnrewrite.cautions import shown
from bnrewrite.population.counts import MinCount
from bnrewrite.population.elements import Elements
from bnrewrite.population.origin import Origin
from bnrewrite.population.tally import Reading, Tally

Pooling = Literal["edge", "reached", "moments"]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
_Sums = TypeVar("_Sums", Tally, Elements)


def check_pooling(pooling: str, names: Iterable[str], variances: Mapping[str, str]) -> None:
    """Refuse a pooling that is none, or that no sums of statistics of these names allow."""
    if not isinstance(pooling, str) or pooling not in POOLINGS:
        raise ValueError(f"pooling is one of {POOLINGS}, and not {shown(pooling)}.")
    alone = set(names) - set(variances) - set(variances.values())
    if pooling == "moments" and alone:
        raise ValueError(
            f'pooling="moments" needs means and variances that belong together, and does not '
            f"know what {sorted(alone)} are. Mark them with `mark_moments(mean, variance, "
            'count)`, or choose pooling="reached".'
        )


class Tallies:
    """The sums over batches of all statistics.

    Parameters
    ----------
    dtypes : dict of str to str
        The dtype of each statistic, by name, in order.
    variances : dict of str to str
        From the names of means to those of variances of the same elements.
    min_count : int or "auto"
        How many elements a batch needs at a step to count there; see `counts`. It decides what is
        added, and can't be changed later.
    origin : Origin
        What graph they are of.

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

    def __init__(
        self,
        dtypes: Mapping[str, str],
        variances: Mapping[str, str],
        min_count: MinCount = 0,
        origin: Origin = Origin(),  # noqa: B008
    ) -> None:
        self.dtypes, self.variances = dict(dtypes), dict(variances)
        self.min_count, self.origin = min_count, origin
        self.n_batches = 0
        self.by_name: dict[str, Tally] = {}
        self.elements = {mean: Elements() for mean in variances}
        self.readable: set[str] = set(POOLINGS)

    def check(self, pooling: str, min_count: MinCount) -> None:
        """Refuse a pooling that is none, or that can't be read."""
        check_pooling(pooling, self.dtypes, self.variances)
        if pooling not in self.readable:
            raise ValueError(
                f"pooling={pooling!r} can't be read from these sums. They have a count that is "
                "zero for some units of a step and not for others, or come from a file of format "
                "1, which kept only what its own pooling needs. Estimate again, or choose one of "
                f"{sorted(self.readable)}."
            )
        if pooling != "moments" and min_count != self.min_count:
            raise ValueError(
                f"pooling={pooling!r} with min_count={min_count!r} can't be read from sums that "
                f"were kept with min_count={self.min_count!r}: it decides at which steps a batch "
                f"counts when it is added. Estimate again with min_count={min_count!r}."
            )

    def add(self, readings: Mapping[str, Reading]) -> None:
        """Count a batch once; whatever goes wrong, and whenever, all of it or nothing."""
        after = copy(self)
        after._add(readings)
        vars(self).update(vars(after))  # in one go: no interrupt comes in between

    def _add(self, readings: Mapping[str, Reading]) -> None:
        for name, reading in readings.items():
            if name not in self.by_name:
                self.by_name[name] = Tally.empty(reading)
        enough = {name: reading.enough(self.min_count) for name, reading in readings.items()}
        for mean, variance in self.variances.items():
            if mean in readings:
                before = self.by_name[mean].moments, self.by_name[variance].moments
                is_whole, pair = (
                    enough[mean] is readings[mean],
                    (readings[mean], readings[variance]),
                )
                self.elements[mean].add(*pair, *before, is_whole=is_whole)
        for name, reading in readings.items():
            self.by_name[name].add(reading, enough[name])
            if enough[name].has_gaps():
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
            merged.elements[mean] = self._merged_elements(other, mean, variance)
        for name, tally in other.by_name.items():
            if name in merged.by_name:
                merged.by_name[name].merge(tally)
            else:
                merged.by_name[name] = _forked(tally)
        merged.origin = self.origin.together(other.origin)
        merged.n_batches += other.n_batches
        merged.readable &= other.readable
        return merged

    def _merged_elements(self, other: Tallies, mean: str, variance: str) -> Elements:
        if mean not in self.by_name or mean not in other.by_name:
            return _forked((other if mean in other.by_name else self).elements[mean])
        mine = self.by_name[mean].moments, self.by_name[variance].moments
        theirs = other.by_name[mean].moments, other.by_name[variance].moments
        return self.elements[mean].merged(other.elements[mean], mine, theirs)

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
        for name in self.origin.differing(other.origin):
            yield f"of different graphs: {name} is computed in another way"
        if self.min_count != other.min_count:
            yield f"kept with another min_count: {self.min_count!r} and {other.min_count!r}"


def _forked(sums: _Sums) -> _Sums:
    """A copy to add to: their arrays are never written to, so these can be shared."""
    forked = copy(sums)
    forked.moments = copy(sums.moments)
    return forked
