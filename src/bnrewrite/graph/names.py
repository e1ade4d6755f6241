"""Names: what to call statistics and loops, in every process and for every order of outputs.

Names are labels, after the names of the loops around. Where they are equal they get numbers: what
is upstream of others comes first, and among those abreast, what they are made of decides, in words
that both engines share (`ingredients`), and then a fingerprint. So a name says the same whatever
order the outputs of the graph are in.

Sharp edges: where a fingerprint decides, the other engine, or another release, may decide
otherwise. And layers that are built alike, of parameters that have no names, can't be told apart by
anything but their order. Then there is a warning, which asks for labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from itertools import pairwise, repeat
from typing import Any, TypeVar

from bnrewrite.cautions import Indistinguishable, caution
from bnrewrite.graph.engine import Apply, Variable
from bnrewrite.graph.fingerprints import Fingerprints
from bnrewrite.graph.ingredients import ingredients
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

        `order` has the nodes of that graph, each after those it needs.
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
        levels = _levels(group, order)
        abreast = Counter(levels.values())
        keys: dict[_Thing, tuple[Any, ...]] = {}
        for thing, level in levels.items():
            keys[thing] = (level,)
            if abreast[level] > 1:
                keys[thing] += self._made_of(path, _variable(thing))
        group = sorted(group, key=keys.__getitem__)
        if any(keys[a] == keys[b] and self._differ(path, a, b) for a, b in pairwise(group)):
            self._ambiguous.append(name)
        return group

    def _made_of(self, path: Path, variable: Variable) -> tuple[Any, ...]:
        return (*ingredients(path, variable), self._alike.of(path, variable))

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


def _levels(group: Collection[_Thing], order: Iterable[Apply]) -> dict[_Thing, int]:
    """How many of a group are upstream of each of them, one of the other."""
    members: set[Any] = set(group)
    levels: dict[Any, int] = {}
    upstream: dict[Variable, int] = {}
    for node in order:
        level = max(map(upstream.get, node.inputs, repeat(0)), default=0)
        for output in node.outputs:
            here = members.intersection((node, output))
            levels.update(dict.fromkeys(here, level))
            upstream[output] = level + len(here)
    return {thing: levels.get(thing, 0) for thing in group}
