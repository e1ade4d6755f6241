"""Needs: the answer to whether a value was needed, as a choice by the conditions of branches.

A `Need` is always (True), never (False), a choice by a condition between two needs, or a variable
that says it. Choices are made in one order, that of conditions, outer ones first; there is none
between two equal needs; and equal choices are one object. So needs that agree whatever the
conditions are the same need, and one that does not depend on a condition does not mention it
(Bryant 1986).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

from bnrewrite.graph.engine import Variable
from bnrewrite.graph.engine import tensor as at

Order = tuple[int, int]


class Choice:
    """One need if a condition is true, and another if not. Made by `choice`.

    Attributes
    ----------
    order : tuple of int
        The number of nodes around the condition, and one that no other condition has.
    condition : Variable
        Of the training graph.
    then, otherwise : Need
        Not the same. Choices among them come later in order.
    """

    def __init__(self, order: Order, condition: Variable, then: Need, otherwise: Need) -> None:
        self.order, self.condition, self.then, self.otherwise = order, condition, then, otherwise


Need: TypeAlias = bool | Choice | Variable
_choices: WeakValueDictionary[tuple[object, ...], Choice] = WeakValueDictionary()


def choice(order: Order, condition: Variable, then: Need, otherwise: Need) -> Need:
    """The one choice between these needs."""
    if then is otherwise:
        return then
    key = (order, id(condition), id(then), id(otherwise))
    made = _choices.get(key)
    if made is None:
        made = _choices[key] = Choice(order, condition, then, otherwise)
    return made


def either(a: Need, b: Need) -> Need:
    """Needed for one or the other. Before conditions have become variables."""
    return _Combined(True)(a, b)


def both(a: Need, b: Need) -> Need:
    """Needed if the one and the other are. Before conditions have become variables."""
    return _Combined(False)(a, b)


class _Combined:
    """Combine needs where one that is `decisive` decides."""

    def __init__(self, decisive: bool) -> None:
        self._decisive = decisive
        self._done: dict[tuple[Need, Need], Need] = {}

    def __call__(self, a: Need, b: Need) -> Need:
        if a is b or b is (not self._decisive):
            return a
        if a is (not self._decisive):
            return b
        if a is self._decisive or b is self._decisive:
            return self._decisive
        if (a, b) not in self._done:
            self._done[a, b] = self._combined(a, b)
        return self._done[a, b]

    def _combined(self, a: Need, b: Need) -> Need:
        first = min((n for n in (a, b) if isinstance(n, Choice)), key=lambda n: n.order)
        sides = []
        for side in ("then", "otherwise"):
            given = [
                getattr(n, side) if isinstance(n, Choice) and n.order == first.order else n
                for n in (a, b)
            ]
            sides.append(self(*given))
        return choice(first.order, first.condition, *sides)


class Changed:
    """A change of needs: a function of choices that ends where it is not None, and of variables.

    What it makes of one need it makes of it again: equal needs stay one object.
    """

    def __init__(
        self,
        of_variable: Callable[[Variable], Need],
        of_choice: Callable[[Choice, Need, Need], Need],
    ) -> None:
        self._of_variable, self._of_choice = of_variable, of_choice
        self._done: dict[Need, Need] = {}

    def __call__(self, need: Need) -> Need:
        """The need that `need` becomes, from its ends upwards."""
        if isinstance(need, bool):
            return need
        if need not in self._done:
            if isinstance(need, Choice):
                changed = self._of_choice(need, self(need.then), self(need.otherwise))
            else:
                changed = self._of_variable(need)
            self._done[need] = changed
        return self._done[need]


def wherever(depth: int) -> Changed:
    """What can be told of a need outside of `depth` nodes: true if it might be."""

    def of_choice(old: Choice, then: Need, otherwise: Need) -> Need:
        return old.order[0] >= depth or choice(old.order, old.condition, then, otherwise)

    return Changed(lambda _: True, of_choice)


def answers(depth: int, value_of: Callable[[Variable], Variable]) -> Changed:
    """Variables in the place of choices by conditions within `depth` nodes or more."""

    def of_choice(old: Choice, then: Need, otherwise: Need) -> Need:
        if old.order[0] < depth:
            return choice(old.order, old.condition, then, otherwise)
        return _chosen(value_of(old.condition), then, otherwise)

    return Changed(lambda v: v, of_choice)


def _chosen(condition: Variable, *sides: Any) -> Variable:
    """The answer that is right under a condition; time axes come first, and one may have more."""
    answers = [at.constant(n, dtype="bool") if isinstance(n, bool) else n for n in sides]
    ndim = max(v.ndim for v in answers)
    answer: Variable = at.switch(
        at.neq(condition, 0), *(at.shape_padright(v, ndim - v.ndim) for v in answers)
    )
    return answer


def renamed(function: Callable[[Variable], Variable]) -> Changed:
    """The same needs of other variables."""
    return Changed(function, lambda old, *sides: choice(old.order, old.condition, *sides))


def variables_in(need: Need) -> list[Variable]:
    """The variables that `need` is known by."""
    found: dict[Variable, None] = {}
    renamed(lambda v: found.setdefault(v) or v)(need)
    return list(found)
