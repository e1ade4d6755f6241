"""Moments: streaming means and variances of arrays whose leading axes end early.

`Moments` weighs what is added and forgets it, so memory does not grow with the number of arrays.
Sums are of differences from a shift, a value of each element that was seen, because squares of
large values would leave nothing of small differences (Chan, Golub and LeVeque 1983). Adding in
parts and merging gives what adding all at once does, up to rounding.

Arrays that were handed over or kept are never written to: sums are new arrays. So a shallow copy
is all it takes to go back to what was there before (`Tallies.add`).

Sums are in float64, and to pass over them takes longer than to pass over data in float32. So what
counts everywhere waits, as differences from the shift, and several are first added in their own
dtype. To read the sums settles nothing: whether somebody did changes no bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnrewrite.population.ragged import Array, common_lengths, pad_zero, plus, up_to

AT_ONCE = 8  # arrays that wait to be added, at most
_Sums = tuple[Array, Array, tuple[Array, ...]]


class Moments:
    """Mean and squared deviations, weighted, for each step of those that have reached it.

    Kept as sums of the differences from a shift, and of their squares. The shift is the first value
    that counted, so that no large squares are subtracted (Chan, Golub and LeVeque 1983); and it is
    cheaper for each batch than to move the mean. Rounding is relative to the distance from it.

    Parameters
    ----------
    n_time_axes : int
        The number of leading axes that may grow.
    weight, mean, deviations : ndarray
        Sum of the weights, weighted mean, and weighted sum of squared deviations from it. The
        weight broadcasts against the others.
    """

    def __init__(self, n_time_axes: int, weight: Array, mean: Array, deviations: Array) -> None:
        self.n_time_axes = n_time_axes
        self.weight = weight
        self._shift: Array = np.array(mean, dtype=np.float64)
        self._single = _in_single(self._shift)
        # Of differences, of their squares, and the differences that wait: changed in one go.
        self._sums: _Sums = np.zeros_like(self._shift), np.array(deviations, dtype=np.float64), ()

    @classmethod
    def empty(cls, n_time_axes: int, weight: Array, values: Array) -> Moments:
        """Nothing seen yet, of the shapes of `weight` and `values`."""
        return cls(n_time_axes, np.zeros(weight.shape), *np.zeros((2, *values.shape)))

    def add(self, weight: Array, mean: Array, deviations: Array | None = None) -> None:
        """Merge with other moments; steps with weight 0 do not count."""
        lengths = self.grow(mean)
        reached = mean.shape[: self.n_time_axes]
        steps = up_to(reached)
        is_new = self.weight[steps] == 0
        if is_new.any():
            self._shift = self._shift.copy()
            np.copyto(self._shift[steps], mean, where=is_new)
            self._single = _in_single(self._shift)
        self.weight = self.weight + pad_zero(weight, lengths)
        shift = {"float32": self._single, "float64": self._shift}.get(mean.dtype.name)
        if shift is not None and deviations is None and (weight == 1).all():
            self._wait(mean - shift[steps])
            return
        mean = mean.astype(np.float64, copy=False)  # NumPy is slow to add one dtype to another
        delta = mean - self._shift[steps]
        weighted = delta * weight
        first, second = self._settled()
        first = plus(first, weighted, reached)
        weighted *= delta
        if deviations is not None:
            weighted += deviations
        self._sums = first, plus(second, weighted, reached), ()

    def _wait(self, delta: Array) -> None:
        first, second, waiting = self._sums
        self._sums = first, second, (*waiting, delta)
        if len(waiting) + 1 == AT_ONCE:
            self._sums = *self._settled(), ()

    def _settled(self) -> tuple[Array, Array]:
        """The sums of differences and of their squares, with what waits."""
        first, second, waiting = self._sums
        if not waiting:
            return first, second
        more = _totals(waiting, first.shape)
        return np.asarray(first + more[0]), np.asarray(second + more[1])

    @property
    def _first(self) -> Array:
        return self._settled()[0]

    def grow(self, values: Array) -> tuple[int, ...]:
        """Make room for as many steps as `values` has; return how many there are on each axis."""
        lengths = common_lengths(self._shift, values, self.n_time_axes)
        if lengths != self._shift.shape[: self.n_time_axes]:
            first, second, waiting = self._sums
            self.weight = pad_zero(self.weight, lengths)
            self._shift = pad_zero(self._shift, lengths)
            self._single = _in_single(self._shift)
            self._sums = pad_zero(first, lengths), pad_zero(second, lengths), waiting
        return lengths

    def merge(self, other: Moments) -> None:
        """Merge with what `other` has seen."""
        self.add(other.weight, other.mean, other.deviations)

    def per_step(self) -> Array:
        """The weights with the axes of time, and one for all others."""
        return self.weight.reshape(*self.weight.shape[: self.n_time_axes], -1)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """What `from_arrays` needs."""
        n_time_axes = np.array(self.n_time_axes)
        sums = {"weight": self.weight, "mean": self.mean, "deviations": self.deviations}
        return {"n_time_axes": n_time_axes, **sums}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Moments:
        """The moments that these arrays were taken from."""
        sums = (arrays[key] for key in ("weight", "mean", "deviations"))
        return cls(int(arrays["n_time_axes"]), *sums)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the mean."""
        return self._shift.shape

    @property
    def mean(self) -> Array:
        """The weighted mean; where there is no weight, a value that was not counted."""
        return np.asarray(self._shift + self._per_weight(self._first))

    @property
    def deviations(self) -> Array:
        """The weighted sum of squared deviations from the mean."""
        first, second = self._settled()
        return np.asarray(np.maximum(second - first * self._per_weight(first), 0))

    @property
    def variance(self) -> Array:
        """The mean squared deviation; 0 where there is no weight."""
        return self._per_weight(self.deviations)

    def spread(self) -> Array:
        """The standard deviation of what was added with weight 1 (divided by n - 1).

        NaN where there were fewer than two.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = self.deviations / np.where(self.weight > 1, self.weight - 1, 0)
        return np.asarray(np.sqrt(variance))

    def _per_weight(self, values: Array) -> Array:
        weight = np.broadcast_to(self.weight, values.shape)
        return np.divide(values, weight, out=np.zeros_like(values), where=weight > 0)


def _in_single(shift: Array) -> Array | None:
    """The same in float32, if that is exact."""
    with np.errstate(over="ignore"):
        single = shift.astype(np.float32)
    return single if (single == shift).all() else None


def _totals(differences: tuple[Array, ...], shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Sums of arrays whose leading axes end early, and of their squares, of a shape in float64."""
    first, second = (np.zeros(shape, differences[0].dtype) for _ in range(2))
    with np.errstate(over="ignore"):
        for difference in differences:
            steps = up_to(difference.shape)
            first[steps] += difference
            second[steps] += difference * difference
    if first.dtype == np.float64 or np.isfinite(second).all():
        return first.astype(np.float64, copy=False), second.astype(np.float64, copy=False)
    return _totals(tuple(d.astype(np.float64) for d in differences), shape)
