"""From a training graph to its inference graph: the passes in a row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bnrewrite.estimation.batches import Batch, in_order
from bnrewrite.estimation.estimator import Estimator
from bnrewrite.estimation.shards import Shard, estimate_shards
from bnrewrite.graph.engine import (
    CheckAndRaise,
    Constant,
    SharedVariable,
    TensorType,
    Variable,
    graph_inputs,
    shared,
)
from bnrewrite.graph.export import export
from bnrewrite.graph.replace import replace
from bnrewrite.graph.statistics import Statistic
from bnrewrite.graph.survey import survey
from bnrewrite.population.population import Population
from bnrewrite.population.tallies import Pooling
from bnrewrite.report.gap import Comparison, gap_table
from bnrewrite.report.verify import BatchAxes, lengthened, verify_rows, verify_structure

_require_estimate = CheckAndRaise(
    RuntimeError,
    "There are no population statistics yet: call `estimate` or `assign` of the InferenceGraph.",
)


def get_inference_graph(
    inputs: Sequence[Variable],
    batch_outputs: Variable | Sequence[Variable],
    estimation_batches: Iterable[Batch],
    *,
    pooling: Pooling = "edge",
    min_coverage: int = 0,
    mode: Any = None,
    progress: bool = False,
) -> Variable | list[Variable]:
    """Build the graph that predicts with population statistics, estimated from batches.

    Parameters
    ----------
    inputs : sequence of Variable
        The inputs that `batch_outputs` are computed from.
    batch_outputs : Variable or sequence of Variable
        Outputs of the training graph, whose batch statistics are marked.
    estimation_batches : iterable of batches
        Batches of training data, read once. A batch is a dict by name of the inputs, a dict by
        input, or a tuple in the order of `inputs`.
    pooling : {"edge", "reached", "moments"}
        What the population statistics are; see `Population`.
    min_coverage : int
        Steps that fewer batches reached take the value of the last one that enough did.
    mode : str or Mode, optional
        How to compile the function that estimates, as for `aesara.function`.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    Variable or list of Variable
        What `batch_outputs` become, as one variable or as a list. They read the same inputs and
        parameters; `batch_outputs` themselves stay as they are.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        If there is no correct inference graph, or no estimate; as `InferenceGraph` and its
        `estimate` do.

    Examples
    --------
    >>> import aesara, aesara.tensor as at, numpy as np
    >>> from bnrewrite import get_inference_graph, mark_statistic
    >>> x = at.dmatrix("x")
    >>> y = x - mark_statistic(x.mean(axis=0), "mean")
    >>> y = get_inference_graph([x], y, [{"x": np.zeros((2, 1))}, {"x": np.ones((3, 1))}])
    >>> aesara.function([x], y, mode="FAST_COMPILE")(np.ones((1, 1)))
    array([[0.5]])
    """
    graph = InferenceGraph(inputs, batch_outputs, mode=mode)
    graph.estimate(
        estimation_batches, pooling=pooling, min_coverage=min_coverage, progress=progress
    )
    return graph.outputs


class InferenceGraph:
    """The inference graph of a training graph, with population statistics that can be changed.

    The population statistics live in shared variables: a function compiled from `outputs` computes
    with the latest ones, whatever their number of steps. Before there are any, it raises.

    Parameters
    ----------
    inputs : sequence of Variable
        The inputs that `batch_outputs` are computed from.
    batch_outputs : Variable or sequence of Variable
        Outputs of the training graph, whose batch statistics are marked. Updates of random streams
        in loops can be among them.
    mode : str or Mode, optional
        How to compile the function that estimates, as for `aesara.function`.

    Attributes
    ----------
    statistics : tuple of Statistic
        The marked statistics that the outputs need, in order of computation.
    outputs : Variable or list of Variable
        What `batch_outputs` become.

    Raises
    ------
    ValueError
        If no statistic is found, one can't be replaced, or `inputs` do not cover the graph.
    TypeError
        If an input or output is not a variable, or a statistic not a floating-point tensor.
    RuntimeError
        If Aesara has compiled a nested loop in place, so that marks may be gone.

    Examples
    --------
    >>> import aesara, aesara.tensor as at, numpy as np
    >>> from bnrewrite import InferenceGraph, mark_statistic
    >>> x = at.dmatrix("x")
    >>> graph = InferenceGraph([x], x - mark_statistic(x.mean(axis=0), "mean"))
    >>> predict = aesara.function([x], graph.outputs, mode="FAST_COMPILE")
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
        self._inputs, self._mode = list(inputs), mode
        outputs = [batch_outputs] if isinstance(batch_outputs, Variable) else list(batch_outputs)
        _check_coverage(self._inputs, outputs)
        self._batch_outputs = outputs
        self._scope = survey(outputs)
        self._exported = export(self._scope)
        self.statistics: tuple[Statistic, ...] = tuple(self._exported)
        self._shared = {s: _shared(s) for s in self.statistics}
        self._is_estimated = shared(np.int8(0), name="is_estimated")
        values = {s: _require_estimate(v, self._is_estimated) for s, v in self._shared.items()}
        replaced = replace(self._scope, outputs, values)
        is_single = isinstance(batch_outputs, Variable)
        self.outputs: Variable | list[Variable] = replaced[0] if is_single else replaced
        self._population: Population | None = None

    @property
    def population(self) -> Population | None:
        """The population statistics of the last estimate, or those assigned since."""
        return self._population

    def estimate(
        self,
        batches: Iterable[Batch],
        *,
        pooling: Pooling = "edge",
        min_coverage: int = 0,
        progress: bool = False,
    ) -> Population:
        """Average the statistics over `batches`, and use the result from now on.

        The first call compiles the function that estimates; it reads the parameters as they are at
        the time of a call. If anything goes wrong, the population stays as it was.

        Parameters
        ----------
        batches : iterable of batches
            Read once. A batch is a dict by name of the inputs, a dict by input, or a tuple in the
            order of the inputs.
        pooling : {"edge", "reached", "moments"}
            What the population statistics are; see `Population`.
        min_coverage : int
            Steps that fewer batches reached take the value of the last one that enough did.
        progress : bool
            Whether to show a progress bar.

        Returns
        -------
        Population

        Raises
        ------
        ValueError
            If there are no batches, a batch lacks an input or has an unknown one, a loop took no
            step, the shape of a statistic differs between batches other than in time, a statistic
            is not finite, or the batches do not have what `pooling` or `min_coverage` need.
        RuntimeError
            If anything else goes wrong with a batch; the cause is chained.
        """
        population = self._estimator.estimate(
            batches, pooling=pooling, min_coverage=min_coverage, progress=progress
        )
        self.assign(population)
        return population

    def estimate_shards(
        self,
        shards: Iterable[Shard],
        executor: Executor,
        *,
        pooling: Pooling = "edge",
        min_coverage: int = 0,
        progress: bool = False,
    ) -> Population:
        """Estimate in other processes, each of which loads its own batches.

        Parameters
        ----------
        shards : iterable of callables
            Each returns an iterable of batches when called in a worker, where batches are dicts by
            name or tuples. They have to be picklable: functions of a module, `functools.partial`
            of these, or objects with `__call__`.
        executor : concurrent.futures.Executor
            With workers that are processes, such as a `ProcessPoolExecutor` (with the start method
            ``"spawn"``), or ``client.get_executor()`` of a Dask cluster.
        pooling, min_coverage, progress
            As for `estimate`.

        Returns
        -------
        Population
            What `estimate` would return for all batches in one process, up to rounding. Random
            streams in the graph draw different noise in each shard.

        Raises
        ------
        TypeError
            If the workers of `executor` are threads, which can't share a compiled function.
        ShardError
            If shards failed: a `RuntimeError` that says which and why, and holds the population of
            the others. The graph keeps the population that it had.
        """
        population = estimate_shards(
            self._estimator,
            list(shards),
            executor,
            pooling=pooling,
            min_coverage=min_coverage,
            progress=progress,
        )
        self.assign(population)
        return population

    def assign(self, population: Mapping[str, ArrayLike]) -> None:
        """Use other population statistics from now on.

        Parameters
        ----------
        population : Population, or mapping of str to array
            A value for each name in `statistics`, with axes (T_1, ..., T_depth, *axes of the
            statistic). Any T_i will do; past the end the last step is repeated.

        Raises
        ------
        ValueError
            If anything is missing, unexpected, of the wrong shape or not finite. All of it is
            listed, and nothing is assigned.
        """
        names = {s.name: s for s in self.statistics}
        arrays = {s: np.asarray(population[n]) for n, s in names.items() if n in population}
        problems = [f"missing: {name}" for name in names if name not in population]
        problems += [f"unexpected: {name}" for name in population if name not in names]
        problems += [p for s, array in arrays.items() if (p := _misfit(s, array))]
        if problems:
            raise ValueError(
                "the population does not fit the graph, and nothing was assigned:\n  "
                + "\n  ".join(problems)
            )
        for statistic, array in arrays.items():
            self._shared[statistic].set_value(array.astype(statistic.variable.dtype))
        self._is_estimated.set_value(np.int8(1))
        self._population = population if isinstance(population, Population) else None

    def verify(self, batch: Batch | None = None, batch_axes: Any = None) -> list[str]:
        """Prove that no example of a batch has a say in the outputs of another.

        Without a batch, the graph is searched: no batch statistic may be left at any depth of
        loops, and the outputs must read every population statistic. With one, the outputs are
        computed too: those of an example must not change when all others do, alone it must be
        computed as well, and all of this for as many steps as the longest batch of the estimate
        had, and one more.

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
            If the graph is not one of inference, does not run, or has no population yet. It says
            which statistic, output and example.
        ValueError
            If the batch does not allow the check, or there is no output to check.

        Examples
        --------
        >>> import aesara.tensor as at, numpy as np
        >>> from bnrewrite import InferenceGraph, mark_statistic
        >>> x = at.dmatrix("x")
        >>> graph = InferenceGraph([x], x - mark_statistic(x.mean(axis=0), "mean"))
        >>> graph.verify()
        ['structure']
        """
        outputs = [self.outputs] if isinstance(self.outputs, Variable) else self.outputs
        verify_structure(outputs, self._scope, self._shared)
        if batch is None:
            return ["structure"]
        values = [np.asarray(value) for value in in_order(batch, self._inputs, "the batch")]
        given = None if batch_axes is None else in_order(batch_axes, self._inputs, "batch_axes")
        axes = BatchAxes(self._inputs, values, given)
        longest = {s.name: v.get_value().shape[: s.depth] for s, v in self._shared.items()}
        predict, labels = self._comparison.inference, self._comparison.labels
        done = [
            "structure",
            f"examples of {verify_rows(predict, labels, values, axes, 'the batch')}",
        ]
        for longer, steps in lengthened(values, axes, self._estimator.lengths, longest):
            what = f"a batch of {steps} steps"
            verify_rows(predict, labels, longer, axes, what)
            done.append(what)
        return done

    def gap(self, batch: Batch) -> None:
        """Print how far the outputs with population statistics are from those with `batch`'s own.

        A table with a line for each output: the root mean square of the training graph's output,
        that of the difference, their quotient, and the greatest difference. All of them are small
        if the estimate is good, and the batch is as large as those of the training.

        Parameters
        ----------
        batch : batch
            As for `estimate`.
        """
        values = in_order(batch, self._inputs, "the batch")
        comparison = self._comparison
        print(
            gap_table(comparison.labels, comparison.batch(*values), comparison.inference(*values))
        )

    @cached_property
    def _estimator(self) -> Estimator:
        return Estimator(self._inputs, self._exported, mode=self._mode)

    @cached_property
    def _comparison(self) -> Comparison:
        outputs = [self.outputs] if isinstance(self.outputs, Variable) else self.outputs
        return Comparison(self._inputs, self._batch_outputs, outputs, self._mode)


def _check_coverage(inputs: list[Variable], outputs: list[Variable]) -> None:
    for variable in (*inputs, *outputs):
        if not isinstance(variable, Variable):
            raise TypeError(f"inputs and outputs must be variables, and {variable!r} is none.")
    computed = [str(v) for v in inputs if v.owner is not None or isinstance(v, SharedVariable)]
    if computed:
        raise ValueError(f"inputs must not be computed, or shared variables: {computed}.")
    known = set(inputs)
    missing = [
        str(v)
        for v in graph_inputs(outputs)
        if v not in known and not isinstance(v, SharedVariable | Constant)
    ]
    if missing:
        raise ValueError(f"the outputs depend on variables that are not among inputs: {missing}.")


def _shared_type(statistic: Statistic) -> TensorType:
    shape = (*[None] * statistic.depth, *statistic.variable.type.shape)
    return TensorType(statistic.variable.dtype, shape)


def _shared(statistic: Statistic) -> SharedVariable:
    """A shared variable for the population value, with an empty one to begin with."""
    shape = [1] * statistic.depth + [n or 0 for n in statistic.variable.type.shape]
    empty = np.zeros(shape, dtype=statistic.variable.dtype)
    return shared(empty, name=statistic.name, shape=_shared_type(statistic).shape)


def _misfit(statistic: Statistic, array: np.ndarray[Any, Any]) -> str | None:
    """What is wrong with a population value, if anything."""
    expected = _shared_type(statistic).shape
    fits = array.ndim == len(expected) and all(
        n in (None, m) for n, m in zip(expected, array.shape, strict=True)
    )
    if not fits or 0 in array.shape[: statistic.depth]:
        wanted = tuple("?" if n is None else n for n in expected)
        return f"wrong shape: {statistic.name} is {array.shape}, expected {wanted}"
    if not np.issubdtype(array.dtype, np.number) or not np.isfinite(array).all():
        return f"not finite numbers: {statistic.name}"
    return None
