"""Population statistics: what batches have been averaged to, by name.

A `Population` is a mapping from names to arrays that never change. Behind it are the sums it was
read from (`Tallies`), and so it can be merged with another, saved, and read under another pooling.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnrewrite.population import files
from bnrewrite.population.ragged import Array
from bnrewrite.population.tables import align, summary_row
from bnrewrite.population.tallies import Pooling, Tallies


class Population(Mapping[str, NDArray[Any]]):
    """The population statistic for each name, with all that is known of how sure it is.

    A value has axes (T_1, ..., T_depth, *axes of the statistic), where T_i is the greatest number
    of steps seen. What it estimates is chosen by `pooling`:

    ``"edge"``
        The mean over batches of the statistic of a batch, each batch counting once whatever its
        size (Cooijmans et al. 2017). A batch with fewer steps repeats its last one, so that late
        steps lean towards where short sequences ended.
    ``"reached"``
        The same over the batches that reached a step. No lean, but late steps rest on few batches.
    ``"moments"``
        The mean and variance of all elements that were not masked, of all batches, at a step:
        whatever the sizes of the batches, and however the data are split into them. Exact for
        variables that do not depend on batch statistics themselves; those downstream of another
        normalization are pooled exactly, but computed from batches normalized by their own
        statistics. The variance is divided by the number of elements.

    The variance under ``"edge"`` and ``"reached"`` is that *within* batches. It leaves out what
    lies between the means of batches, and is by that on average too small, by a factor of
    (m - 1) / m for batches of m independent elements. Ioffe and Szegedy (2015, algorithm 2) average
    variances corrected by that factor; Wu and Johnson (2021) pool moments, as ``"moments"`` does.

    Attributes
    ----------
    n_batches : int
        How many batches were averaged.
    pooling : str
        See above.
    min_coverage : int
        Steps that fewer batches reached have the value of the last one before that enough reached.
    coverage : dict of str to ndarray of int
        How many batches reached each step, with axes (T_1, ..., T_depth).
    count : dict of str to ndarray of int
        How many elements are behind each step, where it is known.
    spread : dict of str to ndarray
        The standard deviation (divided by n - 1) between the batches that reached a step, with the
        axes of the value; NaN where fewer than two did. (Under ``"edge"`` the value rests on the
        held steps of other batches too.)
    standard_error : dict of str to ndarray
        Of the mean over these batches: the spread divided by the square root of the coverage.
    """

    def __init__(self, tallies: Tallies, pooling: Pooling = "edge", min_coverage: int = 0) -> None:
        self._tallies = tallies
        self._values = tallies.values(pooling, min_coverage)
        self.pooling, self.min_coverage = pooling, min_coverage
        for value in self._values.values():
            value.flags.writeable = False

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Population({self.n_batches} batches, pooling={self.pooling!r}: {', '.join(self)})"

    @property
    def n_batches(self) -> int:  # noqa: D102
        return self._tallies.n_batches

    @cached_property
    def coverage(self) -> Mapping[str, NDArray[np.int64]]:  # noqa: D102
        return {name: self._tallies.by_name[name].coverage() for name in self}

    @cached_property
    def count(self) -> Mapping[str, NDArray[np.int64]]:  # noqa: D102
        counts = {name: self._tallies.by_name[name].n_elements() for name in self}
        return {name: count for name, count in counts.items() if count is not None}

    @cached_property
    def spread(self) -> Mapping[str, Array]:  # noqa: D102
        return {name: self._tallies.by_name[name].moments.spread() for name in self}

    @cached_property
    def standard_error(self) -> Mapping[str, Array]:  # noqa: D102
        weights = {name: self._tallies.by_name[name].moments.weight for name in self}
        with np.errstate(divide="ignore", invalid="ignore"):
            return {name: np.asarray(s / np.sqrt(weights[name])) for name, s in self.spread.items()}

    def pooled(self, pooling: Pooling, min_coverage: int | None = None) -> Population:
        """The population of the same batches under another pooling.

        Parameters
        ----------
        pooling : {"edge", "reached", "moments"}
            How to read the sums that an estimate keeps, whatever its own pooling was.
        min_coverage : int, optional
            By default that of this population.

        Raises
        ------
        ValueError
            If the sums do not have what `pooling` or `min_coverage` need.
        """
        if min_coverage is None:
            min_coverage = self.min_coverage
        return Population(self._tallies, pooling, min_coverage)

    def averaged_over_time(self) -> dict[str, NDArray[Any]]:
        """Each statistic averaged over its steps, weighted by coverage, as one step.

        With axes (1, ..., 1, *axes of the statistic), as ``InferenceGraph.assign`` takes them.
        Where activations take some steps to settle, this degrades performance severely (Cooijmans
        et al. 2017); it is there for comparison.
        """
        averaged = {}
        for name, value in self.items():
            weights = self.coverage[name].astype(np.float64)
            weights = weights.reshape(weights.shape + (1,) * (value.ndim - weights.ndim))
            steps = tuple(range(self.coverage[name].ndim))
            mean = (value * weights).sum(axis=steps, keepdims=True) / weights.sum()
            averaged[name] = mean.astype(value.dtype)
        return averaged

    def merge(self, other: Population) -> Population:
        """The population of the batches of both, as if it had been estimated from all of them.

        Parameters
        ----------
        other : Population
            Of the same statistics, with the same pooling; its number of steps may be another.

        Returns
        -------
        Population
            Equal, up to rounding, in whatever order. With the greater `min_coverage` of both.

        Raises
        ------
        ValueError
            If names, shapes or pooling differ; all of it is listed.
        """
        if self.pooling != other.pooling:
            raise ValueError(
                f"these populations can't be merged: one has pooling={self.pooling!r}, the other "
                f"{other.pooling!r}. `pooled` gives one of them another."
            )
        merged = self._tallies.merged(other._tallies)
        return Population(merged, self.pooling, max(self.min_coverage, other.min_coverage))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one npz file, with the values by name, and all that `load` and `merge` need.

        All at once: `path` is never half a file. A link stays a link, and a mode is kept.
        """
        files.save(path, self._values, self._tallies, self.pooling, self.min_coverage)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Population:
        """Read a file written by `save`.

        Raises
        ------
        ValueError
            If it is truncated, changed, something else, or of a later format than is known here.
        OSError
            If it can't be read.
        """
        with files.loading(path) as loaded:
            population = cls(loaded.tallies, loaded.pooling, loaded.min_coverage)
            files.check_values(loaded, population)
        return population

    def summary(self) -> None:
        """Print a table: for each statistic its shape, and how much is behind its last step."""
        header = ["name", "shape", "depth", "batches", "at last step", "mean", "standard error"]
        rows = [
            summary_row(name, self.n_batches, v, self.coverage[name], self.standard_error[name])
            for name, v in self.items()
        ]
        print(align([header, *rows]))
