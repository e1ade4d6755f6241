"""Translated: the check of a population's shape in backends that do not run the code of our ops.

Numba gets it as a function to compile, which says the same. Others, such as JAX, whose functions
can't raise, go without.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from bnrewrite.graph.engine import Apply, GraphRewriter, ReplaceValidate, runs_ops, teach_numba
from bnrewrite.graph.fit import MESSAGE, CheckFit, name_in


class TranslateChecks(GraphRewriter):  # type: ignore[misc]
    """Let other backends have the check in their own words, or leave it out."""

    def add_requirements(self, fgraph: Any) -> None:
        """Nodes have to be replaced."""
        fgraph.attach_feature(ReplaceValidate())

    def apply(self, fgraph: Any) -> None:
        """Change nothing if ops are run, or Numba compiles `fgraph`."""
        if runs_ops(fgraph) or teach_numba(fgraph, CheckFit, _in_numba):
            return
        for node in fgraph.toposort():
            if isinstance(node.op, CheckFit):
                fgraph.replace(node.outputs[0], node.inputs[0], reason="leave_out_checks")


def _in_numba(op: CheckFit, node: Apply) -> tuple[Any, str]:
    """The check as a function that Numba can compile, and a key that tells it from others."""
    depth, axes, n_axes = op.depth, op.axes, node.inputs[0].type.ndim - op.depth
    name = name_in(node.inputs[1].data)
    begin, between, end = (MESSAGE % (name.replace("\1", "?"), "\1", "\1")).split("\1")
    closing = ",)" if n_axes == 1 else ")"

    def check_fit(value: Any, label: Any, *lengths: Any) -> Any:
        fits = True
        for i in range(len(lengths)):
            n = lengths[i].item()
            fits &= n < 0 or value.shape[depth + axes[i]] == n
        if not fits:
            own, wanted = "(", "("
            for axis in range(n_axes):
                length = value.shape[depth + axis]
                own += (", " if axis else "") + str(length)
                for i in range(len(lengths)):
                    if axes[i] == axis and lengths[i].item() >= 0:
                        length = lengths[i].item()
                wanted += (", " if axis else "") + str(length)
            raise ValueError(begin + own + closing + between + wanted + closing + end)
        return value

    return check_fit, sha256(repr((name, depth, axes, n_axes)).encode()).hexdigest()
