"""The engine: all that bnrewrite takes from Aesara or PyTensor, in one place.

Nothing else in the library imports either. PyTensor is the living successor of Aesara; they can't
share an environment, so the version of Python decides: Aesara up to 3.11, PyTensor from 3.12 on.
What is the same in both has one name here. What differs is in `on_aesara` and `on_pytensor`, which
define the same names, and is otherwise written once, in the manner of PyTensor:

- An op gives its derivatives by `pullback` and `pushforward` (in Aesara `L_op` and `R_op`), and the
  shapes of its outputs by `shapes_of`.
- PyTensor freezes the graphs inside of ops. Equal ones share their nodes, which can't be built on,
  and whose variables have lost names and tags. `inner_graph` gives a graph to work on.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

if sys.version_info < (3, 12):
    from bnrewrite.graph.on_aesara import *
    from bnrewrite.graph.on_aesara import Apply, Variable, function, get_mode, graph_inputs, tensor
else:
    from bnrewrite.graph.on_pytensor import *
    from bnrewrite.graph.on_pytensor import (
        Apply,
        Variable,
        function,
        get_mode,
        graph_inputs,
        tensor,
    )


def function_without_updates(
    inputs: Sequence[Variable], outputs: Sequence[Any], givens: Any = (), mode: Any = None
) -> Any:
    """Compile a function that leaves all shared variables as they are."""
    given = dict(givens)
    variables = [getattr(v, "variable", v) for v in outputs]
    moving = [v for v in graph_inputs(variables) if getattr(v, "default_update", None) is not None]
    return function(
        list(inputs),
        list(outputs),
        givens=given,
        updates=[(v, v) for v in moving if v not in given],
        on_unused_input="ignore",
        mode=mode,
    )


def computes_lazily(mode: Any) -> bool:
    """Whether the branches of an `ifelse` may differ in shape, as those of JAX may not."""
    return type(get_mode(mode).linker).__name__ != "JAXLinker"


def lengths_of_inputs(
    node: Apply,
) -> tuple[list[tuple[Variable, ...]], dict[Variable, tuple[Variable, int]]]:
    """Numbers in the place of the lengths of what `node` is computed from, for `infer_shape`.

    And the input and axis that each stands for. An axis that is known to have length 1 may be
    broadcast, and any other may not: so the engine asks for a constant there, which stands for
    none.
    """
    one = tensor.constant(1, dtype="int64")
    shapes: list[tuple[Variable, ...]] = []
    places: dict[Variable, tuple[Variable, int]] = {}
    for variable in node.inputs:
        known = getattr(variable.type, "shape", ())
        shapes.append(tuple(one if n == 1 else tensor.lscalar() for n in known))
        places |= {n: (variable, axis) for axis, n in enumerate(shapes[-1]) if n is not one}
    return shapes, places
