"""Find every marked variable that some outputs need, at any depth of loops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

from bnrewrite.graph.engine import Apply, Constant, OpFromGraph, Variable
from bnrewrite.graph.hooks import was_compiled_in_place
from bnrewrite.graph.loops import LoopBoundary, is_derivative, is_loop
from bnrewrite.graph.marks import BatchMoments, Moments, Path, Statistic, is_marked, label_of
from bnrewrite.graph.rebuild import topological_order


@dataclass
class Scope:
    """A graph, the outer one or one inside a node, as far as the outputs surveyed need it.

    Attributes
    ----------
    path : tuple of Apply
        The nodes around it.
    outputs : list of Variable
        Its own outputs, as far as they are needed.
    needed : set of Variable
        They, and all variables they are computed from.
    statistics : dict
        The marked ones among these (not those of `scopes`).
    moments : dict
        The `BatchMoments` nodes that tie two of these.
    scopes : dict
        The graphs inside nodes that hold statistics, or inputs that nothing needs: these nodes
        have to be built anew.
    """

    path: Path
    outputs: list[Variable] = field(default_factory=list)
    needed: set[Variable] = field(default_factory=set)
    statistics: dict[Variable, Statistic] = field(default_factory=dict)
    moments: dict[Moments, Apply] = field(default_factory=dict)
    scopes: dict[Apply, Scope] = field(default_factory=dict)

    def all_statistics(self) -> Iterator[Statistic]:
        """The statistics of this graph and of those inside it, in order of computation."""
        yield from self.statistics.values()
        for scope in self.scopes.values():
            yield from scope.all_statistics()

    def all_moments(self) -> Iterator[Moments]:
        """The means and variances that belong together, of this graph and of those inside it."""
        yield from self.moments
        for scope in self.scopes.values():
            yield from scope.all_moments()


def survey(outputs: Sequence[Variable]) -> Scope:
    """Find the statistics that `outputs` need.

    Raises
    ------
    ValueError
        If there is none, or one on an inner input of a loop, or if a loop computes a derivative,
        or if noise is drawn that can't be made fresh for each batch.
    TypeError
        If a marked variable is not a floating-point tensor.
    RuntimeError
        If Aesara has rewritten the inside of a nested loop, where marks may have been.
    """
    scope = Scope(path=())
    _demand(scope, outputs)
    scope.outputs.extend(dict.fromkeys(outputs))
    _drop_finished_scopes(scope)
    _name_statistics(scope, "", set())
    if next(scope.all_statistics(), None) is None:
        raise ValueError(
            "there is no marked statistic in the graph of the outputs. Mark the means and "
            "variances of the batch while building it, with `mark_statistic(x)` or "
            "`x.tag.bn_statistic = True`, on variables that the outputs are computed from."
        )
    return scope


class _OpFromGraphBoundary:
    """Which inner and outer variables of an `OpFromGraph` belong together."""

    always_inside: tuple[Variable, ...] = ()
    always_outside: tuple[Variable, ...] = ()

    def __init__(self, node: Apply) -> None:
        self._node = node
        self._outer = dict(zip(node.op.inner_inputs, node.inputs, strict=True))

    def inside(self, output: Variable) -> list[Variable]:
        return [self._node.op.inner_outputs[output.index]]

    def outside(self, output: Variable) -> list[Variable]:
        return []

    def behind(self, inner_input: Variable) -> list[Variable]:
        return [self._outer[inner_input]]


_Boundary = LoopBoundary | _OpFromGraphBoundary


def _boundary(node: Apply) -> _Boundary | None:
    if is_loop(node):
        return LoopBoundary(node)
    return _OpFromGraphBoundary(node) if isinstance(node.op, OpFromGraph) else None


def _demand(scope: Scope, variables: Iterable[Variable]) -> list[Variable]:
    """Extend `scope` by what `variables` need; return the inputs among this.

    Each variable is visited once: a state of a loop that is needed needs what the body returns for
    it, which may need further states.
    """
    inputs = []
    todo = list(variables)[::-1]
    while todo:
        variable = todo.pop()
        if variable in scope.needed:
            continue
        scope.needed.add(variable)
        if variable.owner is None:
            inputs.append(variable)
            continue
        _check_noise(variable.owner, scope.path)
        if (boundary := _boundary(variable.owner)) is None:
            todo.extend(reversed(variable.owner.inputs))
        else:
            todo.extend(reversed(_demand_inside(scope, variable, boundary)))
    return inputs


def _check_noise(node: Apply, path: Path) -> None:
    # By name, as importing its deprecated module warns.
    if type(node.op).__name__ == "mrg_uniform":
        raise ValueError(
            f"{place(path)} draws noise from an MRG_RandomStream, which every batch of an estimate "
            "would draw alike. Use `aesara.tensor.random.RandomStream` instead."
        )


def _demand_inside(scope: Scope, output: Variable, boundary: _Boundary) -> list[Variable]:
    """What `output`, of a node with a graph inside, needs in the graph of `scope`."""
    if is_derivative(output.owner):
        # Its body computes the batch statistics again, and Aesara drops marks when it makes it.
        raise ValueError(
            f"loop {place((*scope.path, output.owner))!r} computes a derivative of the training "
            "graph, statistics of the batch included. Leave derivatives out of the outputs, and "
            "take gradients of the inference graph instead."
        )
    inside = scope.scopes.setdefault(output.owner, Scope((*scope.path, output.owner)))
    wanted = [*boundary.always_inside, *boundary.inside(output)]
    inside.outputs.extend(v for v in wanted if v not in inside.outputs)
    inputs = [v for v in _demand(inside, wanted) if not isinstance(v, Constant)]
    behind = [outer for inner in inputs for outer in boundary.behind(inner)]
    return [*boundary.always_outside, *boundary.outside(output), *behind]


def _drop_finished_scopes(scope: Scope) -> None:
    """Drop the scopes without statistics, unless something in front of them is not needed."""
    for node, inside in list(scope.scopes.items()):
        if was_compiled_in_place(node.op):
            raise RuntimeError(
                f"Aesara has compiled the inside of loop {place(inside.path)!r} in place, and "
                "marks in it may be gone. This happens to nested loops that are compiled before "
                "bnrewrite is imported: import it first, and build the graph again."
            )
        _drop_finished_scopes(inside)
        is_whole = scope.needed.issuperset(node.inputs)
        if is_whole and not inside.scopes and not any(map(is_marked, inside.needed)):
            del scope.scopes[node]


def _name_statistics(scope: Scope, prefix: str, taken: set[str]) -> None:
    """List the statistics of `scope` and of those inside, each with a name not `taken`."""
    for variable in filter(is_marked, _in_order(scope)):
        _check_statistic(variable, scope.path)
        name = _unique(prefix + label_of(variable), taken)
        scope.statistics[variable] = Statistic(scope.path, variable, label_of(variable), name)
    for node in topological_order(scope.outputs, (), scope.needed):
        if isinstance(node.op, BatchMoments):
            mean, variance = (scope.statistics.get(v) for v in node.inputs[:2])
            if mean is not None and variance is not None:
                scope.moments[Moments(mean, variance)] = node
        if node in scope.scopes:
            inside = scope.scopes[node]
            _name_statistics(inside, _unique(prefix + _name_of(node) + "/", taken), taken)


def _in_order(scope: Scope) -> Iterator[Variable]:
    """The needed variables, inputs first, each behind those it is computed from."""
    nodes = topological_order(scope.outputs, (), scope.needed)
    yield from dict.fromkeys(
        v for v in [*scope.outputs, *(v for n in nodes for v in n.inputs)] if v.owner is None
    )
    yield from (v for node in nodes for v in node.outputs if v in scope.needed)


def _check_statistic(variable: Variable, path: Path) -> None:
    where = f"{place(path)}/{label_of(variable)}"
    if path and variable.owner is None:
        raise ValueError(
            f"the mark on {where!r} is on an input of the body of a loop, which all loops share. "
            "Mark the variable where it is computed, or a copy of it (`mark_statistic(x.copy())`)."
        )
    if not str(getattr(variable.type, "dtype", "")).startswith("float"):
        raise TypeError(
            f"the statistic {where!r} is of type {variable.type}; only floating-point tensors can "
            "be averaged. Mark a variable cast to floating point."
        )


def _unique(name: str, taken: set[str]) -> str:
    stem, slash = (name[:-1], "/") if name.endswith("/") else (name, "")
    candidates = (f"{stem}_{i}{slash}" for i in count(2))
    unique = name if name not in taken else next(c for c in candidates if c not in taken)
    taken.add(unique)
    return unique


def _name_of(node: Apply) -> str:
    return str(getattr(node.op, "name", None) or type(node.op).__name__)


def place(path: Path) -> str:
    """The names of the nodes of `path`, outermost first."""
    return "/".join(_name_of(node) for node in path) or "outer graph"
