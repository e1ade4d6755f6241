"""Marking: the functions that put marks into a training graph, for users to call.

They return new variables and change none. A variable that is marked already gets a new mark in the
place of the old one, so that one value is not two statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bnrewrite.cautions import shown
from bnrewrite.graph.engine import TensorType, Variable
from bnrewrite.graph.engine import tensor as at
from bnrewrite.graph.marks import Mark, label_of
from bnrewrite.graph.nearby import remember


def mark_statistic(variable: Variable, label: str | None = None) -> Variable:
    """Mark a variable as a statistic of the batch; use what is returned.

    The returned variable has the same value. Whatever reads it will read the statistic of the
    population in the inference graph; what reads `variable` itself will not.

    Setting ``variable.tag.bn_statistic = True`` (and ``variable.tag.bn_label``) marks too, with one
    limit: outside of loops, a derivative through such a statistic can't be recognized.

    Parameters
    ----------
    variable : Variable
        A mean, a variance or whatever else is computed from a whole batch, of a floating-point
        dtype and any number of axes.
    label : str, optional
        Its name in errors, files and pictures; by default that of the variable.

    Returns
    -------
    Variable
        The marked value. Marking it once more gives it another label.

    Raises
    ------
    TypeError
        If `variable` is not a floating-point tensor variable, or `label` no text.

    Examples
    --------
    >>> import pytensor.tensor as pt
    >>> from bnrewrite import mark_statistic
    >>> x = pt.matrix("x")
    >>> mean = mark_statistic(x.mean(axis=0), "mean")
    >>> centered = x - mean
    """
    _check_statistic(variable)
    _check_label(label)
    (marked,) = _mark([variable], [label], [])
    return marked


def mark_moments(
    mean: Variable, variance: Variable, count: Any = None, label: str | None = None
) -> tuple[Variable, Variable]:
    """Mark a mean and a variance as moments of the same elements; use what is returned.

    What this adds to two calls of `mark_statistic` is that the estimate knows how many elements are
    behind them: steps with none do not count, and ``pooling="moments"`` is exact.

    Parameters
    ----------
    mean, variance : Variable
        The mean, and the mean squared distance from it (divided by `count`, not `count` - 1).
    count : int or Variable, optional
        How many elements were averaged: a scalar, or anything that broadcasts against `mean`. It
        may be symbolic and differ from step to step, as the sum of a mask does. Without it, batches
        weigh the same.
    label : str, optional
        The statistics are labelled ``"<label>.mean"`` and ``"<label>.variance"``.

    Returns
    -------
    mean, variance : Variable
        The marked values.

    Raises
    ------
    TypeError
        If a moment is not a floating-point tensor variable, or `count` no number or tensor.
    ValueError
        If both are the same variable or have different axes, or `count` has more axes than they.

    Examples
    --------
    >>> import pytensor.tensor as pt
    >>> from bnrewrite import mark_moments
    >>> x = pt.matrix("x")
    >>> mean, variance = mark_moments(x.mean(axis=0), x.var(axis=0), x.shape[0], "hidden")
    """
    for moment in (mean, variance):
        _check_statistic(moment)
    _check_label(label)
    if _unmarked(mean) is _unmarked(variance):
        raise ValueError(f"mean and variance are the same variable, {mean}.")
    if mean.ndim != variance.ndim:
        raise ValueError(
            f"mean and variance are of the same elements, and have {mean.ndim} and {variance.ndim} "
            "axes."
        )
    labels = [None, None] if label is None else [f"{label}.mean", f"{label}.variance"]
    counts = [] if count is None else [_as_count(count, mean.ndim)]
    marked_mean, marked_variance = _mark([mean, variance], labels, counts)
    return marked_mean, marked_variance


def _as_count(count: Any, ndim: int) -> Variable:
    try:
        variable = at.as_tensor_variable(count)
        is_number = str(variable.dtype).startswith(("int", "uint", "float", "bool"))
    except Exception:  # whatever the engine raises for what it can't convert
        is_number = False
    if not is_number:
        raise TypeError(
            "count is the number of elements, as a number or a tensor variable, got "
            f"{shown(count)}."
        )
    if variable.ndim > ndim:
        raise ValueError(f"count has {variable.ndim} axes, and the mean only {ndim}.")
    return variable


def _check_statistic(value: Any) -> None:
    kind = getattr(value, "type", None)
    dtype = str(getattr(kind, "dtype", type(value).__name__))
    if not isinstance(kind, TensorType) or not dtype.startswith("float"):
        text = " ".join(str(value).split())[:60]
        what = dtype if kind is None or isinstance(kind, TensorType) else f"of type {kind}"
        raise TypeError(
            f"a batch statistic is a floating-point tensor variable, and {text} is {what}."
        )


def _check_label(label: Any) -> None:
    if label is not None and not isinstance(label, str):
        raise TypeError(f"a label is text, got {shown(label)}.")


def _mark(
    values: Sequence[Variable], labels: Sequence[str | None], counts: Sequence[Variable]
) -> list[Variable]:
    mark = Mark(*(label or label_of(v) for label, v in zip(labels, values, strict=True)))
    marked: list[Variable] = mark(*map(_unmarked, values), *counts, return_list=True)
    remember(marked[0].owner)
    for new, old in zip(marked, values, strict=True):
        new.name = old.name
    return marked


def _unmarked(variable: Variable) -> Variable:
    """What a mark passes on as `variable`; other variables as they are."""
    node = variable.owner
    return node.inputs[variable.index] if node and isinstance(node.op, Mark) else variable
