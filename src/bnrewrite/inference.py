"""From a training graph to its inference graph: the passes in a row.

Each pass is told where it is done; here they meet. `InferenceGraph` keeps what lasts between them:
the survey of the training graph and the outputs, on top of the estimates and checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bnrewrite.compiled import Compiled
from bnrewrite.estimation.batches import Batches, Extra, names
from bnrewrite.graph.choice import Only, choose, restrict
from bnrewrite.graph.engine import Variable
from bnrewrite.graph.export import export
from bnrewrite.graph.inputs import check_inputs, check_mode, checked_outputs
from bnrewrite.graph.replace import replace
from bnrewrite.graph.statistics import Statistics
from bnrewrite.graph.survey import survey
from bnrewrite.graph.unmarked import warn_of_unmarked
from bnrewrite.population.counts import MinCount
from bnrewrite.population.population import Population
from bnrewrite.population.tallies import Pooling
from bnrewrite.report.decided import all_decided_by


def get_inference_graph(
    inputs: Sequence[Variable],
    batch_outputs: Variable | Sequence[Variable],
    estimation_batches: Batches,
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


class InferenceGraph(Compiled):
    """The inference graph of a training graph, with population statistics that can be changed.

    A function compiled from `outputs`, as by `compile`, computes with the latest population
    statistics, whatever their number of steps. Before there are any, it raises.

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
        The population of the last estimate, or the one assigned since; None if arrays were
        assigned, or a part of one.

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
        self.batch_statistics = Statistics(s for s in marked if s not in chosen)
        restrict(self._scope, chosen)
        super().__init__(inputs, export(self._scope), mode)
        n, decided = len(self._batch_outputs), all_decided_by(self._batch_outputs)
        together = [*self._batch_outputs, *(v for _, v in decided)]
        replaced = replace(self._scope, together, self._stored.values, self._inputs)
        pairs = zip(decided, replaced[n:], strict=True)
        self._deciding = [(name, batch, inference) for (name, batch), inference in pairs]
        self.outputs = replaced[0] if is_single else replaced[:n]
        warn_of_unmarked(self._batch_outputs)

    def __repr__(self) -> str:
        n_outputs, n, left = len(self._batch_outputs), len(self.statistics), self.batch_statistics
        parts = [f"{n_outputs} output{'s' * (n_outputs != 1)}", f"{n} statistic{'s' * (n != 1)}"]
        parts += [f"{len(left)} left to the batch"] * bool(left)
        inputs, rest = ", ".join(names(self._inputs)), ", ".join([*parts, self._state()])
        return f"InferenceGraph({inputs} -> {rest})"

    def _state(self) -> str:
        """Whether there is a population, and what it is the average of."""
        population = self.population
        if population is None:
            return "values assigned" if self._stored.is_known() else "not estimated yet"
        n = population.n_batches
        return f"estimated from {n} batch{'es' * (n != 1)}, pooling={population.pooling!r}"
