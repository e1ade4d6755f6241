"""Padded: moments, and beside them the mean of arrays that repeat their last step.

Padding a sum of arrays with its last step is padding each of them, so the mean of padded arrays can
be streamed, though nobody knows the longest in advance. What is kept is small: the sum of held
values, which changes only when an array ends before the longest or has steps without weight.

An array may say of steps that it is not there at all (a batch that did not take a branch). There it
is neither counted nor held, and what is padded is that too: if its last step is not there, later
ones are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnrewrite.population.moments import Moments
from bnrewrite.population.ragged import (
    Array,
    Mask,
    common_lengths,
    pad_edge,
    pad_zero,
    plus_ends,
    up_to,
)


class PaddedMoments(Moments):
    """Moments of the steps that were reached, beside the mean of the edge-padded arrays.

    The sum of a padded array is that of the steps it reached and that of those it holds: steps of
    weight 0, and all after its end. Only the latter is kept beside the moments, as it changes only
    when there are such steps.

    Parameters
    ----------
    n_time_axes, weight, mean, deviations
        As for `Moments`. Each array that is added has weights of 0 and 1.
    held : ndarray
        The sum of the held values.
    n : ndarray or int
        How many arrays were added; for each step, if not all were there at all steps.
    """

    def __init__(
        self,
        n_time_axes: int,
        weight: Array,
        mean: Array,
        deviations: Array,
        held: Array,
        n: NDArray[Any] | int,
    ) -> None:
        super().__init__(n_time_axes, weight, mean, deviations)
        self.held: Array = np.array(held, dtype=np.float64)
        self.n = np.array(n)

    @classmethod
    def empty(cls, n_time_axes: int, weight: Array, values: Array) -> PaddedMoments:
        """Nothing seen yet, of the shapes of `weight` and `values`."""
        zeros = np.zeros(values.shape)
        return cls(n_time_axes, np.zeros(weight.shape), zeros, zeros, zeros, 0)

    def add(
        self,
        weight: Array,
        mean: Array,
        deviations: Array | None = None,
        there: NDArray[Any] | None = None,
    ) -> None:
        """Count an array once, or only the steps that are `there`, of shape (*steps, 1, ..., 1)."""
        lengths = self.grow(mean)
        n = np.array(1) if there is None else pad_edge(there.astype(np.int64), lengths)
        if not weight.all() or there is not None:
            is_held = (pad_zero(weight, lengths) == 0) & (n > 0)
            held = self.held.copy()
            np.add(held, pad_edge(mean, lengths), out=held, where=is_held)
            self.held = held
        elif mean.shape[: self.n_time_axes] != lengths:
            self.held = plus_ends(self.held, mean, lengths)
        self.n = self.n + n
        super().add(weight, mean, deviations)

    def merge(self, other: Moments) -> None:
        """Merge with what `other` has seen."""
        assert isinstance(other, PaddedMoments)
        lengths = self.grow(other.held)
        self.held = self.held + other._continued(lengths)
        self.n = self.n + other._n_up_to(lengths)
        super().add(other.weight, other.mean, other.deviations)

    def grow(self, values: Array) -> tuple[int, ...]:
        """Continue what is held, too."""
        lengths = common_lengths(self.held, values, self.n_time_axes)
        self.n, self.held = self._n_up_to(lengths), self._continued(lengths)
        return super().grow(values)

    def _n_up_to(self, lengths: tuple[int, ...]) -> NDArray[Any]:
        return pad_edge(self.n, lengths) if self.n.ndim else self.n

    def _continued(self, lengths: tuple[int, ...]) -> Array:
        """What is held up to `lengths`: after the end of all arrays, their whole sum."""
        if self.held.shape[: self.n_time_axes] == lengths:
            return self.held
        total = self.weight * self._shift + self._first + self.held
        continued = pad_edge(total, lengths)
        continued[up_to(self.held.shape[: self.n_time_axes])] = self.held
        return continued

    @property
    def padded_mean(self) -> Array:
        """The mean of the edge-padded arrays; 0 where there was none."""
        n = np.maximum(self.n, 1)
        return np.asarray(self.mean * (self.weight / n) + self.held / n)

    def is_there(self) -> Mask:
        """At which steps there was an array, or a held one."""
        steps = self.held.shape[: self.n_time_axes]
        n = self.n.reshape(self.n.shape[: self.n_time_axes])
        return np.broadcast_to(n > 0, steps)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """What `from_arrays` needs."""
        return {**super().to_arrays(), "held": self.held, "n": self.n}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> PaddedMoments:
        """The moments that these arrays were taken from."""
        sums = (arrays[key] for key in ("weight", "mean", "deviations", "held", "n"))
        return cls(int(arrays["n_time_axes"]), *sums)
