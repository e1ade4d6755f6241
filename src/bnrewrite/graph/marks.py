"""What a batch statistic is: a variable with a mark on it, found again at a place in the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bnrewrite.graph.engine import (
    Apply,
    DisconnectedType,
    Op,
    Scan,
    Variable,
    node_rewriter,
    register_canonicalize,
    register_specialize,
)
from bnrewrite.graph.engine import tensor as at

Path = tuple[Apply, ...]


@dataclass(frozen=True)
class Statistic:
    """A batch statistic at its place in a graph.

    Two statistics are equal if they are the same variable at the same place: a step function that
    is used in two loops gives two statistics.

    Attributes
    ----------
    path : tuple of Apply
        The nodes with an inner graph (loops, and `OpFromGraph`) around the variable, outermost
        first.
    variable : Variable
        The marked variable.
    label : str
        The label it was marked with.
    name : str
        The names of the nodes of `path` and the label, as in ``"encoder/recurrent.mean"``. Unique
        in its graph, and the same in every process that builds the same graph.
    """

    path: Path
    variable: Variable
    label: str = field(compare=False)
    name: str = field(compare=False)

    @property
    def depth(self) -> int:
        """The number of loops around the variable, which is that of its leading time axes."""
        return sum(isinstance(node.op, Scan) for node in self.path)

    def __repr__(self) -> str:
        return f"Statistic({self.name!r}, depth={self.depth}, type={self.variable.type})"


class Moments(NamedTuple):
    """A mean and a variance of the same elements."""

    mean: Statistic
    variance: Statistic


@dataclass(frozen=True)
class Steps:
    """How many steps the while-loop at `path` took, for each step of the loops around it."""

    path: Path


class Exported(dict[Statistic, Variable]):
    """The outer variable of each statistic, with its `depth` leading time axes.

    Attributes
    ----------
    moments : list of Moments
        The means and variances that belong together.
    counts : dict
        The number of elements behind these, where it is known.
    steps : dict
        The number of steps of a while-loop inside other loops, which may differ between steps of
        these. The statistics inside it repeat their last step from there on.
    """

    def __init__(self, values: Mapping[Statistic, Variable]) -> None:
        super().__init__(values)
        self.moments: list[Moments] = []
        self.counts: dict[Moments, Variable] = {}
        self.steps: dict[Path, Variable] = {}


def mark_statistic(variable: Variable, label: str | None = None) -> Variable:
    """Mark a variable as a statistic of the batch, to be replaced by one of the population.

    This sets ``variable.tag.bn_statistic = True`` (and ``variable.tag.bn_label``), which is as good
    when done by hand. It is the one function here that changes a graph of the caller.

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
        `variable` itself. Use what is returned.

    Raises
    ------
    TypeError
        If `variable` is not a floating-point tensor variable.

    Examples
    --------
    >>> import aesara.tensor as at
    >>> from bnrewrite import mark_statistic
    >>> x = at.matrix("x")
    >>> centered = x - mark_statistic(x.mean(axis=0), "mean")
    """
    dtype = str(getattr(getattr(variable, "type", None), "dtype", type(variable).__name__))
    if not isinstance(variable, Variable) or not dtype.startswith("float"):
        raise TypeError(
            f"a batch statistic is a floating-point tensor variable, and {variable} is {dtype}."
        )
    variable.tag.bn_statistic = True
    if label is not None:
        variable.tag.bn_label = label
    return variable


class BatchMoments(Op):  # type: ignore[misc]
    """Ties a variance to its mean and, if known, to the number of elements; changes neither."""

    __props__ = ()
    view_map = {0: [0], 1: [1]}  # noqa: RUF012

    def make_node(self, mean: Variable, variance: Variable, *count: Variable) -> Apply:
        """Outputs have the types of `mean` and `variance`."""
        return Apply(self, [mean, variance, *count], [mean.type(), variance.type()])

    def perform(self, node: Apply, inputs: Any, output_storage: Any) -> None:
        """Pass the moments through."""
        output_storage[0][0], output_storage[1][0] = inputs[:2]

    def infer_shape(self, fgraph: Any, node: Apply, shapes: Any) -> Any:
        """The shapes of the moments."""
        return shapes[:2]

    def connection_pattern(self, node: Apply) -> list[list[bool]]:
        """Each output depends on its own input, and none on the count."""
        return [[True, False], [False, True], [False, False]][: len(node.inputs)]

    def L_op(self, inputs: Any, outputs: Any, gradients: Any) -> list[Any]:
        """Pass the gradients through."""
        return [*gradients, *(DisconnectedType()() for _ in inputs[2:])]

    def R_op(self, inputs: Any, eval_points: Any) -> Any:
        """Pass the derivatives through."""
        return eval_points[:2]


_batch_moments = BatchMoments()


@register_specialize("fast_compile")
@register_canonicalize("fast_compile")
@node_rewriter([BatchMoments])
def drop_batch_moments(fgraph: Any, node: Apply) -> list[Variable]:
    """Compiled functions have no use for the count: training costs no more than without it."""
    return list(node.inputs[:2])


def mark_moments(
    mean: Variable, variance: Variable, count: Any = None, label: str | None = None
) -> tuple[Variable, Variable]:
    """Mark a mean and a variance as two moments of the same elements of the batch.

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
        The same values, carrying the count. Use what is returned.

    Raises
    ------
    TypeError
        If a moment is not a floating-point tensor variable.

    Examples
    --------
    >>> import aesara.tensor as at
    >>> from bnrewrite import mark_moments
    >>> x = at.matrix("x")
    >>> mean, variance = mark_moments(x.mean(axis=0), x.var(axis=0), x.shape[0], "hidden")
    """
    mark_statistic(mean, None if label is None else f"{label}.mean")
    mark_statistic(variance, None if label is None else f"{label}.variance")
    counts = [] if count is None else [at.as_tensor_variable(count)]
    marked_mean, marked_variance = _batch_moments(mean, variance, *counts)
    return marked_mean, marked_variance


def is_marked(variable: Variable) -> bool:
    """Whether `variable` carries a mark that is not false."""
    return bool(getattr(variable.tag, "bn_statistic", False))


def label_of(variable: Variable) -> str:
    """The label of a marked variable: the one given, else its name, else ``"statistic"``."""
    return str(getattr(variable.tag, "bn_label", None) or variable.name or "statistic")
