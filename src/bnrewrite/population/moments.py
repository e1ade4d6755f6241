"""Averages of arrays whose leading axes (of time) differ in length. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]


def pad_edge(values: Array, lengths: tuple[int, ...]) -> Array:
    """Repeat the last step of each leading axis of `values` until it is of one of `lengths`."""
    for axis, length in enumerate(lengths):
        if values.shape[axis] < length:
            index = np.minimum(np.arange(length), values.shape[axis] - 1)
            values = values.take(index, axis=axis)
    return values


def pad_zero(values: Array, lengths: tuple[int, ...]) -> Array:
    """Append zeros to the leading axes of `values` until they are of `lengths`."""
    old = values.shape[: len(lengths)]
    if old == lengths:
        return values
    padded = np.zeros(lengths + values.shape[len(lengths) :], values.dtype)
    padded[_up_to(old)] = values
    return padded


def _up_to(lengths: tuple[int, ...]) -> Any:
    """The index of as many steps on the leading axes."""
    return (*map(slice, lengths), ...)


def common_lengths(a: Array, b: Array, n_time_axes: int) -> tuple[int, ...]:
    """The greater of the lengths of two arrays on each time axis."""
    return tuple(map(max, a.shape[:n_time_axes], b.shape[:n_time_axes]))


def hold(values: Array, reached: Mask) -> Array:
    """Replace the steps of `values` that were not `reached` by the last one before that was.

    Where there is none before, the first one behind is taken. Inner time axes are filled first,
    then whole steps of the outer ones.

    Parameters
    ----------
    values : ndarray
        With axes (T_1, ..., T_depth, *axes of the statistic).
    reached : ndarray of bool
        With axes (T_1, ..., T_depth); true somewhere.
    """
    if reached.all():
        return values
    for axis in reversed(range(reached.ndim)):
        steps = np.arange(reached.shape[axis]).reshape(-1, *[1] * (reached.ndim - axis - 1))
        source = np.maximum.accumulate(np.where(reached, steps, -1), axis=axis)
        source = np.where(source < 0, reached.argmax(axis=axis, keepdims=True), source)
        index = source.reshape(source.shape + (1,) * (values.ndim - reached.ndim))
        values = np.take_along_axis(values, index, axis=axis)
        reached = np.broadcast_to(reached.any(axis=axis, keepdims=True), reached.shape)
    return values


def crop(values: Array, reached: Mask) -> tuple[Array, Mask]:
    """Drop the steps behind the last one that was `reached`, on each time axis of both."""
    for axis in range(reached.ndim):
        others = tuple(a for a in range(reached.ndim) if a != axis)
        length = int(np.flatnonzero(reached.any(axis=others))[-1]) + 1
        index = (slice(None),) * axis + (slice(length),)
        values, reached = values[index], reached[index]
    return values, reached


@dataclass
class VarlenSum:
    """The sum of arrays, of which the shorter ones end early."""

    n_time_axes: int
    total: Array

    def add(self, values: Array) -> None:
        """Count `values` once."""
        lengths = common_lengths(self.total, values, self.n_time_axes)
        self.total = pad_zero(self.total, lengths) + pad_zero(values, lengths)

    def merge(self, other: VarlenSum) -> None:
        """Count all that `other` has counted."""
        self.add(other.total)


class VarlenMoments:
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
        self._shift = np.array(mean, dtype=np.float64)
        self._first = np.zeros_like(self._shift)
        self._second = np.array(deviations, dtype=np.float64)

    @classmethod
    def empty(cls, n_time_axes: int, weight: Array, values: Array) -> VarlenMoments:
        """Nothing seen yet, of the shapes of `weight` and `values`."""
        return cls(n_time_axes, np.zeros(weight.shape), *np.zeros((2, *values.shape)))

    def add(self, weight: Array, mean: Array, deviations: Array | None = None) -> None:
        """Merge with other moments; steps with weight 0 do not count."""
        lengths = common_lengths(self._shift, mean, self.n_time_axes)
        self.weight, self._shift, self._first, self._second = (
            pad_zero(a, lengths) for a in (self.weight, self._shift, self._first, self._second)
        )
        steps = _up_to(mean.shape[: self.n_time_axes])
        shift, first, second = (a[steps] for a in (self._shift, self._first, self._second))
        is_new = self.weight[steps] == 0
        if is_new.any():
            np.copyto(shift, mean, where=is_new)
        # In place from here on: this runs for each batch, and the arrays can be large.
        delta = mean - shift
        weighted = delta if (weight == 1).all() else delta * weight
        first += weighted
        weighted *= delta
        if deviations is not None:
            weighted += deviations
        second += weighted
        self.weight = self.weight + pad_zero(weight, lengths)

    def merge(self, other: VarlenMoments) -> None:
        """Merge with what `other` has seen."""
        self.add(other.weight, other.mean, other.deviations)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the mean."""
        return self._shift.shape

    @property
    def pooled(self) -> Array:
        """What stands for all that was seen: the mean."""
        return self.mean

    @property
    def mean(self) -> Array:
        """The weighted mean; where there is no weight, a value that was not counted."""
        return np.asarray(self._shift + self._per_weight(self._first))

    @property
    def deviations(self) -> Array:
        """The weighted sum of squared deviations from the mean."""
        between = self._first * self._per_weight(self._first)
        return np.asarray(np.maximum(self._second - between, 0))

    @property
    def variance(self) -> Array:
        """The mean squared deviation; 0 where there is no weight."""
        return self._per_weight(self.deviations)

    def _per_weight(self, values: Array) -> Array:
        weight = np.broadcast_to(self.weight, values.shape)
        return np.divide(values, weight, out=np.zeros_like(values), where=weight > 0)


class PaddedMoments(VarlenMoments):
    """Moments of the steps that were reached, beside the mean of the edge-padded arrays.

    The sum of a padded array is that of the steps it reached and that of those it holds: steps of
    weight 0, and all behind its end. Only the latter is kept beside the moments, as it changes only
    when there are such steps.

    Parameters
    ----------
    n_time_axes, weight, mean, deviations
        As for `VarlenMoments`. Each array that is added has weights of 0 and 1.
    held : ndarray
        The sum of the held values.
    n : int
        How many arrays were added.
    """

    def __init__(
        self,
        n_time_axes: int,
        weight: Array,
        mean: Array,
        deviations: Array,
        held: Array,
        n: int,
    ) -> None:
        super().__init__(n_time_axes, weight, mean, deviations)
        self.held = np.array(held, dtype=np.float64)
        self.n = n

    @classmethod
    def empty(cls, n_time_axes: int, weight: Array, values: Array) -> PaddedMoments:
        """Nothing seen yet, of the shapes of `weight` and `values`."""
        zeros = np.zeros(values.shape)
        return cls(n_time_axes, np.zeros(weight.shape), zeros, zeros, zeros, 0)

    def add(self, weight: Array, mean: Array, deviations: Array | None = None) -> None:
        """Count an array once."""
        lengths = self._extend(mean)
        if mean.shape[: self.n_time_axes] != lengths or not weight.all():
            is_held = pad_zero(weight, lengths) == 0
            np.add(self.held, pad_edge(mean, lengths), out=self.held, where=is_held)
        self.n += 1
        super().add(weight, mean, deviations)

    def merge(self, other: VarlenMoments) -> None:
        """Merge with what `other` has seen."""
        assert isinstance(other, PaddedMoments)
        lengths = self._extend(other.held)
        self.held += other._continued(lengths)
        self.n += other.n
        super().add(other.weight, other.mean, other.deviations)

    def _extend(self, values: Array) -> tuple[int, ...]:
        """Continue what is held up to the lengths of `values`, and return the common lengths."""
        lengths = common_lengths(self.held, values, self.n_time_axes)
        self.held = self._continued(lengths)
        return lengths

    def _continued(self, lengths: tuple[int, ...]) -> Array:
        """What is held up to `lengths`: behind the end of all arrays, their whole sum."""
        if self.held.shape[: self.n_time_axes] == lengths:
            return self.held
        total = self.weight * self._shift + self._first + self.held
        continued = pad_edge(total, lengths)
        continued[_up_to(self.held.shape[: self.n_time_axes])] = self.held
        return continued

    @property
    def pooled(self) -> Array:
        """The mean of the edge-padded arrays."""
        return np.asarray(self.mean * (self.weight / self.n) + self.held / self.n)
