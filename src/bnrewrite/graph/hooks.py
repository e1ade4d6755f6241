"""Keep Aesara's compiler out of the caller's graphs, and marks from falling off.

Two holes in Aesara 2.9.4 would lose batch statistics without a word. Both are closed when
`bnrewrite` is imported, which therefore has to happen before the first function is compiled:

* Compiling a function clones its loops, but a clone shares the loops nested in it, and these
  are rewritten in place: marks vanish from the caller's own graph. Clones are made deep here.
* A mark on an input of a loop's step is dropped, because `Scan` makes inner inputs of its own.
  Building such a loop is an error here.

`was_compiled_in_place` recognizes a loop that has been through the first one all the same.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from copy import copy
from typing import Any

from bnrewrite.graph.engine import Op, OpFromGraph, Scan, Variable
from bnrewrite.graph.marks import is_marked, label_of


def _clone_with_nested_graphs(op: Any) -> Any:
    """Clone an op with an inner graph, and every op with an inner graph inside it."""
    clone = copy(op)
    clone.fgraph, _ = op.fgraph.clone_get_equiv(clone_inner_graphs=True)
    return clone


def _refuse_marked_inputs(inputs: Sequence[Variable], loop_name: str | None) -> None:
    for variable in inputs:
        if is_marked(variable):
            raise ValueError(
                f"the mark on {label_of(variable)!r} would be lost: it is an input of the step of "
                f"loop {loop_name or 'scan_fn'!r}, and Scan makes inner inputs of its own. Mark the"
                " variable where it is computed, outside the loop, or mark a copy of it "
                "(`mark_statistic(x.copy())`) inside."
            )


def isolate() -> None:
    """Close both holes, once."""
    if Scan.clone is _clone_with_nested_graphs:
        return
    Scan.clone = OpFromGraph.clone = _clone_with_nested_graphs
    init = Scan.__init__

    @functools.wraps(init)
    def checked_init(self: Any, inputs: Any, *args: Any, **kwargs: Any) -> None:
        _refuse_marked_inputs(inputs, kwargs.get("name"))
        init(self, inputs, *args, **kwargs)

    Scan.__init__ = checked_init


def was_compiled_in_place(op: Op) -> bool:
    """Whether Aesara has rewritten the inner graph of this very `op` for execution."""
    return isinstance(op, Scan) and getattr(op, "_fn", None) is not None
