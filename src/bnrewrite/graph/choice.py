"""Choice: which statistics are meant, said by names, by patterns or by a function.

A statistic that is not chosen is no statistic for the passes: the graph goes on computing it from
the batch at hand. The survey is restricted, and what is not in it is neither exported nor replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase

from bnrewrite.graph.scope import Scope
from bnrewrite.graph.statistics import Statistic

Only = str | Iterable[str] | Callable[[Statistic], bool] | None


def choose(statistics: Iterable[Statistic], only: Only) -> list[Statistic]:
    """Those of `statistics` that `only` means; all of them if it is None.

    Parameters
    ----------
    statistics : iterable of Statistic
    only : str, iterable of str, callable or None
        Names, patterns such as ``"encoder/*"`` (``*``, ``?`` and ``[...]`` as in file names), or a
        function that says of a `Statistic` whether it is meant.

    Raises
    ------
    ValueError
        If a name or pattern fits no statistic, or none is left.
    TypeError
        If `only` is none of these.
    """
    statistics = list(statistics)
    if only is None:
        return statistics
    if callable(only):
        chosen = [s for s in statistics if only(s)]
    else:
        patterns = _patterns(only)
        unknown = [p for p in patterns if not any(fits(s.name, p) for s in statistics)]
        if unknown:
            names = [s.name for s in statistics]
            raise ValueError(f"only={unknown} fits none of the statistics, which are {names}.")
        chosen = [s for s in statistics if any(fits(s.name, p) for p in patterns)]
    if not chosen:
        raise ValueError(f"only={only!r} leaves no statistic of {[s.name for s in statistics]}.")
    return chosen


def fits(name: str, pattern: str) -> bool:
    """Whether a name is that of a pattern, or fits it."""
    return name == pattern or fnmatchcase(name, pattern)


def _patterns(only: str | Iterable[str]) -> list[str]:
    patterns = [only] if isinstance(only, str) else list(only) if isinstance(only, Iterable) else []
    if not patterns or not all(isinstance(p, str) for p in patterns):
        raise TypeError(
            "only must be a name or pattern, several of them, or a function of a statistic, got "
            f"{only!r}."
        )
    return patterns


def restrict(scope: Scope, chosen: Iterable[Statistic]) -> None:
    """Leave in a survey what was chosen."""
    chosen = set(chosen)
    scope.statistics = {v: s for v, s in scope.statistics.items() if s in chosen}
    scope.marks = [n for n in scope.marks if not scope.statistics.keys().isdisjoint(n.outputs)]
    for inside in scope.scopes.values():
        restrict(inside, chosen)
