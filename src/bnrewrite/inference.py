"""From a training graph to its inference graph: the passes in a row.

Each pass is told where it is done; here they meet. `InferenceGraph` holds what lasts between them:
the survey of the training graph and the outputs, on top of the estimates (`Estimates`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from bnrewrite.estimation.batches import Batch, in_order
from bnrewrite.estimation.estimates import Estimates
from bnrewrite.estimation.turns import in_turn
from bnrewrite.graph.engine import Variable
from bnrewrite.graph.export import export
from bnrewrite.graph.inputs import check_inputs
from bnrewrite.graph.replace import replace
from bnrewrite.graph.survey import survey
from bnrewrite.population.population import Population
from bnrewrite.population.tallies import Pooling
from bnrewrite.report.gap import Comparison, gap_table
from bnrewrite.report.verify import verify_batch, verify_structure


def get_inference_graph(
    inputs: Sequence[Variable],
    batch_outputs: Variable | Sequence[Variable],
    estimation_batches: Iterable[Batch],
    *,
    pooling: Pooling = "edge",
    min_coverage: int = 0,
    mode: Any = None,
    progress: bool = False,
    resume: Population | None = None,
) -> Variable | list[Variable]:
    """Build the graph that predicts with population statistics, estimated from batches.

    Parameters
    ----------
    inputs, batch_outputs, mode
        As for `InferenceGraph`.
    estimation_batches, pooling, min_coverage, progress, resume
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
        progress=progress,
        resume=resume,
    )
    return graph.outputs


class InferenceGraph(Estimates):
    """The inference graph of a training graph, with population statistics that can be changed.

    A function compiled from `outputs` computes with the latest population statistics, whatever
    their number of steps. Before there are any, it raises.

    Threads may share a graph: a call of `estimate`, `estimate_shards`, `assign`, `verify` or `gap`
    waits until no other thread is in one. Functions that you compile are yours: no two threads
    may be in one at a time, and one that runs while another thread assigns may read values of both.

    Parameters
    ----------
    inputs : sequence of Variable
        The inputs that `batch_outputs` are computed from.
    batch_outputs : Variable or sequence of Variable
        Outputs of the training graph, whose batch statistics are marked. Updates of random streams
        in loops can be among them.
    mode : str or Mode, optional
        How to compile the function that estimates, as for the engine's `function`.

    Attributes
    ----------
    statistics : tuple of Statistic
        The marked statistics that the outputs need, in order of computation.
    outputs : Variable or list of Variable
        What `batch_outputs` become.
    population : Population or None
        The population statistics of the last estimate, or those assigned since.

    Raises
    ------
    ValueError
        If no statistic is found, one can't be replaced, or `inputs` do not cover the graph.
    TypeError
        If an input or output is not a variable, or a statistic not a floating-point tensor.
    RuntimeError
        If the engine has compiled a nested loop in place, so that marks may be gone.

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
        mode: Any = None,
    ) -> None:
        is_single = isinstance(batch_outputs, Variable)
        self._batch_outputs = [batch_outputs] if is_single else list(batch_outputs)
        check_inputs(inputs, self._batch_outputs)
        self._scope = survey(self._batch_outputs)
        super().__init__(inputs, export(self._scope), mode)
        outputs = replace(self._scope, self._batch_outputs, self._stored.values)
        self.outputs: Variable | list[Variable] = outputs[0] if is_single else outputs

    @cached_property
    def _comparison(self) -> Comparison:
        return Comparison(self._inputs, self._batch_outputs, self._output_list(), self._mode)

    def _output_list(self) -> list[Variable]:
        return [self.outputs] if isinstance(self.outputs, Variable) else self.outputs

    @in_turn
    def verify(self, batch: Batch | None = None, batch_axes: Any = None) -> list[str]:
        """Check that an example's outputs do not depend on the rest of its batch.

        Without a batch, the graph is searched: no batch statistic may be left, and the outputs must
        read every population statistic. With one, the outputs of an example must not change when
        all others do, nor when it is alone, for as many steps as the longest batch of the estimate
        had, and for one more.

        Parameters
        ----------
        batch : batch, optional
            Of two examples or more that are not the same. Time axes are found by making axes of
            equal length longer, so their length should not be that of others.
        batch_axes : dict or tuple, optional
            In the form of a batch, the axis of the examples for each input, None where there is
            none. By default the one whose size all inputs have once.

        Returns
        -------
        list of str
            What was checked. An output without an axis of examples, as a mean cost, can't be.

        Raises
        ------
        RuntimeError
            If the graph is not one of inference, does not run, or has no population yet.
        ValueError
            If the batch does not allow the check, or there is no output to check.
        """
        verify_structure(self._output_list(), self._scope, self._stored.variables)
        if batch is None:
            return ["structure"]
        values = [np.asarray(value) for value in in_order(batch, self._inputs, "the batch")]
        axes = None if batch_axes is None else in_order(batch_axes, self._inputs, "batch_axes")
        longest, lengths_of = self._stored.lengths(), self._estimator.lengths
        return ["structure", *verify_batch(self._comparison, values, axes, longest, lengths_of)]

    @in_turn
    def gap(self, batch: Batch) -> None:
        """Print how far the outputs with population statistics are from those with `batch`'s own.

        For each output, the root mean square of the training graph's, that of the difference, their
        quotient, and the greatest difference.
        """
        values = in_order(batch, self._inputs, "the batch")
        both = self._comparison
        print(gap_table(both.labels, both.batch(*values), both.inference(*values)))
