"""Scope: what the passes know of the training graph, from one look at it.

`survey` fills it in; `export`, `replace` and the structural check read it and change nothing.
Whatever they have to agree on is in here: which variables are statistics, what is needed for them,
and in which order the nodes can be rebuilt. A scope has those of the graphs inside, so that a
pass over it is one recursion.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from bnrewrite.graph.boundaries import OpBoundary
from bnrewrite.graph.engine import Apply, Variable
from bnrewrite.graph.statistics import Path, Statistic


@dataclass
class Scope:
    """A graph, the outer one or one inside a node, as far as the outputs surveyed need it.

    Attributes
    ----------
    path : tuple of Apply
        The nodes around it.
    boundary : OpBoundary or None
        The way out of it; None for the outer graph.
    outputs : list of Variable
        Its own outputs, as far as they are needed.
    needed : set of Variable
        They, and all variables they are computed from.
    order : list of Apply
        The nodes that compute these, each after those it needs.
    statistics : dict
        The marked ones among these (not those of `scopes`).
    scopes : dict
        The graphs inside the nodes that have to be built anew: those with statistics inside, or
        with an input that nothing needs.
    marks : list of Apply
        The marks, each with one or two of these statistics.
    tagged : list of Variable
        The variables that are marked by a tag alone.
    """

    path: Path = ()
    boundary: OpBoundary | None = None
    outputs: list[Variable] = field(default_factory=list)
    needed: set[Variable] = field(default_factory=set)
    order: list[Apply] = field(default_factory=list)
    statistics: dict[Variable, Statistic] = field(default_factory=dict)
    scopes: dict[Apply, Scope] = field(default_factory=dict)
    marks: list[Apply] = field(default_factory=list)
    tagged: list[Variable] = field(default_factory=list)

    def all_statistics(self) -> Iterator[Statistic]:
        """The statistics of this graph and of those inside it, in order of computation."""
        yield from self.statistics.values()
        for scope in self.scopes.values():
            yield from scope.all_statistics()
