"""Native: the batch normalization of the engine's own, as a graph with marks.

Aesara has an op that normalizes by the statistics of the batch (`batch_normalization_train`).
Nobody marks what is inside an op, and left as it is, it would go on using the batch. So it is seen
as a node with a graph inside, like an `OpFromGraph`: one that computes the same, with the mean and
the variance marked. The passes open it like any other, and what they build has its contents in its
place. The node itself stays as it is, and so does the training graph.

The op is recognized by its name, as importing its module warns. PyTensor has none.

Sharp edges: its outputs are the normalized values, the mean, and one over the standard deviation.
The further two, running averages, are refused: population statistics stand in for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

from bnrewrite.graph.engine import Apply, Op, Variable
from bnrewrite.graph.engine import tensor as at
from bnrewrite.graph.marking import mark_moments

_Graph = tuple[Sequence[Variable], Sequence[Variable]]
_written_out: WeakKeyDictionary[Apply, _Graph] = WeakKeyDictionary()
N_OUTPUTS = 3  # without running averages
BATCH_NORM = "batch_norm"  # what its statistics are called if nothing has a name


def is_batch_norm(op: Op) -> bool:
    """Whether `op` normalizes by the statistics of the batch."""
    return type(op).__name__ == "AbstractBatchNormTrain"


def is_batch_norm_derivative(op: Op) -> bool:
    """Whether `op` is a derivative through such statistics."""
    return type(op).__name__ == "AbstractBatchNormTrainGrad"


def written_out(node: Apply) -> _Graph:
    """Inputs and outputs of the graph that `node` stands for: the same as long as it lives."""
    if node not in _written_out:
        inputs = [v.type() for v in node.inputs]
        outputs = _normalized(inputs, node.op.axes)
        kinds = [v.type for v in node.outputs]
        _written_out[node] = (
            inputs,
            [kind.filter_variable(value) for kind, value in zip(kinds, outputs, strict=False)],
        )
    return _written_out[node]


def _normalized(inputs: Sequence[Variable], axes: tuple[int, ...]) -> list[Variable]:
    """What the op computes. Its scale and bias have as many axes as what is normalized."""
    x, scale, bias, epsilon = inputs[:4]

    def like_x(statistic: Variable) -> Variable:
        kept = iter(range(statistic.ndim))
        return statistic.dimshuffle(["x" if a in axes else next(kept) for a in range(x.ndim)])

    mean = x.mean(axis=axes)
    variance = at.square(x - like_x(mean)).mean(axis=axes)
    count = at.constant(1, dtype="int64")
    for a in axes:
        count = count * x.shape[a]
    mean, variance = map(like_x, mark_moments(mean, variance, count, BATCH_NORM))
    factor = 1 / at.sqrt(variance + epsilon.astype(x.dtype))
    return [x * (scale * factor) + (bias - mean * scale * factor), mean, factor]
