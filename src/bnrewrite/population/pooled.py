"""Pooled: sums read under a pooling, as values by name, and how sure they are.

Values are computed at once, so sums that can't be read under a pooling are refused when this is
made. All else is computed when it is first asked for. Nothing here changes the sums, and arrays
can't be written to.

Sharp edge: `count` and `fewest` have no entry for a statistic whose elements are not known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnrewrite.cautions import shown
from bnrewrite.population.counts import MinCount
from bnrewrite.population.options import checked_min_count, checked_min_coverage
from bnrewrite.population.origin import Origin
from bnrewrite.population.ragged import Array
from bnrewrite.population.tallies import Pooling, Tallies
from bnrewrite.population.values import values_of


class PooledValues(Mapping[str, NDArray[Any]]):
    """A value for each statistic, by name; `Population` says what it and the rest is.

    Parameters
    ----------
    tallies : Tallies
        Of one batch at least.
    pooling, min_coverage, min_count
        How to read them; by default with the `min_count` that they were kept with.
    """

    def __init__(
        self,
        tallies: Tallies,
        pooling: Pooling = "edge",
        min_coverage: int = 0,
        min_count: MinCount | None = None,
    ) -> None:
        if not isinstance(tallies, Tallies):
            raise TypeError(
                "a population is made by an estimate, or by `Population.load`, got "
                f"{shown(tallies)}."
            )
        self._tallies = tallies
        self.pooling, self.min_coverage = pooling, checked_min_coverage(min_coverage)
        self.min_count = tallies.min_count if min_count is None else checked_min_count(min_count)
        self._values = _read_only(values_of(tallies, pooling, self.min_coverage, self.min_count))

    def __reduce__(self) -> tuple[Any, ...]:
        # Read anew, as arrays that are pickled or copied could be written to.
        return type(self), (self._tallies, self.pooling, self.min_coverage, self.min_count)

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._values:
            raise KeyError(f"{name!r} is none of the statistics {list(self._values)}")
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def origin(self) -> Origin:  # noqa: D102
        return self._tallies.origin

    @property
    def n_batches(self) -> int:  # noqa: D102
        return self._tallies.n_batches

    @property
    def variances(self) -> Mapping[str, str]:  # noqa: D102
        return dict(self._tallies.variances)

    @cached_property
    def coverage(self) -> Mapping[str, NDArray[np.int64]]:  # noqa: D102
        batches = {name: self._tallies.by_name[name].batches(self.pooling) for name in self}
        return _read_only({name: n.max(axis=-1).astype(np.int64) for name, n in batches.items()})

    @cached_property
    def count(self) -> Mapping[str, NDArray[np.int64]]:  # noqa: D102
        counts = {name: self._tallies.by_name[name].n_elements() for name in self}
        return _read_only({name: count for name, count in counts.items() if count is not None})

    @cached_property
    def fewest(self) -> Mapping[str, Array]:  # noqa: D102
        counts = {name: self._tallies.by_name[name].counts for name in self}
        return _read_only({name: c.least for name, c in counts.items() if c is not None})

    @cached_property
    def spread(self) -> Mapping[str, Array]:  # noqa: D102
        return _read_only({name: self._tallies.by_name[name].moments.spread() for name in self})

    @cached_property
    def standard_error(self) -> Mapping[str, Array]:  # noqa: D102
        weights = {name: self._tallies.by_name[name].moments.weight for name in self}
        with np.errstate(divide="ignore", invalid="ignore"):
            return _read_only({n: s / np.sqrt(weights[n]) for n, s in self.spread.items()})

    def averaged_over_time(self) -> dict[str, NDArray[Any]]:
        """Each statistic averaged over its steps, weighted by coverage, as one step.

        With axes ``(1, ..., 1, *axes of the statistic)``, as ``InferenceGraph.assign`` takes them.
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


def _read_only(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Views of arrays that can't be written to, as some are those of the sums."""
    views = {name: np.asarray(array).view() for name, array in arrays.items()}
    for view in views.values():
        view.flags.writeable = False
    return views
