"""Names: what to call statistics and loops, in every process and for every order of outputs.

Names are labels, behind the names of the loops around. Where they are equal they get numbers: what
is further upstream comes first, and among things that are equally far, a fingerprint decides. So a
name says the same whatever order the outputs of the graph are in.

Sharp edge: layers that are built alike, of parameters that have no names, can't be told apart by
anything but their order. Then there is a warning, which asks for labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import pairwise, repeat
from typing import TypeVar

from bnrewrite.cautions import Indistinguishable, caution
from bnrewrite.graph.engine import Apply, Variable
from bnrewrite.graph.fingerprints import Fingerprints
from bnrewrite.graph.statistics import Path, unique

_Thing = TypeVar("_Thing", Apply, Variable)


class Numbering:
    """Gives out names, each once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._alike, self._same = Fingerprints(), Fingerprints(by_identity=True)
        self._ambiguous: list[str] = []

    def names(
        self,
        things: Iterable[_Thing],
        name_of: Callable[[_Thing], str],
        path: Path,
        order: list[Apply],
    ) -> dict[_Thing, str]:
        """A name for each of some variables, or nodes, of the graph inside `path`.

        `order` has the nodes of that graph, each behind those it needs.
        """
        groups: dict[str, list[_Thing]] = {}
        for thing in things:
            groups.setdefault(name_of(thing), []).append(thing)
        names = {}
        for name in sorted(groups):
            group = groups[name]
            if len(group) > 1:
                group = self._in_order(name, group, path, order)
            names.update({thing: unique(name, self._taken) for thing in group})
        return names

    def _in_order(
        self, name: str, group: list[_Thing], path: Path, order: list[Apply]
    ) -> list[_Thing]:
        levels = _levels(order)
        by_level = {thing: levels.get(_variable(thing), 0) for thing in group}
        abreast = Counter(by_level.values())
        keys = {
            thing: (level, self._alike.of(path, _variable(thing)) if abreast[level] > 1 else "")
            for thing, level in by_level.items()
        }
        group = sorted(group, key=keys.__getitem__)
        if any(keys[a] == keys[b] and self._differ(path, a, b) for a, b in pairwise(group)):
            self._ambiguous.append(name)
        return group

    def warn(self) -> None:
        """Warn of what only its order tells apart, if there is any."""
        if self._ambiguous:
            caution(
                f"the statistics {self._ambiguous} are computed alike at two places, of parameters "
                "that have no names of their own, so that only their order tells them apart. It "
                "can change with the order of the outputs: give labels to the statistics, or "
                "names to the loops or the parameters.",
                Indistinguishable,
            )

    def _differ(self, path: Path, one: _Thing, other: _Thing) -> bool:
        """Whether two things are computed alike, but not of the same inputs and parameters."""
        return self._same.of(path, _variable(one)) != self._same.of(path, _variable(other))


def _variable(thing: Apply | Variable) -> Variable:
    return thing.outputs[0] if isinstance(thing, Apply) else thing


def _levels(order: Iterable[Apply]) -> dict[Variable, int]:
    """How many nodes are on the longest way to each variable."""
    levels: dict[Variable, int] = {}
    for node in order:
        level = 1 + max(map(levels.get, node.inputs, repeat(0)), default=0)
        levels.update(dict.fromkeys(node.outputs, level))
    return levels
