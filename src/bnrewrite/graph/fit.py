"""Fit: a population is as long on its own axes as the batch statistics in whose place it is.

Otherwise one of 3 units would be used for data of 1, and the other way round, since an array of
length 1 fits any other. And a statistic that keeps the axis of the examples, as one that was
averaged over time by mistake, would be given to the examples by their position.

The check is one node outside of all loops. It compares numbers (`lengths` finds out which), passes
the value on as a view, and costs a fraction of a microsecond in C. What is computed from the
population outside of a loop still is.

Sharp edges: axes whose length can't be known without the batch statistic are not checked. Backends
that do not run ops have a translation of this one (Numba), or leave it out (JAX): see `translated`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from bnrewrite.graph.engine import Apply, COp, DisconnectedType, Variable
from bnrewrite.graph.engine import tensor as at
from bnrewrite.graph.formulas import AxisAt, Inside
from bnrewrite.graph.lengths import Lengths
from bnrewrite.graph.scope import Scope
from bnrewrite.graph.statistics import Statistic

MESSAGE = (
    "the population of '%s' has shape %s, and this batch needs %s. Use the population of this "
    "graph, and of data like these. If it is the number of examples that differs, the statistic "
    "keeps their axis: average over it, too."
)


def with_checks(
    scope: Scope, values: Mapping[Statistic, Variable], readable: Collection[Variable]
) -> dict[Variable, Variable]:
    """From each of `values` that can be checked to its checked version.

    `readable` are the inputs that the inference graph needs in any case.
    """
    lengths, checked = Lengths(readable), dict[Variable, Variable]()
    for inside, statistic in _places(scope, Inside()):
        variable, value = statistic.variable, values[statistic]
        # What the type of either leaves open; two types that contradict were refused before.
        own = value.type.shape[statistic.depth :]
        wanted = {
            axis: length
            for axis, (known, given) in enumerate(zip(variable.type.shape, own, strict=True))
            if (known is None or given is None)
            and (length := lengths.of(AxisAt(inside, variable, axis))) is not None
        }
        if wanted:
            check = CheckFit(statistic.depth, tuple(wanted))
            checked[value] = check(
                checked.get(value, value), _constant(statistic.name), *wanted.values()
            )
    return checked


def _places(scope: Scope, inside: Inside) -> Iterator[tuple[Inside, Statistic]]:
    for statistic in scope.statistics.values():
        yield inside, statistic
    for inner in scope.scopes.values():
        assert inner.boundary is not None
        yield from _places(inner, inside.enter(inner.boundary))


def _constant(name: str) -> Variable:
    """A name as a variable, so that one compiled check serves all names."""
    return at.constant(np.frombuffer(name.encode(errors="replace") + b"\0", np.uint8))


def name_in(constant: Any) -> str:
    """The name in the value of such a variable."""
    return bytes(constant)[:-1].decode()


class CheckFit(COp):
    """Passes on a value whose lengths after its time axes are as they should be.

    Its inputs are the value, a name for the error, and a length for each axis that is checked:
    one below 0 says nothing.

    Parameters
    ----------
    depth : int
        How many time axes there are.
    axes : tuple of int
        The axes to check, counted from the first after these.
    """

    __props__ = ("depth", "axes")
    view_map = {0: [0]}  # noqa: RUF012
    _f16_ok = True

    def __init__(self, depth: int, axes: tuple[int, ...]) -> None:
        self.depth, self.axes = depth, axes

    def make_node(self, value: Variable, name: Variable, *lengths: Variable) -> Apply:
        """The output has the type of the value."""
        whole = [at.cast(n, "int64") for n in lengths]
        return Apply(self, [value, name, *whole], [value.type()])

    def perform(self, node: Apply, inputs: Any, output_storage: Any) -> None:
        """Compare, and pass on."""
        value, name, *lengths = inputs
        own = value.shape[self.depth :]
        wanted = list(own)
        for axis, n in zip(self.axes, lengths, strict=True):
            wanted[axis] = int(n) if n >= 0 else own[axis]
        if tuple(wanted) != own:
            raise ValueError(MESSAGE % (name_in(name), own, tuple(wanted)))
        output_storage[0][0] = value

    def c_code(self, node: Apply, name: str, inputs: Any, outputs: Any, sub: Any) -> str:
        """The same in C."""
        value, label, *lengths = inputs
        n_axes = node.inputs[0].type.ndim
        own = [f"(long long) PyArray_DIM({value}, {i})" for i in range(self.depth, n_axes)]
        wanted = list(own)
        for axis, n in zip(self.axes, lengths, strict=True):
            length = f"(long long) *(npy_int64*) PyArray_DATA({n})"
            wanted[axis] = f"({length} >= 0 ? {length} : {own[axis]})"
        shape = f"({', '.join('%lld' for _ in own)}{',' * (len(own) == 1)})"
        return f"""
            if ({" || ".join(f"{wanted[axis]} != {own[axis]}" for axis in self.axes)}) {{
                PyErr_Format(PyExc_ValueError, "{MESSAGE % ("%s", shape, shape)}",
                    (char*) PyArray_DATA({label}), {", ".join([*own, *wanted])});
                {sub["fail"]}
            }}
            Py_XDECREF({outputs[0]});
            {outputs[0]} = {value};
            Py_INCREF({value});
        """

    def c_code_cache_version(self) -> tuple[int, ...]:
        """Raise it with each change of the code."""
        return (1,)

    def shapes_of(self, node: Apply, shapes: Any) -> Any:
        """The shape of the value."""
        return [shapes[0]]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """There is no derivative by a length."""
        return [[i == 0] for i in range(len(node.inputs))]

    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> list[Any]:
        """Pass the gradient on."""
        return [cotangents[0], *(DisconnectedType()() for _ in inputs[1:])]

    def pushforward(self, inputs: Any, outputs: Any, tangents: Any) -> list[Any]:
        """Pass the derivative on."""
        return [tangents[0]]
