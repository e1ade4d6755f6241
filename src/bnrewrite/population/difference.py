"""Difference: two populations compared, value by value, in units of their standard errors.

Two estimates of the same thing differ by about one standard error of their difference, which is the
root of the sum of the squares of theirs. So a root mean square of about 1 is no difference, and one
of 10 is. Where a standard error is not known, as at a step that one batch reached, or is zero, a
difference has no such unit: it is counted, and shows among the plain differences. Values that are
equal up to rounding differ by 0 standard errors, whatever these are.

Sharp edge: standard errors are those of the batches that reached a step, and say little of steps
that hold the value of another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bnrewrite.population.population import Population
from bnrewrite.population.ragged import Array, up_to
from bnrewrite.population.tables import shape_text
from bnrewrite.tables import align, printable

_HEADER = ["name", "compared", "rms difference", "greatest", "rms in standard errors"]
N_ROUNDINGS = 8  # of the coarser dtype: no more is a difference


@dataclass(frozen=True, repr=False)
class Difference:
    """How two populations differ. It prints as a table, with notes below.

    Attributes
    ----------
    rows : tuple of StatisticDifference
        Of each statistic that can be compared.
    notes : tuple of str
        What can't be compared, and what else is different.
    """

    rows: tuple[StatisticDifference, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        table = [[*_HEADER, "greatest in these", "at", "without standard error"]]
        table += [row.cells() for row in self.rows]
        lines = [align(table)] if self.rows else ["no statistic can be compared"]
        return "\n".join([*lines, *map(printable, self.notes)])


@dataclass(frozen=True)
class StatisticDifference:
    """How two values of a statistic differ.

    Attributes
    ----------
    name : str
    depth : int
        The number of its time axes.
    difference : ndarray
        The first less the second, at the steps that both have.
    in_errors : ndarray
        In units of the standard error of the difference; NaN where there is none.
    """

    name: str
    depth: int
    difference: Array
    in_errors: Array

    def cells(self) -> list[str]:
        """What a table says of it."""
        size, known = np.abs(self.difference), np.isfinite(self.in_errors)
        errors = np.abs(self.in_errors[known])
        among = np.where(known, np.abs(self.in_errors), -1) if errors.size else size
        return [
            self.name,
            shape_text(size.shape),
            f"{_rms(size):.3g}",
            f"{size.max(initial=0):.3g}",
            f"{_rms(errors):.3g}" if errors.size else "unknown",
            f"{errors.max():.3g}" if errors.size else "unknown",
            self._place(among) if size.any() else "-",
            str(int((~known).sum())),
        ]

    def _place(self, values: Array) -> str:
        """Where the greatest of `values` is."""
        place = tuple(map(str, np.unravel_index(int(values.argmax()), values.shape)))
        axes = {"step": place[: self.depth], "unit": place[self.depth :]}
        return ", ".join(f"{axis} {' '.join(at)}" for axis, at in axes.items() if at) or "-"


def difference_of(one: Population, other: Population) -> Difference:
    """Compare two populations, statistic by statistic."""
    notes = list(_notes(one, other))
    rows = []
    for name in (name for name in one if name in other):
        (steps, units), (other_steps, other_units) = _axes(one, name), _axes(other, name)
        shapes = f"{shape_text(one[name].shape)} and {shape_text(other[name].shape)}"
        if len(steps) != len(other_steps) or units != other_units:
            notes.append(f"not compared, of shapes {shapes}: {name}")
            continue
        if steps != other_steps:
            notes.append(f"compared at the steps that both have, of shapes {shapes}: {name}")
        rows.append(_difference(one, other, name, tuple(map(min, steps, other_steps))))
    return Difference(tuple(rows), tuple(notes))


def _axes(population: Population, name: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The numbers of steps of a statistic, and its own axes."""
    shape, depth = population[name].shape, population.coverage[name].ndim
    return shape[:depth], shape[depth:]


def _notes(one: Population, other: Population) -> Iterator[str]:
    for option in ("pooling", "min_coverage", "min_count"):
        values = getattr(one, option), getattr(other, option)
        if values[0] != values[1]:
            yield f"{option}: {values[0]!r} in the first, {values[1]!r} in the second"
    for where, mine, theirs in (("first", one, other), ("second", other, one)):
        yield from (f"only in the {where}: {name}" for name in mine if name not in theirs)
    for name in one.origin.differing(other.origin):
        yield f"of different graphs, computed in another way: {name}"


def _difference(
    one: Population, other: Population, name: str, steps: tuple[int, ...]
) -> StatisticDifference:
    part = up_to(steps)
    values = [np.asarray(p[name][part], np.float64) for p in (one, other)]
    errors = [p.standard_error[name][part] for p in (one, other)]
    eps = max(float(np.finfo(p[name].dtype).eps) for p in (one, other))
    rounding = N_ROUNDINGS * eps * np.maximum(*map(np.abs, values))
    difference, error = values[0] - values[1], np.hypot(*errors)
    is_known = np.isfinite(error) & (error > rounding)
    unknown = np.full(difference.shape, np.nan)
    in_errors = np.divide(difference, error, out=unknown, where=is_known)
    in_errors = np.where(np.abs(difference) <= rounding, 0.0, in_errors)
    return StatisticDifference(name, len(steps), difference, in_errors)


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0
