"""Population statistics: what batches have been averaged to, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnrewrite.varlen import Array, Mask, VarlenMean, VarlenMoments


@dataclass
class Estimate:
    """What has been seen of one statistic: its edge-padded sum, and its spread where reached."""

    dtype: str
    edge: VarlenMean
    spread: VarlenMoments

    @classmethod
    def empty(cls, values: Array, n_time_axes: int, dtype: str) -> Estimate:
        """Nothing seen yet of a statistic of the shape of `values`."""
        weight = np.zeros(values.shape[:n_time_axes] + (1,) * (values.ndim - n_time_axes))
        zeros = np.zeros(values.shape)
        return cls(
            dtype,
            VarlenMean(n_time_axes, zeros),
            VarlenMoments(n_time_axes, weight, zeros, zeros),
        )

    def add(self, values: Array, reached: Mask) -> None:
        """Count the `values` of a batch, whose steps not `reached` are held."""
        weight = reached.reshape(reached.shape + (1,) * (values.ndim - reached.ndim))
        self.edge.add(values)
        self.spread.add(weight.astype(np.float64), values * weight, np.zeros(values.shape))

    @property
    def coverage(self) -> NDArray[np.int64]:
        """How many batches reached each step."""
        n_time_axes = self.edge.n_time_axes
        shape = self.spread.weight.shape[:n_time_axes]
        return self.spread.weight.reshape(shape).astype(np.int64)


class Population(Mapping[str, NDArray[Any]]):
    """The population statistic for each name.

    A value is the average over the batches of the statistic of a batch, each batch counting once,
    whatever its size. It has axes (T_1, ..., T_depth, *axes of the statistic), where T_i is the
    greatest number of steps seen; a batch with fewer steps repeats its last one (Cooijmans et al.
    2017). The variance of a population is therefore that *within* batches; what lies between the
    means of batches is left out (Wu and Johnson 2021).

    Attributes
    ----------
    n_batches : int
        How many batches were averaged.
    coverage : mapping of str to ndarray of int
        How many of them reached each step, with axes (T_1, ..., T_depth).
    """

    def __init__(self, estimates: dict[str, Estimate], n_batches: int) -> None:
        self._estimates = estimates
        self._values = {
            name: np.asarray(e.edge.mean, dtype=e.dtype) for name, e in estimates.items()
        }
        self.n_batches = n_batches
        self.coverage: Mapping[str, NDArray[np.int64]] = MappingProxyType(
            {name: e.coverage for name, e in estimates.items()}
        )
        for value in self._values.values():
            value.flags.writeable = False

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Population({self.n_batches} batches: {', '.join(self)})"


def reached_steps(shape: tuple[int, ...], steps: list[tuple[int, Any]], count: Any) -> Mask:
    """Which steps of a batch there were.

    Parameters
    ----------
    shape : tuple of int
        (T_1, ..., T_depth)
    steps : list of (int, ndarray)
        For loops that may stop early: their place among the time axes, and the number of steps
        that they took, with the time axes in front of it.
    count : ndarray or None
        The number of elements behind each step, if known, with `shape` as leading axes.
    """
    reached = np.ones(shape, dtype=bool)
    for axis, taken in steps:
        index = np.arange(shape[axis]) < np.asarray(taken)[..., None]
        reached &= index.reshape(index.shape + (1,) * (len(shape) - axis - 1))
    if count is not None:
        reached &= (count > 0).reshape(*shape, -1).any(axis=-1)
    return reached
