"""Population statistics: what batches have been averaged to, by name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnrewrite.population import files
from bnrewrite.population.tables import align
from bnrewrite.population.tallies import Accumulators, Pooling


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

    def __init__(self, accumulators: Accumulators, min_coverage: int = 0) -> None:
        self._accumulators = accumulators
        self._values = accumulators.values(min_coverage)
        self.min_coverage = min_coverage
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
        return self._accumulators.n_batches

    @property
    def pooling(self) -> Pooling:  # noqa: D102
        return self._accumulators.pooling

    @cached_property
    def coverage(self) -> Mapping[str, NDArray[np.int64]]:  # noqa: D102
        return {name: self._accumulators.coverage(name) for name in self}

    @cached_property
    def count(self) -> Mapping[str, NDArray[np.int64]]:  # noqa: D102
        counts = {name: self._accumulators.count(name) for name in self}
        return {name: count for name, count in counts.items() if count is not None}

    @cached_property
    def spread(self) -> Mapping[str, NDArray[np.float64]]:  # noqa: D102
        spread = {}
        for name, moments in self._accumulators.reached.items():
            with np.errstate(divide="ignore", invalid="ignore"):
                variance = moments.deviations / np.where(moments.weight > 1, moments.weight - 1, 0)
            spread[name] = np.asarray(np.sqrt(variance))
        return spread

    @cached_property
    def standard_error(self) -> Mapping[str, NDArray[np.float64]]:  # noqa: D102
        reached = self._accumulators.reached
        with np.errstate(divide="ignore", invalid="ignore"):
            errors = {name: s / np.sqrt(reached[name].weight) for name, s in self.spread.items()}
        return {name: np.asarray(error) for name, error in errors.items()}

    def averaged_over_time(self) -> dict[str, NDArray[Any]]:
        """Each statistic averaged over its steps, weighted by coverage, as one step.

        What ``InferenceGraph.assign`` takes. Where activations take some steps to settle, this
        degrades performance severely (Cooijmans et al. 2017); it is there for comparison.

        Returns
        -------
        dict of str to ndarray
            With axes (1, ..., 1, *axes of the statistic).
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
            Equal to one estimate over all batches, up to rounding, in whatever order populations
            are merged. With the greater `min_coverage` of both.

        Raises
        ------
        ValueError
            If names, shapes or pooling differ; all of it is listed.
        """
        merged = self._accumulators.merged(other._accumulators)
        return Population(merged, max(self.min_coverage, other.min_coverage))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one npz file, with the values by name, and all that `load` and `merge` need.

        The file is written under another name first, so that `path` is never half a file.
        """
        files.save(path, self._values, self._accumulators, self.min_coverage)

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
        accumulators, min_coverage, values = files.load(path)
        population = cls(accumulators, min_coverage)
        files.check_values(path, values, population)
        return population

    def summary(self) -> None:
        """Print a table: for each statistic its shape, and how much is behind its last step."""
        header = ["name", "shape", "depth", "batches", "at last step", "mean", "standard error"]
        rows = [self._row(name) for name in self]
        print(align([header, *rows]))

    def _row(self, name: str) -> list[str]:
        value, coverage, error = self[name], self.coverage[name], self.standard_error[name]
        last = coverage[(-1,) * coverage.ndim]
        known = error[np.isfinite(error)]
        return [
            name,
            " x ".join(map(str, value.shape)) or "scalar",
            str(coverage.ndim),
            str(self.n_batches),
            str(last),
            f"{value.mean(dtype=np.float64):.4g}",
            f"{known.mean():.2g}" if known.size else "unknown",
        ]
