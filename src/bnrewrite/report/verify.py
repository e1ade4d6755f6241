"""Prove of an inference graph that no example of a batch has a say in another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnrewrite.estimation.batches import names
from bnrewrite.graph.engine import Variable, ancestors, graph_inputs
from bnrewrite.graph.marks import is_marked, label_of
from bnrewrite.graph.statistics import Path, Statistic, name_of
from bnrewrite.graph.survey import Scope

Values = list[NDArray[Any]]
Axes = list[int | None]
Predict = Callable[..., Values]
Lengths = Mapping[str, tuple[int, ...]]


def verify_structure(
    outputs: Sequence[Variable], scope: Scope, values: Mapping[Statistic, Variable]
) -> None:
    """Refuse a graph with a batch statistic of `scope` in it, or without a population statistic."""
    statistics = list(scope.all_statistics())
    left = sorted(set(_batch_statistics(outputs, {s.variable for s in statistics}, ())))
    if left:
        raise RuntimeError(f"batch statistics are left in the inference graph: {left}.")
    read = set(graph_inputs(outputs))
    unread = [s.name for s in statistics if values[s] not in read]
    if unread:
        raise RuntimeError(f"population statistics that the outputs do not depend on: {unread}.")


def _batch_statistics(
    outputs: Sequence[Variable], known: Collection[Variable], path: Path
) -> Iterator[str]:
    """The places of marked or `known` variables at any depth."""
    for variable in ancestors(outputs):
        if is_marked(variable) or variable in known:
            yield "/".join([*map(name_of, path), label_of(variable)])
        node = variable.owner
        if node and variable is node.outputs[0] and hasattr(node.op, "fgraph"):
            yield from _batch_statistics(node.op.fgraph.outputs, known, (*path, node))


class BatchAxes:
    """Which axis of each input is that of the examples; None for an input without one."""

    def __init__(self, inputs: Sequence[Variable], values: Values, axes: Axes | None) -> None:
        axes = _guess(inputs, values) if axes is None else axes
        self._axes = [None if a is None else a % v.ndim for v, a in zip(values, axes, strict=True)]
        sizes = {v.shape[a] for v, a in zip(values, self._axes, strict=True) if a is not None}
        if len(sizes) != 1 or min(sizes) < 2:
            raise ValueError(
                f"the axes of the examples have sizes {sorted(sizes)}, for batch_axes "
                f"{dict(zip(names(inputs), self._axes, strict=True))}. They must be one size, of "
                "two examples or more."
            )
        (self.n_examples,) = sizes

    def take(self, values: Values, examples: Sequence[int]) -> Values:
        """The batch made of some `examples` of another."""
        return [
            value if axis is None else value.take(examples, axis=axis)
            for value, axis in zip(values, self._axes, strict=True)
        ]

    def others(self, values: Values) -> Iterator[tuple[int, int, int]]:
        """Each axis that is not one of examples: place of the input, of the axis, and its size."""
        for i, (value, batch_axis) in enumerate(zip(values, self._axes, strict=True)):
            yield from ((i, a, n) for a, n in enumerate(value.shape) if a != batch_axis)


def _guess(inputs: Sequence[Variable], values: Values) -> Axes:
    """The axes of the one size that every input has once."""
    shapes = [value.shape for value in values if value.ndim]
    sizes = [n for n in set(sum(shapes, ())) if all(shape.count(n) == 1 for shape in shapes)]
    if len(sizes) != 1:
        shown = dict(zip(names(inputs), (value.shape for value in values), strict=True))
        raise ValueError(
            f"it can't be told which axes of the inputs, of shapes {shown}, are those of the "
            'examples. Say so with batch_axes, as in {"x": 1, "mask": 1, "rate": None}, or give a '
            "batch with a number of examples that is the size of no other axis."
        )
    return [value.shape.index(sizes[0]) if value.ndim else None for value in values]


def verify_rows(
    predict: Predict, labels: Sequence[str], values: Values, axes: BatchAxes, what: str
) -> list[str]:
    """Refuse outputs of an example that change when the others do; name those that were checked."""
    checked: dict[str, None] = {}
    for example in (0, axes.n_examples - 1):
        # Repeating one example is a change of all others that every model can read.
        repeated = axes.take(values, [example] * axes.n_examples)
        if all(np.array_equal(a, b) for a, b in zip(values, repeated, strict=True)):
            raise ValueError("all examples of the batch are the same, which shows nothing.")
        together = _run(predict, values, what)
        changed = _run(predict, repeated, f"{what}, with example {example} in all places")
        alone = _run(predict, axes.take(values, [example]), f"example {example} alone of {what}")
        for label, a, b, one in zip(labels, together, changed, alone, strict=True):
            axis = _axis_of_examples(a, one)
            if axis is not None:
                _refuse_difference(label, a.take(example, axis), b.take(example, axis), example)
                checked[label] = None
    if not checked:
        raise ValueError(
            f"none of {labels} has an axis of examples. Make an InferenceGraph of outputs for each "
            "example, such as predictions, to check them."
        )
    return list(checked)


def _run(predict: Predict, values: Values, what: str) -> Values:
    try:
        return predict(*values)
    except Exception as error:
        raise RuntimeError(f"the outputs can't be computed for {what}. {error}") from error


def _axis_of_examples(batch: NDArray[Any], alone: NDArray[Any]) -> int | None:
    """The axis that has size 1 if an example is alone; None if there is none."""
    differs = [axis for axis in range(batch.ndim) if batch.shape[axis] != alone.shape[axis]]
    return differs[0] if len(differs) == 1 else None


def _refuse_difference(label: str, a: NDArray[Any], b: NDArray[Any], example: int) -> None:
    eps = np.finfo(a.dtype).eps if np.issubdtype(a.dtype, np.floating) else 0
    tolerance = np.sqrt(eps)
    if not np.allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(a).max(initial=0)):
        difference = np.abs(np.subtract(a, b, dtype=np.float64)).max()
        raise RuntimeError(
            f"{label} of example {example} changes by up to {difference:.3g} when the other "
            "examples of its batch do. A statistic of the batch that is not marked, or another "
            "sum over examples, is in the graph: mark it with `mark_statistic`."
        )


def lengthened(
    values: Values,
    axes: BatchAxes,
    lengths_of: Callable[[Values], Lengths],
    longest: Lengths,
) -> Iterator[tuple[Values, list[int]]]:
    """The batch with as many steps as the longest seen, and with one more, on all time axes.

    An axis is one of time if the training graph takes other numbers of steps when it is longer.
    """
    lengths = lengths_of(values)
    targets: dict[int, int] = {}
    for name, shape in lengths.items():
        for n, known in zip(shape, longest[name], strict=True):
            targets[n] = max(targets.get(n, n), known)
    targets = {n: t for n, t in targets.items() if _is_time(values, axes, n, lengths_of, lengths)}
    for more in (0, 1) if targets else ():
        steps = {n: target + more for n, target in targets.items()}
        yield _extended(values, axes, steps), sorted(steps.values())


def _is_time(
    values: Values,
    axes: BatchAxes,
    n: int,
    lengths_of: Callable[[Values], Lengths],
    lengths: Lengths,
) -> bool:
    try:
        return lengths_of(_extended(values, axes, {n: n + 1})) != lengths
    except Exception:  # Whatever Aesara raises: axes of this length can't be longer by themselves.
        return False


def _extended(values: Values, axes: BatchAxes, steps: Mapping[int, int]) -> Values:
    """Repeat the last step of the axes of these lengths until they are as long as wanted."""
    longer = list(values)
    for i, axis, n in axes.others(values):
        if n in steps:
            longer[i] = longer[i].take(np.minimum(np.arange(steps[n]), n - 1), axis=axis)
    return longer
