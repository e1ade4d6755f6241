"""A batch statistic: which variable, and where.

A place is given by the nodes with an inner graph around it, and not by their ops: two loops with
equal bodies have equal ops, and the inputs of their bodies are the very same variables. So whatever
is known of a statistic is kept by path *and* variable, and never by the variable alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from bnrewrite.graph.engine import Apply, Scan, Variable
from bnrewrite.tables import html_table

Path = tuple[Apply, ...]


@dataclass(frozen=True)
class Statistic:
    """A batch statistic at its place in a graph.

    Two statistics are equal if they are the same variable at the same place: a step function that
    is used in two loops gives two statistics.

    Attributes
    ----------
    path : tuple of Apply
        The nodes with an inner graph (loops, and `OpFromGraph`) around the variable, outermost
        first.
    variable : Variable
        The marked variable.
    label : str
        The label it was marked with.
    name : str
        The names of the nodes of `path` and the label, as in ``"encoder/recurrent.mean"``. Unique
        in its graph, and the same in every process that builds the same graph.
    """

    path: Path
    variable: Variable
    label: str = field(compare=False)
    name: str = field(compare=False)

    @property
    def depth(self) -> int:
        """The number of loops around the variable, which is that of its leading time axes."""
        return len(loops_of(self.path))

    def __repr__(self) -> str:
        return f"Statistic({self.name!r}, depth={self.depth}, type={self.variable.type})"


class Statistics(tuple[Statistic, ...]):
    """Statistics of a graph: a tuple that notebooks show as a table."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        rows = [[s.name, str(s.depth), str(s.variable.type)] for s in self]
        return html_table([["statistic", "depth", "type"], *rows])


def loops_of(path: Path) -> list[Path]:
    """The paths that end in the loops of `path`, outermost first."""
    return [path[: i + 1] for i, node in enumerate(path) if isinstance(node.op, Scan)]


def name_of(node: Apply) -> str:
    """What to call a node with an inner graph."""
    return str(getattr(node.op, "name", None) or type(node.op).__name__)


def where(path: Path) -> str:
    """The names of the nodes of `path`, outermost first."""
    return "/".join(name_of(node) for node in path) or "outer graph"


def is_numbered(statistic: Statistic) -> bool:
    """Whether a number in its name tells a statistic, or a loop around it, from others."""
    return statistic.name != "/".join([*map(name_of, statistic.path), statistic.label])


def unique(name: str, taken: set[str]) -> str:
    """`name`, or the first of ``name_2``, ``name_3`` and so on that is not `taken`; now it is."""
    stem, slash = (name[:-1], "/") if name.endswith("/") else (name, "")
    candidates = (f"{stem}_{i}{slash}" for i in count(2))
    found = name if name not in taken else next(c for c in candidates if c not in taken)
    taken.add(found)
    return found
