"""Exported: what is computed of each statistic, in the outer graph.

One `Export` has all that an estimator has to compute for a statistic. What belongs together leaves
a loop together, and no later step has to find it again by its shape or its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from bnrewrite.graph.engine import Variable
from bnrewrite.graph.fingerprints import fingerprints
from bnrewrite.graph.needs import Need, renamed, variables_in
from bnrewrite.graph.statistics import Statistic


@dataclass(frozen=True)
class Export:
    """What is computed of a statistic, with a leading time axis for each loop it has left.

    Attributes
    ----------
    value : Variable
        The statistic of the batch.
    count : Variable or None
        The number of elements behind it, if known.
    steps_taken : tuple of Variable or None
        For each of these loops, outermost first, how many steps it took, if it may stop early: one
        number for each step of the loops around it. From there on the value repeats its last step.
    need : Need
        Whether it was needed, if it is in a branch. In the end True or a variable, with as many of
        these axes as it takes, the outermost first.
    entered : Need
        Whether any step might have needed it. In the end True or a scalar.
    """

    value: Variable
    count: Variable | None = None
    steps_taken: tuple[Variable | None, ...] = ()
    need: Need = True
    entered: Need = True

    def variables(self) -> list[Variable]:
        """All of these."""
        known = [v for v in (self.value, self.count, *self.steps_taken) if v is not None]
        return [*known, *variables_in(self.need), *variables_in(self.entered)]

    def mapped(self, function: Callable[[Variable], Variable]) -> Export:
        """The same of what `function` makes of each variable."""
        count = None if self.count is None else function(self.count)
        steps_taken = (None if v is None else function(v) for v in self.steps_taken)
        need = renamed(function)(self.need)
        return Export(function(self.value), count, tuple(steps_taken), need)


class Exported(dict[Statistic, Variable]):
    """The outer variable of each statistic, with its `depth` leading time axes.

    Attributes
    ----------
    exports : dict of Statistic to Export
        The same variables, and what else is computed of each statistic.
    variance_of : dict of Statistic to Statistic
        From the means to the variances of the same elements.
    """

    def __init__(
        self,
        exports: Mapping[Statistic, Export],
        variance_of: Mapping[Statistic, Statistic] | None = None,
    ) -> None:
        super().__init__({statistic: export.value for statistic, export in exports.items()})
        self.exports = dict(exports)
        self.variance_of = dict(variance_of or {})

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """What ties a population of these statistics to their graph, by name."""
        return fingerprints(self)
