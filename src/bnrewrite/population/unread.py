"""Unread: sums that do not have a value for every statistic yet.

An estimate that is stopped early may not have seen any element of some unit, so that a pooling has
no value for it. What there is must not be lost: it can be merged, and gone on from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from bnrewrite.population.population import Population
from bnrewrite.population.tallies import Pooling, Tallies
from bnrewrite.tables import html_lines


class UnreadPopulation(Population):
    """The sums of a population whose values can't be read yet: whoever asks for one gets `why`."""

    def __init__(self, tallies: Tallies, pooling: Pooling, why: ValueError) -> None:
        self._tallies, self._why = tallies, why
        self.pooling, self.min_coverage, self.min_count = pooling, 0, tallies.min_count

    @property
    def _values(self) -> dict[str, NDArray[Any]]:  # type: ignore[override]
        raise ValueError(str(self._why)) from self._why

    def _repr_html_(self) -> str:
        return html_lines([repr(self), str(self._why)])

    def __iter__(self) -> Iterator[str]:
        return iter(self._tallies.dtypes)

    def __len__(self) -> int:
        return len(self._tallies.dtypes)
