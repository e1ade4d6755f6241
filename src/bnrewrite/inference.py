"""From a training graph to its inference graph: the passes in a row.

Each pass is told where it is done; here they meet. `InferenceGraph` holds what lasts between them:
the survey of the training graph and the outputs, on top of the estimates (`Estimates`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from bnrewrite.cautions import NotChecked, caution
from bnrewrite.estimation.batches import Batch, Extra, in_order
from bnrewrite.estimation.estimates import Estimates
from bnrewrite.estimation.turns import in_turn
from bnrewrite.graph.choice import Only, choose, restrict
from bnrewrite.graph.engine import Variable
from bnrewrite.graph.export import export
from bnrewrite.graph.inputs import check_inputs, check_mode, checked_outputs
from bnrewrite.graph.replace import replace
from bnrewrite.graph.survey import survey
from bnrewrite.graph.unmarked import warn_of_unmarked
from bnrewrite.population.counts import MinCount
from bnrewrite.population.population import Population
from bnrewrite.population.tallies import Pooling
from bnrewrite.report.batch_axes import as_values
from bnrewrite.report.comparison import Comparison
from bnrewrite.report.gap import Gap, gap_of
from bnrewrite.report.structure import verify_structure
from bnrewrite.report.verification import Verification, structure_alone
from bnrewrite.report.verify import verify_batch


def get_inference_graph(
    inputs: Sequence[Variable],
    batch_outputs: Variable | Sequence[Variable],
    estimation_batches: Iterable[Batch],
    *,
    pooling: Pooling = "edge",
    min_coverage: int = 0,
    min_count: MinCount = "auto",
    mode: Any = None,
    progress: bool = False,
    extra: Extra = "raise",
    resume: Population | None = None,
) -> Variable | list[Variable]:
    """Build the graph that predicts with population statistics, estimated from batches.

    Parameters
    ----------
    inputs, batch_outputs, mode
        As for `InferenceGraph`.
    estimation_batches, pooling, min_coverage, min_count, progress, extra, resume
        As for `InferenceGraph.estimate`.

    Returns
    -------
    Variable or list of Variable
        What `batch_outputs` become, as one variable or as a list. They read the same inputs and
        parameters; `batch_outputs` themselves stay as they are.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        If there is no correct inference graph, or no estimate.

    Examples
    --------
    >>> import pytensor, pytensor.tensor as pt, numpy as np
    >>> from bnrewrite import get_inference_graph, mark_statistic
    >>> x = pt.dmatrix("x")
    >>> y = x - mark_statistic(x.mean(axis=0), "mean")
    >>> y = get_inference_graph([x], y, [{"x": np.zeros((2, 1))}, {"x": np.ones((3, 1))}])
    >>> pytensor.function([x], y, mode="FAST_COMPILE")(np.ones((1, 1)))
    array([[0.5]])
    """
    graph = InferenceGraph(inputs, batch_outputs, mode=mode)
    graph.estimate(
        estimation_batches,
        pooling=pooling,
        min_coverage=min_coverage,
        min_count=min_count,
        progress=progress,
        extra=extra,
        resume=resume,
    )
    return graph.outputs


class InferenceGraph(Estimates):
    """The inference graph of a training graph, with population statistics that can be changed.

    A function compiled from `outputs` computes with the latest population statistics, whatever
    their number of steps. Before there are any, it raises.

    Parameters
    ----------
    inputs : sequence of Variable
        The inputs that `batch_outputs` are computed from.
    batch_outputs : Variable or sequence of Variable
        Outputs of the training graph, whose batch statistics are marked. Updates of random streams
        in loops can be among them.
    only : str, iterable of str, or callable, optional
        Which statistics become population statistics: names, patterns such as ``"encoder/*"``, or a
        function that says it of a `Statistic`. The others stay those of the batch at hand.
    mode : str or Mode, optional
        How to compile the function that estimates, as for the engine's `function`.

    Attributes
    ----------
    statistics : tuple of Statistic
        The marked statistics that the outputs need, in order of computation.
    batch_statistics : tuple of Statistic
        Those that are left out by `only`.
    outputs : Variable or list of Variable
        What `batch_outputs` become.
    population : Population or None
        The population statistics of the last estimate, or those assigned since.

    Raises
    ------
    ValueError
        If no statistic is found, one can't be replaced, `inputs` do not cover the graph, or the
        outputs read a shared variable whose default update is computed from batch statistics.
    TypeError
        If an input or output is not a variable, or a statistic not a floating-point tensor.
    RuntimeError
        If the engine has compiled a nested loop in place, so that marks may be gone.

    Warns
    -----
    UnmarkedStatistic
        If the graph has sums over examples that look like statistics whose mark was forgotten.

    Examples
    --------
    >>> import pytensor, pytensor.tensor as pt, numpy as np
    >>> from bnrewrite import InferenceGraph, mark_statistic
    >>> x = pt.dmatrix("x")
    >>> graph = InferenceGraph([x], x - mark_statistic(x.mean(axis=0), "mean"))
    >>> predict = pytensor.function([x], graph.outputs, mode="FAST_COMPILE")
    >>> population = graph.estimate([{"x": np.zeros((2, 1))}, {"x": np.ones((3, 1))}])
    >>> predict(np.ones((1, 1)))
    array([[0.5]])
    """

    def __init__(
        self,
        inputs: Sequence[Variable],
        batch_outputs: Variable | Sequence[Variable],
        *,
        only: Only = None,
        mode: Any = None,
    ) -> None:
        is_single = isinstance(batch_outputs, Variable)
        self._batch_outputs = checked_outputs(batch_outputs, "batch_outputs")
        check_inputs(inputs, self._batch_outputs)
        check_mode(mode)
        self._scope = survey(self._batch_outputs)
        marked = list(self._scope.all_statistics())
        chosen = choose(marked, only)
        self.batch_statistics = tuple(s for s in marked if s not in chosen)
        restrict(self._scope, chosen)
        super().__init__(inputs, export(self._scope), mode)
        outputs = replace(self._scope, self._batch_outputs, self._stored.values)
        self.outputs: Variable | list[Variable] = outputs[0] if is_single else outputs
        warn_of_unmarked(self._batch_outputs)

    @cached_property
    def _comparison(self) -> Comparison:
        return Comparison(self._inputs, self._batch_outputs, self._output_list(), self._mode)

    def _output_list(self) -> list[Variable]:
        return [self.outputs] if isinstance(self.outputs, Variable) else self.outputs

    @in_turn
    def verify(
        self, batch: Batch | None = None, batch_axes: Any = None, *, extra: Extra = "raise"
    ) -> Verification:
        """Check that an example's outputs do not depend on the rest of its batch.

        Without a batch, the graph is searched: no batch statistic may be left, and the outputs must
        depend on the population statistics. With one, the outputs of its examples are compared with
        those in other batches that are made of them: with other examples beside them, alone, in
        another order, and with more steps than any batch of the estimate had.

        Parameters
        ----------
        batch : batch, optional
            Of two examples or more that are not the same.
        batch_axes : dict or tuple, optional
            In the form of a batch, the axis of the examples for each input, None where there is
            none. By default it is found from the graph, as the axis that the marked statistics
            reduce, or else the one whose size all inputs have once.
        extra : {"raise", "ignore"}
            As for `estimate`.

        Returns
        -------
        Verification
            What was checked of each output, and what was not, and why. It prints as a table, and is
            true if all was checked.

        Raises
        ------
        RuntimeError
            If the graph is not one of inference, does not run, or has no population yet.
        ValueError
            If the batch does not allow the check, or there is no output to check.

        Warns
        -----
        NotChecked
            If there is a batch, and anything could not be checked with it.
        """
        outputs = self._output_list()
        values_of, left = self._stored.variables, self.batch_statistics
        verify_structure(self._scope, self._batch_outputs, outputs, values_of, left)
        comparison = self._comparison
        if batch is None:
            return structure_alone(comparison.labels, "there was no batch to compute.")
        if left:
            reason = f"these were left on purpose: {[s.name for s in left]}."
            caution(f"examples depend on their batch: {reason}", NotChecked)
            return structure_alone(comparison.labels, reason)
        values = as_values(self._inputs, in_order(batch, self._inputs, "the batch", extra))
        axes = None if batch_axes is None else in_order(batch_axes, self._inputs, "batch_axes")
        longest, lengths_of = self._stored.lengths(), self._estimator.lengths
        return verify_batch(self._scope, comparison, values, axes, longest, lengths_of)

    @in_turn
    def gap(self, batch: Batch, *, extra: Extra = "raise") -> Gap:
        """How far the outputs with population statistics are from those with `batch`'s own.

        Returns
        -------
        Gap
            It prints as a table. For each output: the root mean square of the training graph's,
            that of the difference, their quotient, and the greatest difference.
        """
        return gap_of(self._comparison, in_order(batch, self._inputs, "the batch", extra))
