"""Verify: check that an example's outputs do not depend on the rest of its batch.

Two looks that know nothing of each other. The structure: no batch statistic of the training graph
is left in the inference graph, at any depth. The data: the outputs of an example stay the same when
all other examples change, and when it is alone. The second finds what the first can't know of: a
statistic that was never marked.

Sharp edge: an output without an axis of examples, such as a mean cost, can't be checked by data.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnrewrite.graph.engine import Variable, ancestors, graph_inputs
from bnrewrite.graph.marks import is_marked, label_of
from bnrewrite.graph.scope import Scope
from bnrewrite.graph.statistics import Path, Statistic, name_of
from bnrewrite.report.batch_axes import Axes, BatchAxes, Values
from bnrewrite.report.gap import Comparison, compute

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


def verify_batch(
    comparison: Comparison,
    values: Values,
    axes: Axes | None,
    longest: Lengths,
    lengths_of: Callable[[Values], Lengths],
) -> list[str]:
    """Check the rows of a batch of `values`, and of longer ones; say what was checked.

    `longest` has the greatest numbers of steps of the estimate, and `lengths_of` gives those of a
    batch.
    """
    batch_axes = BatchAxes(comparison.inputs, values, axes)
    predict, labels = comparison.inference, comparison.labels
    checked = verify_rows(predict, labels, values, batch_axes, "the batch")
    done = [f"examples of {checked}"]
    for longer, steps in lengthened(values, batch_axes, lengths_of, longest):
        what = f"a batch of {steps} steps"
        verify_rows(predict, labels, longer, batch_axes, what)
        done.append(what)
    return done


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
        together = compute(predict, values, what)
        changed = compute(predict, repeated, f"{what}, with example {example} in all places")
        alone = compute(predict, axes.take(values, [example]), f"example {example} alone of {what}")
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
    except Exception:  # whatever the engine raises: such axes can't be longer by themselves
        return False


def _extended(values: Values, axes: BatchAxes, steps: Mapping[int, int]) -> Values:
    """Repeat the last step of the axes of these lengths until they are as long as wanted."""
    longer = list(values)
    for i, axis, n in axes.others(values):
        if n in steps:
            longer[i] = longer[i].take(np.minimum(np.arange(steps[n]), n - 1), axis=axis)
    return longer
