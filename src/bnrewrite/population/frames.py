"""Frames: a population as a table, printed, of pandas, or as datasets of xarray.

Neither of these is needed for anything else, so both are imported where they are used. Axes are
named alike in both: the first time axis, that of the outermost loop, is ``step``, the next ones
``step_2`` and so on, whatever the depth; and those of the statistic itself are ``unit``, ``unit_2``
and so on. All are numbered from 0, as in the arrays.

Statistics differ in their numbers of steps and units. A table does not mind; but in one dataset
their axes would have to be filled up, or to have other names for each. So each has its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bnrewrite.population.pooled import PooledValues
from bnrewrite.population.tables import summary_rows
from bnrewrite.tables import align, html_lines, html_table

if TYPE_CHECKING:
    from pandas import DataFrame
    from xarray import Dataset


_KNOWN = ("coverage", "count", "spread", "standard_error")


class FramedValues(PooledValues):
    """Values that can be given to the tools for tables."""

    def summary(self) -> None:
        """Print a table: for each statistic its shape, and how much its last step rests on."""
        print(align(self._summary_rows()))

    def _summary_rows(self) -> list[list[str]]:
        known = self.coverage, self.count, self.fewest, self.standard_error
        return summary_rows(self, self.n_batches, *known)

    def _repr_html_(self) -> str:
        """The summary, as notebooks show it."""
        n, held = self.n_batches, self.min_coverage
        line = f"Population of {n} batch{'es' * (n != 1)}, pooling={self.pooling!r}"
        line += f", min_coverage={held}" * bool(held) + f", min_count={self.min_count!r}"
        return html_lines([line]) + html_table(self._summary_rows())

    def to_dataframe(self) -> DataFrame:
        """All values in one table, with a row for each.

        Returns
        -------
        pandas.DataFrame
            In the order of the population, with the columns ``statistic`` (its name), ``step`` and
            ``unit`` (as many of each as the statistic with the most axes has; none where there is
            no such axis), ``value``, ``coverage``, ``count`` (none where it is not known),
            ``spread`` and ``standard_error``, which are NaN where they are not known.

        Raises
        ------
        ImportError
            If there is no pandas: ``pip install "bnrewrite[tables]"``.

        Examples
        --------
        >>> import pytensor.tensor as pt, numpy as np
        >>> from bnrewrite import InferenceGraph, mark_statistic
        >>> x = pt.dmatrix("x")
        >>> graph = InferenceGraph([x], x - mark_statistic(x.mean(axis=0), "mean"))
        >>> population = graph.estimate([(np.zeros((2, 2)),), (np.ones((3, 2)),)])
        >>> population.to_dataframe()[["statistic", "unit", "value", "coverage"]].values.tolist()
        [['mean', 0, 0.5, 2], ['mean', 1, 0.5, 2]]
        """
        try:
            from pandas import DataFrame, concat
        except ImportError as error:
            raise ImportError(_missing("pandas", "to_dataframe")) from error
        described = [_described(self, name) for name in self]
        rows = concat([DataFrame(d.columns()) for d in described], ignore_index=True)
        steps, units = (max(dims, key=len) for dims in zip(*map(_dims_of, described), strict=True))
        steps, units = steps or ["step"], units or ["unit"]
        rows = rows.reindex(columns=["statistic", *steps, *units, "value", *_KNOWN])
        return rows.astype(dict.fromkeys([*steps, *units, "count"], "Int64"))

    def to_xarray(self) -> dict[str, Dataset]:
        """Each statistic as a dataset, by name.

        Returns
        -------
        dict of str to xarray.Dataset
            With the variables ``value``, ``coverage``, ``count`` (where it is known), ``spread``
            and ``standard_error``, and coordinates that number steps and units. The dimensions are
            ``step`` and ``unit``, with ``step_2`` and so on for inner loops, and ``unit_2`` and so
            on for further axes of the statistic. Attributes say where it comes from.

        Raises
        ------
        ImportError
            If there is no xarray: ``pip install "bnrewrite[tables]"``.

        Examples
        --------
        >>> import pytensor.tensor as pt, numpy as np
        >>> from bnrewrite import InferenceGraph, mark_statistic
        >>> x = pt.dmatrix("x")
        >>> graph = InferenceGraph([x], x - mark_statistic(x.mean(axis=0), "mean"))
        >>> population = graph.estimate([(np.zeros((2, 2)),), (np.ones((3, 2)),)])
        >>> population.to_xarray()["mean"].value.sel(unit=1).item()
        0.5
        """
        try:
            from xarray import Dataset
        except ImportError as error:
            raise ImportError(_missing("xarray", "to_xarray")) from error
        of_all: dict[str, Any] = {"n_batches": self.n_batches, "pooling": self.pooling}
        of_all |= {"min_coverage": self.min_coverage, "min_count": self.min_count}
        datasets = {}
        for name in self:
            described = _described(self, name)
            lengths = zip(described.dims(), described.value.shape, strict=True)
            coords = {dim: np.arange(n) for dim, n in lengths}
            datasets[name] = Dataset(described.variables(), coords, {"statistic": name, **of_all})
        return datasets


class _Described(NamedTuple):
    """A statistic, with the names of its axes and all that is known of it."""

    name: str
    value: NDArray[Any]
    steps: list[str]
    units: list[str]
    known: Mapping[str, NDArray[Any]]

    def dims(self) -> list[str]:
        return [*self.steps, *self.units]

    def variables(self) -> dict[str, tuple[list[str], NDArray[Any]]]:
        """Arrays that belong to the caller, each with the names of its axes."""
        arrays = {"value": self.value, **self.known}
        return {key: (self.dims()[: array.ndim], array.copy()) for key, array in arrays.items()}

    def columns(self) -> dict[str, NDArray[Any]]:
        """For each value, in order, where it is and what is known of it."""
        # As objects: what pandas takes for text can not have halves of surrogate pairs.
        columns = {"statistic": np.array([self.name] * self.value.size, dtype=object)}
        shape, dims = self.value.shape, self.dims()
        places = zip(dims, np.ix_(*map(np.arange, shape)), strict=True)
        columns |= {dim: np.broadcast_to(place, shape).ravel() for dim, place in places}
        for key, (dims_of, array) in self.variables().items():
            array = array.reshape(array.shape + (1,) * (len(dims) - len(dims_of)))
            columns[key] = np.broadcast_to(array, shape).ravel()
        return columns


def _described(population: PooledValues, name: str) -> _Described:
    value, coverage = population[name], population.coverage[name]
    known: dict[str, NDArray[Any]] = {"coverage": coverage}
    if name in population.count:
        count = population.count[name]
        of_values = count.ndim > coverage.ndim  # its axes of length 1 stand for whole ones
        known["count"] = np.broadcast_to(count, value.shape) if of_values else count
    known["spread"] = population.spread[name]
    known["standard_error"] = population.standard_error[name]
    depth = coverage.ndim
    return _Described(name, value, _dims("step", depth), _dims("unit", value.ndim - depth), known)


def _dims(name: str, n: int) -> list[str]:
    return [name if i == 0 else f"{name}_{i + 1}" for i in range(n)]


def _dims_of(described: _Described) -> tuple[list[str], list[str]]:
    return described.steps, described.units


def _missing(package: str, method: str) -> str:
    return (
        f"`{method}` needs {package}, which can't be imported: "
        'pip install "bnrewrite[tables]" brings it.'
    )
