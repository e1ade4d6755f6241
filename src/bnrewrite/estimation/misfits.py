"""Misfits: bring values to the types of their statistics, or say what is wrong with them.

Nothing is cut, filled or rounded away on the quiet. A value must be an array of real numbers, of
the axes of its statistic, finite in its dtype as well; and a variance is not negative. A population
that was estimated for statistics of the same names in another graph does not fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnrewrite.cautions import OtherOrigin, caution, shown
from bnrewrite.estimation.batches import is_masked
from bnrewrite.graph.engine import TensorType, Variable
from bnrewrite.graph.exported import Exported
from bnrewrite.graph.fingerprints import MADE_BY
from bnrewrite.graph.statistics import Statistic, is_numbered
from bnrewrite.population.origin import Origin

Arrays = dict[Statistic, NDArray[Any]]


def fitted(exported: Exported, population: Mapping[str, Any], origin: Origin | None) -> Arrays:
    """The value of each statistic in its dtype, from those by name, which have an `origin`.

    Raises
    ------
    ValueError
        If anything is missing, unexpected, of another graph or no value of its statistic. All of it
        is listed.
    TypeError
        If `population` is no mapping.
    """
    if not isinstance(population, Mapping):
        raise TypeError(
            "a population is a Population, or a dict of arrays by name of the statistics, got "
            f"{shown(population)}. `Population.load` reads a file."
        )
    by_name, variances = {s.name: s for s in exported}, set(exported.variance_of.values())
    problems = [f"missing: {name}" for name in by_name if name not in population]
    problems += [f"unexpected: {name}" for name in population if name not in by_name]
    problems += _of_another_graph(exported, population, origin)
    arrays: Arrays = {}
    for name, statistic in by_name.items():
        if name in population:
            try:
                arrays[statistic] = _fitted(statistic, population[name], statistic in variances)
            except _MisfitError as misfit:
                problems.append(str(misfit))
    if problems:
        raise ValueError(
            "the population does not fit the graph, and nothing was assigned:\n  "
            + "\n  ".join(problems)
        )
    return arrays


def _of_another_graph(
    exported: Exported, population: Iterable[str], origin: Origin | None
) -> list[str]:
    """What a population has for statistics of another graph that have the names of these."""
    if origin is None:
        return []
    mine = Origin(MADE_BY, exported.fingerprints)
    if not mine.is_comparable(origin):
        numbered = [s.name for s in exported if is_numbered(s)]
        hint = (
            f" The numbers in names like {numbered[0]!r} may have been given in another order: "
            "labels of their own would tell."
            if numbered
            else ""
        )
        caution(
            "it can't be checked whether this population is one of this graph: it was estimated "
            f"with {origin.made_by or 'an earlier release'}, and this graph is built with "
            f"{MADE_BY}. It is used as it is; `assign(dict(population))` does so without a word."
            + hint
            * bool(numbered),
            OtherOrigin,
        )
    names = set(population).intersection(mine.differing(origin))
    return [
        f"of another graph: {name} is computed in another way there (names of inputs and "
        "parameters count); if it is meant for this one, `assign(dict(population))`"
        for name in sorted(names)
    ]


def shape_of(statistic: Statistic) -> tuple[int | None, ...]:
    """The static shape of a value: any number of steps."""
    kind: TensorType = statistic.variable.type
    return (*[None] * statistic.depth, *kind.shape)


class _MisfitError(ValueError):
    """Something is wrong with one value, and the message says what."""


def _fitted(statistic: Statistic, value: Any, is_variance: bool) -> NDArray[Any]:
    name, dtype = statistic.name, statistic.variable.dtype
    array = _numbers(name, value)
    expected = shape_of(statistic)
    fits = array.ndim == len(expected) and all(
        n in (None, m) for n, m in zip(expected, array.shape, strict=True)
    )
    if not fits or 0 in array.shape[: statistic.depth]:
        wanted = tuple("?" if n is None else n for n in expected)
        no_step = ", and at least one step" if fits else ""
        raise _MisfitError(f"wrong shape: {name} is {array.shape}, expected {wanted}{no_step}")
    if not np.isfinite(array).all():
        raise _MisfitError(f"not finite numbers: {name}")
    with np.errstate(over="ignore"):
        converted = array.astype(dtype)
    if not np.isfinite(converted).all():
        raise _MisfitError(f"too large for {dtype}: {name} has {np.abs(array).max():.3g}")
    if is_variance and (array < 0).any():
        raise _MisfitError(f"negative variance: {name} has {array.min():.3g}")
    return converted


def _numbers(name: str, value: Any) -> NDArray[Any]:
    """`value` as an array of real numbers."""
    if is_masked(value):
        raise _MisfitError(f"masked: {name} has values behind a mask; fill them first")
    if isinstance(value, Variable):
        raise _MisfitError(f"not finite numbers: {name} is a symbolic variable")
    try:
        array = np.asarray(value)
    except Exception as error:  # whatever a foreign object raises that is no array
        kind = type(value).__name__
        raise _MisfitError(f"not finite numbers: {name} is a {kind} and no array") from error
    if array.dtype.kind not in "iuf":
        raise _MisfitError(f"not finite numbers: {name} is of dtype {array.dtype}")
    return array
