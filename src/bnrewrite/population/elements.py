"""Elements: mean and variance of all elements behind the means and variances of batches.

The elements of a batch are not at hand, but their number c, mean m and variance v are, and that is
enough: the mean of all elements is the mean of the m weighted by c, and their variance that of v
plus the squared distance of m from it, weighted alike (Chan, Golub and LeVeque 1983). This is
exact, whatever the sizes of the batches.

As long as all batches have the same c wherever they have elements, and all of these count, the
weights say nothing, and both follow from the moments of the batches that are kept in any case. Sums
of their own are begun when this is so no more; that saves half of the work for data without masks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnrewrite.population.moments import Moments
from bnrewrite.population.ragged import Array
from bnrewrite.population.tally import Arrays, Reading

BatchMoments = tuple[Moments, Moments]


class Elements:
    """The elements behind one mean and the variance that belongs to it.

    Attributes
    ----------
    same : float or None
        The number of elements that all batches had so far; 0 if there were none.
    moments : Moments or None
        Of the elements, once batches had different numbers of them.
    """

    def __init__(self, same: float = 0.0, moments: Moments | None = None) -> None:
        self.same, self.moments = same, moments

    def add(
        self, mean: Reading, variance: Reading, *before: Moments, is_whole: bool = True
    ) -> None:
        """Count a batch.

        `before` are the moments of means and variances without it; `is_whole` is whether all its
        steps with elements will be among them.
        """
        weight = mean.weight if mean.count is None else mean.count
        if self.moments is None:
            count = _only_count(weight)
            if is_whole and count is not None and self.same in (0.0, count):
                self.same = count
                return
            self.moments = self._begun(*before)
        deviations = variance.value.astype(np.float64)
        deviations *= weight
        self.moments.add(weight, mean.value, deviations)

    def _begun(self, means: Moments, variances: Moments) -> Moments:
        """The moments of elements of batches with the same number of them."""
        within = means.deviations + variances.weight * variances.mean
        count = self.same
        return Moments(means.n_time_axes, means.weight * count, means.mean, within * count)

    def merged(self, other: Elements, mine: BatchMoments, theirs: BatchMoments) -> Elements:
        """The elements of both, whose batches have the moments `mine` and `theirs`."""
        if self.moments is None and other.moments is None and self.same == other.same:
            return Elements(self.same)
        moments = self._copy(*mine)
        moments.merge(other._copy(*theirs))
        return Elements(moments=moments)

    def _copy(self, means: Moments, variances: Moments) -> Moments:
        if self.moments is None:
            return self._begun(means, variances)
        own = self.moments
        return Moments(own.n_time_axes, own.weight, own.mean, own.deviations)

    def pooled(self, means: Moments, variances: Moments) -> tuple[Array, Array]:
        """Mean and variance of all elements."""
        if self.moments is not None:
            return self.moments.mean, self.moments.variance
        return means.mean, variances.mean + means.variance

    def to_arrays(self) -> Arrays:
        """What `from_arrays` needs."""
        return {"same": np.array(self.same)} if self.moments is None else self.moments.to_arrays()

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Elements:
        """The elements that these arrays were taken from."""
        if "same" in arrays:
            return cls(float(arrays["same"]))
        return cls(moments=Moments.from_arrays(arrays))


def _only_count(weight: Array) -> float | None:
    """The number of elements wherever there are any; None if there is more than one number."""
    counts = weight[weight > 0] if not weight.all() else weight
    first = counts.flat[0] if counts.size else 1.0
    return float(first) if (counts == first).all() else None
