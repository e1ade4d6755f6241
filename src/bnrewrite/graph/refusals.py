"""Refusals: what can't be in a graph that is surveyed, said before anything is built.

Each names the path of loops to it, the cause and the way out. What is refused would otherwise keep
statistics of the batch, or estimate something else, without a word.

Sharp edge: ops with another op inside (`core_op`) are not opened. They may be in a graph as long as
there are no marks in them, and nothing else that is refused.
"""

from __future__ import annotations

from bnrewrite.graph.engine import Op
from bnrewrite.graph.marks import Mark, StatisticDerivative, has_marks
from bnrewrite.graph.native import is_batch_norm_derivative
from bnrewrite.graph.statistics import Path, name_of, where

# An op by its name, as importing its deprecated module warns.
_SAME_NOISE = "mrg_uniform"


def check_op(op: Op, path: Path) -> None:
    """Refuse an op without a graph inside that can't be in an inference graph."""
    if isinstance(op, StatisticDerivative) or is_batch_norm_derivative(op):
        labels = op.labels if isinstance(op, StatisticDerivative) else [type(op).__name__]
        raise ValueError(
            f"{'/'.join([*map(name_of, path), *labels])!r}: the outputs need a derivative of the "
            "training graph, through statistics of the batch. Leave derivatives out of the "
            "outputs, and take derivatives of the inference graph."
        )
    if type(op).__name__ == _SAME_NOISE:
        raise ValueError(
            f"{where(path)} draws noise from an MRG_RandomStream, which every batch of an estimate "
            "would draw alike. Use `aesara.tensor.random.RandomStream` instead."
        )
    if hasattr(op, "core_op"):
        check_closed(op, op.core_op, path)


def check_closed(op: Op, inside: Op, path: Path) -> None:
    """Refuse an op with marks in the graph of the op `inside`, where they can't be reached."""
    check_op(inside, path)
    if isinstance(inside, Mark) or has_marks(inside):
        name = str(getattr(inside, "name", None) or type(inside).__name__)
        raise ValueError(
            f"{'/'.join([*map(name_of, path), name])!r} is inside an op of type "
            f"{type(op).__name__}, where its statistics can't be reached: only `Scan` and "
            "`OpFromGraph` are opened. If a loop was vectorized, vectorize the inference graph "
            "instead."
        )
