"""Estimates: the population of a graph, estimated or assigned as often as wanted.

The estimator is compiled at the first estimate and kept. An estimate that fails, or is interrupted,
leaves the population that was there before: values are stored when all of them are known. What it
had until then is in the error. Calls from several threads take turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from functools import cached_property
from typing import Any

from numpy.typing import ArrayLike

from bnrewrite.estimation.asked import check_batches, check_rule, checked_shards
from bnrewrite.estimation.batches import Batches, Extra
from bnrewrite.estimation.estimator import Estimator
from bnrewrite.estimation.shards import Shard, estimate_shards
from bnrewrite.estimation.stopped import keeping
from bnrewrite.estimation.stored import StoredPopulation
from bnrewrite.estimation.turns import Turns, in_turn
from bnrewrite.graph.choice import Only, choose
from bnrewrite.graph.engine import Variable
from bnrewrite.graph.exported import Exported
from bnrewrite.graph.statistics import Statistic, Statistics
from bnrewrite.population.counts import MinCount
from bnrewrite.population.population import Population
from bnrewrite.population.tallies import Pooling


class Estimates:
    """The population statistics of a graph, in shared variables.

    Attributes
    ----------
    statistics : tuple of Statistic
        In order of computation.
    population : Population or None
        That of the last estimate, or the one assigned since; None if arrays were assigned, or a
        part of one.
    """

    def __init__(self, inputs: Sequence[Variable], exported: Exported, mode: Any) -> None:
        self._inputs, self._exported, self._mode = list(inputs), exported, mode
        self._stored = StoredPopulation(exported)
        self.statistics: tuple[Statistic, ...] = Statistics(exported)
        self._turns = Turns()

    @property
    def population(self) -> Population | None:  # noqa: D102
        return self._stored.population

    @cached_property
    def _estimator(self) -> Estimator:
        return Estimator(self._inputs, self._exported, mode=self._mode)

    def __getstate__(self) -> dict[str, Any]:
        # Compiled functions stay behind: copies of them would not have the parameters of this copy.
        kinds = {name: getattr(type(self), name, None) for name in vars(self)}
        return {k: v for k, v in vars(self).items() if not isinstance(kinds[k], cached_property)}

    @in_turn
    def estimate(
        self,
        batches: Batches,
        *,
        pooling: Pooling = "edge",
        min_coverage: int = 0,
        min_count: MinCount = "auto",
        progress: bool = False,
        extra: Extra = "raise",
        resume: Population | None = None,
    ) -> Population:
        """Average the statistics over `batches`, and use the result from now on.

        The first call compiles the function that estimates; it reads the parameters as they are at
        the time of a call. If anything goes wrong, the population of the graph stays as it was, and
        the error has that of the batches that were done.

        Batches that can be read again, as those of a list or a function, serve every estimate.
        Parameters, and what is raised, are those of `estimate_population`.
        """
        check_batches(batches)
        check_rule(self._exported, pooling, min_coverage, min_count, progress, extra, resume)
        population = self._estimator.estimate(
            batches,
            pooling=pooling,
            min_coverage=min_coverage,
            min_count=min_count,
            progress=progress,
            extra=extra,
            resume=resume,
        )
        with keeping(lambda: population):
            self._stored.assign(population)
        return population

    @in_turn
    def estimate_shards(
        self,
        shards: Iterable[Shard],
        executor: Executor | Callable[[], Executor],
        *,
        pooling: Pooling = "edge",
        min_coverage: int = 0,
        min_count: MinCount = "auto",
        progress: bool = False,
        extra: Extra = "raise",
        resume: Population | None = None,
        retries: int = 0,
        window: int | None = None,
    ) -> Population:
        """Estimate in other processes, each of which loads its own batches.

        Parameters
        ----------
        shards : iterable of callables
            Each returns an iterable of batches when called in a worker, where batches are dicts by
            name or tuples. They have to be picklable, as functions of a module are.
        executor : concurrent.futures.Executor, or function that makes one
            With workers that are processes, such as a `ProcessPoolExecutor` (with the start method
            ``"spawn"``), or ``client.get_executor()`` of a Dask cluster. A process pool is broken
            when one of its workers dies; given a function that makes pools, such as
            ``partial(ProcessPoolExecutor, 4)``, the next attempt gets a new one.
        pooling, min_coverage, min_count, progress, extra, resume
            As for `estimate`.
        retries : int
            How often a shard that fails, or whose worker dies, is tried again.
        window : int, optional
            How many shards may be with the workers, or done and waiting for those before them: as
            many results are in memory at most. By default two for each worker, or 64 if the
            executor does not show how many there are; it should not be less than there are.

        Returns
        -------
        Population
            What `estimate` would return for all batches in one process, up to rounding: the same
            to the last bit however many workers there are. Random streams in the graph draw
            different noise in each shard.

        Raises
        ------
        TypeError
            If the workers of `executor` are threads, which can't share a compiled function, or a
            shard is no function.
        ShardError
            If shards failed. It has the population of the others, and lists the shards to run
            again; the graph keeps the population it had.
        EstimateInterrupted
            The same for Ctrl-C.
        """
        checked = checked_shards(shards, executor)
        check_rule(self._exported, pooling, min_coverage, min_count, progress, extra, resume)
        population = estimate_shards(
            self._estimator,
            checked,
            executor,
            pooling=pooling,
            min_coverage=min_coverage,
            min_count=min_count,
            progress=progress,
            extra=extra,
            resume=resume,
            retries=retries,
            window=window,
        )
        with keeping(lambda: population):
            self._stored.assign(population)
        return population

    @in_turn
    def assign(self, population: Mapping[str, ArrayLike], *, only: Only = None) -> None:
        """Use other population statistics from now on, all of them or none.

        Parameters
        ----------
        population : Population, or mapping of str to array
            A value for each name in `statistics`, with axes ``(T_1, ..., T_depth, *axes of the
            statistic)``. Any T_i will do; past the end the last step is repeated.
        only : str, iterable of str, or callable, optional
            Which of `statistics` get new values, as for `InferenceGraph`; the others keep theirs.

        Raises
        ------
        ValueError
            If anything is missing, unexpected, of another graph, of the wrong shape, not finite (in
            the dtype of the statistic, too), complex, masked, or a variance and negative. All is
            listed.
        TypeError
            If `population` is no mapping.

        Warns
        -----
        OtherOrigin
            If it can't be checked whether a population is one of this graph.
        """
        chosen = None if only is None else choose(self.statistics, only)
        self._stored.assign(population, chosen)
