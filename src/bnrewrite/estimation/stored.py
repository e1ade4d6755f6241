"""Stored: the values of a population in shared variables, which compiled functions read.

A function compiled from the inference graph computes with the latest values, whatever their number
of steps, so a new estimate needs no new compilation. Until there are any, every path from a
value to an output goes through a check that raises: an inference function can't run without one.
JAX leaves such checks out, so the values are NaN at first: what they lead to can't look right.

Values are checked and converted before the first of them is stored. What can fail comes first, and
what fails or is interrupted all the same is undone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bnrewrite.estimation.commit import Change, commit
from bnrewrite.estimation.misfits import fitted, shape_of
from bnrewrite.estimation.parameters import caution_changed, parameters_of
from bnrewrite.graph.engine import (
    CheckAndRaise,
    SharedVariable,
    Variable,
    shared,
    without_test_values,
)
from bnrewrite.graph.exported import Exported
from bnrewrite.graph.statistics import Statistic
from bnrewrite.population.origin import Origin
from bnrewrite.population.population import Population

NO_POPULATION = (
    "There are no population statistics yet: call `estimate` or `assign` of the InferenceGraph."
)
_require_estimate = CheckAndRaise(RuntimeError, NO_POPULATION)


class StoredPopulation:
    """A shared variable for each exported statistic.

    Attributes
    ----------
    variables : dict of Statistic to SharedVariable
        With axes (T_1, ..., T_depth, *axes of the statistic).
    values : dict of Statistic to Variable
        The same, which can't be computed before there are values.
    population : Population or None
        What was assigned last, if it was one.
    origin : Origin
        That of the population; of which nothing is known if it is none.
    """

    @without_test_values
    def __init__(self, exported: Exported) -> None:
        self._exported = exported
        self.variables: dict[Statistic, SharedVariable] = {s: _empty(s) for s in exported}
        self.population: Population | None = None
        self.origin = Origin()
        self._is_known = shared(np.int8(0), name="is_estimated")
        self.values: dict[Statistic, Variable] = {
            s: _require_estimate(v, self._is_known) for s, v in self.variables.items()
        }

    def assign(
        self,
        population: Mapping[str, ArrayLike],
        chosen: Collection[Statistic] | None = None,
    ) -> None:
        """Store the value of each statistic by its name, all of them or none.

        Statistics that are not `chosen`, if any are, keep the values that they have.

        Raises
        ------
        ValueError
            If anything does not fit (see `misfits`). All of it is listed, and nothing is assigned.
        TypeError
            If `population` is no mapping.
        """
        latest = population if isinstance(population, Population) else None
        origin = None if latest is None else latest.origin
        if chosen is not None:
            latest, population = None, self._with_the_rest(population, chosen)
        converted = fitted(self._exported, population, origin)
        whole = Origin() if latest is None else latest.origin
        changes = [_setting(self.variables[s], array) for s, array in converted.items()]
        changes.append(_setting(self._is_known, np.int8(1)))
        for name, value in (("population", latest), ("origin", whole)):
            changes.append(Change(partial(setattr, self, name), value, getattr(self, name)))
        commit(changes)

    def _with_the_rest(
        self, population: Mapping[str, ArrayLike], chosen: Collection[Statistic]
    ) -> dict[str, ArrayLike]:
        """Values for the `chosen` from a population, and those that there are for the others."""
        rest = {s.name: v.get_value() for s, v in self.variables.items() if s not in chosen}
        if rest and not self.is_known():
            raise ValueError(
                f"there are no values yet that {sorted(rest)} could keep. Estimate or assign all "
                "statistics first."
            )
        return {**population, **rest}

    def caution_changed(self, given: Collection[Variable] = ()) -> None:
        """Warn if it was estimated with other parameters than there are, and are not `given`."""
        caution_changed(self.origin, parameters_of(self._exported.values()), given)

    def is_known(self) -> bool:
        """Whether there are values."""
        return bool(self._is_known.get_value())

    def lengths(self) -> dict[str, tuple[int, ...]]:
        """How many steps there are of each statistic, by its name."""
        return {
            s.name: v.get_value(borrow=True).shape[: s.depth] for s, v in self.variables.items()
        }


def _setting(variable: SharedVariable, value: Any) -> Change:
    """To set a shared variable, whose arrays are replaced and not written to."""
    put = partial(variable.set_value, borrow=True)
    return Change(put, value, variable.get_value(borrow=True))


def _empty(statistic: Statistic) -> SharedVariable:
    shape = shape_of(statistic)
    steps, own = [1] * statistic.depth, [n or 0 for n in shape[statistic.depth :]]
    value = np.full([*steps, *own], np.nan, dtype=statistic.variable.dtype)
    return shared(value, name=statistic.name, shape=shape)
