"""Sources: what an estimator has to compute, and where each statistic is among it.

Of a statistic in a branch nothing is computed for a batch that did not take it, if that is known
without a loop having to run: such a batch may be one on which the branch would fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bnrewrite.graph.engine import Variable, ifelse
from bnrewrite.graph.engine import tensor as at
from bnrewrite.graph.exported import Export, Exported
from bnrewrite.graph.needs import Need, renamed
from bnrewrite.graph.statistics import Statistic, loops_of, place


@dataclass(frozen=True)
class Source:
    """Where one statistic is, among the values that the estimator returns.

    Attributes
    ----------
    index : int
        The place of its value.
    name, dtype : str
        Of the statistic.
    loops : tuple of str
        The places of the loops around it, one for each time axis.
    taken : tuple of int or None
        For each of these, where the number of steps is that it took, if it may stop early.
    count : int or None
        Where the number of elements is, if known.
    need : int or None
        Where it is said whether it was needed, if it is in a branch.
    entered : int or None
        Where it is said whether any step might have needed it.
    """

    index: int
    name: str
    dtype: str
    loops: tuple[str, ...]
    taken: tuple[int | None, ...]
    count: int | None
    need: int | None
    entered: int | None

    @property
    def depth(self) -> int:
        """The number of time axes."""
        return len(self.loops)


def sources(exported: Exported) -> tuple[list[Variable], list[Source]]:
    """What an estimator has to compute, and where each statistic is among it."""
    exports = {s: _if_entered(export) for s, export in exported.exports.items()}
    variables = list(dict.fromkeys(v for e in exports.values() for v in e.variables()))
    index: dict[Need | None, int] = {v: i for i, v in enumerate(variables)}
    return variables, [_source(s, export, index) for s, export in exports.items()]


def _if_entered(export: Export) -> Export:
    """Compute nothing of a statistic if no step can have needed it."""
    entered = export.entered
    if not isinstance(entered, Variable):
        return export

    def lazily(variable: Variable) -> Variable:
        kind = variable.type
        nothing = at.zeros([n or 0 for n in kind.shape], dtype=kind.dtype)
        value: Variable = ifelse(entered, variable, nothing)
        return value

    need = export.need if export.need is entered else renamed(lazily)(export.need)
    return replace(export.mapped(lazily), need=need, entered=entered)


def _source(statistic: Statistic, export: Export, index: Mapping[Need | None, int]) -> Source:
    return Source(
        index=index[export.value],
        name=statistic.name,
        dtype=str(statistic.variable.dtype),
        loops=tuple(place(path) for path in loops_of(statistic.path)),
        taken=tuple(index.get(v) for v in export.taken) or (None,) * statistic.depth,
        count=index.get(export.count),
        need=index.get(export.need),
        entered=index.get(export.entered),
    )
