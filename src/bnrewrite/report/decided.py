"""Decided: the numbers that classes and comparisons are computed from.

That the class of each example is the same in another batch proves little, as it takes much to
change one. So `verify` also compares the numbers that outputs which are no real numbers were
decided by.
"""

from __future__ import annotations

from collections.abc import Sequence

from bnrewrite.graph.boundaries import boundary_of
from bnrewrite.graph.engine import Constant, Shape, Shape_i, TensorType, Variable


def decided_by(output: Variable) -> list[Variable]:
    """The nearest real numbers that an output of whole numbers is computed from, outside of loops.

    None for an output of real numbers, and none of the inputs, which are what they are.
    """
    found: dict[Variable, None] = {}
    todo, seen = [output], set[Variable]()
    while todo:
        variable = todo.pop()
        node = variable.owner
        if variable in seen or node is None:
            continue
        seen.add(variable)
        if is_real(variable):
            found[variable] = None
        elif not isinstance(node.op, Shape | Shape_i) and boundary_of(node) is None:
            todo += [v for v in node.inputs if not isinstance(v, Constant)]
    found.pop(output, None)
    return list(found)


def is_real(variable: Variable) -> bool:
    """Whether a variable is of real or complex numbers."""
    kind = variable.type
    return isinstance(kind, TensorType) and kind.dtype.startswith(("float", "complex"))


def all_decided_by(outputs: Sequence[Variable]) -> list[tuple[str, Variable]]:
    """The same of several outputs, without these, each with what to call it."""
    named = {
        variable: f"what decides {output.name or f'output {i}'}"
        for i, output in reversed(list(enumerate(outputs)))
        for variable in decided_by(output)
    }
    return [(name, variable) for variable, name in named.items() if variable not in outputs]
