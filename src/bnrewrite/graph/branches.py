"""Branches: under which conditions a statistic is computed at all.

`ifelse` computes one of its branches and leaves the other. A statistic in a branch is one of those
batches, and of those steps of a loop, that took the branch. To export it is to compute it for all,
and what comes out for the others is no statistic: it may be anything, NaN too. So a statistic
leaves its loops together with the answer to whether it was needed (`needs`).

Needs are followed from the outputs upwards. What several nodes read is needed when one of them
needs it. What both branches need is needed always.

Sharp edges
-----------
- A condition inside a loop says nothing outside: what a loop is given is needed if any of its steps
  might need it. A state too: who needs a late step needs the ones before.
- A loop, or an `OpFromGraph`, without statistics inside needs all that it is given.
- `switch` is no branch: it computes both of its sides.
"""

from __future__ import annotations

from collections import defaultdict
from functools import reduce
from itertools import count

from bnrewrite.graph.boundaries import OpBoundary
from bnrewrite.graph.engine import Apply, IfElse, Variable
from bnrewrite.graph.needs import Need, Order, both, choice, either, wherever
from bnrewrite.graph.scope import Scope
from bnrewrite.graph.statistics import Path, Statistic

_Needs = defaultdict[Variable, Need]


def needs_of(scope: Scope) -> dict[Statistic, Need]:
    """When each statistic of `scope` and of the scopes inside is needed; left out if always."""
    if not _has_branches(scope):
        return {}
    follow = _Follow()
    follow(scope, _nothing() | dict.fromkeys(scope.outputs, True))
    return {s: need for s, need in follow.found.items() if need is not True}


def _has_branches(scope: Scope) -> bool:
    return any(isinstance(node.op, IfElse) for node in scope.order) or any(
        map(_has_branches, scope.scopes.values())
    )


def _nothing() -> _Needs:
    return defaultdict(bool)


class _Follow:
    """Follow needs from outputs upwards; what is `found` of statistics is kept."""

    def __init__(self) -> None:
        self.found: dict[Statistic, Need] = {}
        self._orders: dict[tuple[Path, Variable], Order] = {}
        self._numbers = count()

    def __call__(self, scope: Scope, needs: _Needs) -> None:
        """Add to the `needs` of outputs of `scope` those of all that they need."""
        for node in reversed(scope.order):
            of_node = reduce(either, (needs[v] for v in node.outputs))
            if isinstance(node.op, IfElse):
                self._through_branches(scope, node, of_node, needs)
            elif node in scope.scopes:
                self._through_boundary(scope.scopes[node], of_node, needs)
            else:
                _add(needs, node.inputs, of_node)
            if node in scope.marks:  # its statistics are estimated together
                needs.update(dict.fromkeys(node.outputs, of_node))
        self.found.update({s: needs[v] for v, s in scope.statistics.items()})

    def _through_branches(self, scope: Scope, node: Apply, of_node: Need, needs: _Needs) -> None:
        condition, *values = node.inputs
        _add(needs, [condition], of_node)
        key = (scope.path, condition)
        if key not in self._orders:
            self._orders[key] = (len(scope.path), next(self._numbers))
        order, half = self._orders[key], len(values) // 2
        _add(needs, values[:half], both(of_node, choice(order, condition, True, False)))
        _add(needs, values[half:], both(of_node, choice(order, condition, False, True)))

    def _through_boundary(self, inside: Scope, of_node: Need, needs: _Needs) -> None:
        boundary, node = inside.boundary, inside.path[-1]
        assert boundary is not None
        outputs = _nothing()
        _add(outputs, boundary.always_inside, of_node)
        _add(needs, boundary.always_outside, of_node)
        for output in node.outputs:
            _add(outputs, boundary.inside(output), needs[output])
            _add(needs, boundary.outside(output), needs[output])
        given = self._until_states_are_known(inside, boundary, outputs)
        for variable, need in given.items():
            _add(needs, boundary.fed_by(variable)[:1], need)

    def _until_states_are_known(
        self, inside: Scope, boundary: OpBoundary, outputs: _Needs
    ) -> dict[Variable, Need]:
        """When the inputs inside are needed. A state that is read adds to the needed `outputs`."""
        outside = wherever(len(inside.path))
        before = None
        while outputs != before:
            before, inner = outputs.copy(), outputs.copy()
            self(inside, inner)
            given = {v: outside(inner[v]) for v in boundary.inner_inputs}
            for variable, need in given.items():
                for state in boundary.fed_by(variable)[1:]:
                    _add(outputs, boundary.inside(state), need)
        return given


def _add(needs: _Needs, variables: list[Variable], need: Need) -> None:
    for variable in variables:
        needs[variable] = either(needs[variable], need)
