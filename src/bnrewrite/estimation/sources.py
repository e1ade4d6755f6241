"""Sources: what an estimator has to compute, and where each statistic is among it.

Of a statistic in a branch nothing is computed for a batch that did not take it, if that is known
without a loop having to run: such a batch may be one on which the branch would fail. (Numba
computes what several branches share, and JAX all of them.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bnrewrite.graph.engine import Variable, computes_lazily, ifelse
from bnrewrite.graph.engine import tensor as at
from bnrewrite.graph.exported import Export, Exported
from bnrewrite.graph.needs import Need
from bnrewrite.graph.statistics import Statistic, loops_of, where


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
    steps_taken : tuple of int or None
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
    steps_taken: tuple[int | None, ...]
    count: int | None
    need: int | None
    entered: int | None

    @property
    def depth(self) -> int:
        """The number of time axes."""
        return len(self.loops)


def sources(exported: Exported, mode: Any) -> tuple[list[Variable], list[Source]]:
    """What an estimator has to compute, and where each statistic is among it."""
    exports = exported.exports
    if computes_lazily(mode):
        exports = _only_if_entered(exports)
    variables = list(dict.fromkeys(v for e in exports.values() for v in e.variables()))
    index: dict[Need | None, int] = {v: i for i, v in enumerate(variables)}
    return variables, [_source(s, export, index) for s, export in exports.items()]


def _only_if_entered(exports: Mapping[Statistic, Export]) -> dict[Statistic, Export]:
    """Compute nothing of statistics that no step can have needed: by one `ifelse` for a branch."""
    inside: dict[Need, dict[Variable, Variable]] = {}
    for export in exports.values():
        if isinstance(entered := export.entered, Variable):
            inside.setdefault(entered, {}).update({v: v for v in export.variables()})
    for entered, variables in inside.items():
        variables.pop(entered)
        nothing = [at.zeros([n or 0 for n in v.type.shape], dtype=v.dtype) for v in variables]
        inside[entered] = dict(zip(variables, ifelse(entered, [*variables], nothing), strict=True))

    def lazily(export: Export) -> Export:
        lazy = inside.get(export.entered, {})
        return replace(export.mapped(lambda v: lazy.get(v, v)), entered=export.entered)

    return {statistic: lazily(export) for statistic, export in exports.items()}


def _source(statistic: Statistic, export: Export, index: Mapping[Need | None, int]) -> Source:
    return Source(
        index=index[export.value],
        name=statistic.name,
        dtype=str(statistic.variable.dtype),
        loops=tuple(where(path) for path in loops_of(statistic.path)),
        steps_taken=tuple(index.get(v) for v in export.steps_taken) or (None,) * statistic.depth,
        count=index.get(export.count),
        need=index.get(export.need),
        entered=index.get(export.entered),
    )
