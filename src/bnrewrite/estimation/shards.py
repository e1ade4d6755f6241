"""Shards: estimate in several processes, each of which loads batches of its own.

A bounded number of shards is with the workers, or done and waiting for its turn to be merged, so
memory does not grow with the number of shards; and they are merged in their order, so the result
does not depend on who is first. A shard that fails is tried again, if wanted, and does not keep the
others from being done. Whatever ends it early, what came back is in the error, with the shards that
are left to be run again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial

from bnrewrite.estimation.batches import Extra
from bnrewrite.estimation.crew import Crew
from bnrewrite.estimation.dispatch import Dispatch
from bnrewrite.estimation.estimator import Estimator
from bnrewrite.estimation.progress import counting_shards
from bnrewrite.estimation.stopped import EstimateError, EstimateInterrupted, keeping, so_far
from bnrewrite.estimation.workers import Shard as Shard
from bnrewrite.estimation.workers import Task, packed
from bnrewrite.population.counts import MinCount
from bnrewrite.population.population import Population
from bnrewrite.population.tallies import Pooling

N_LISTED = 10


class ShardError(EstimateError, RuntimeError):
    """Some shards failed, or their executor did.

    Attributes
    ----------
    failed : dict of int to Exception
        What went wrong, by the place of a shard among those given.
    population : Population or None
        That of all other shards that were done.
    again : list of callables
        The shards that are not in `population`, in order: those that failed, and those that were
        not begun if the executor can't be used any more. ``estimate_shards(error.again, executor,
        resume=error.population)`` goes on.
    """

    def __init__(
        self,
        failed: Mapping[int, Exception],
        population: Population | None,
        again: Sequence[Shard] = (),
    ) -> None:
        self.failed, self.again = dict(sorted(failed.items())), list(again)
        super().__init__(_description(self.failed, population, len(self.again)), population)

    def __reduce__(self) -> tuple[type[ShardError], tuple[object, ...]]:
        return ShardError, (self.failed, self.population, self.again)


def _description(
    failed: Mapping[int, Exception], population: Population | None, n_again: int
) -> str:
    rest = "No other was done."
    if population is not None:
        rest = (
            f"The {population.n_batches} batches of the others are in `population` of this error."
        )
    lines = [f"shard {i}: {type(e).__name__}: {e}" for i, e in failed.items()]
    if len(lines) > N_LISTED:
        lines[N_LISTED:] = [f"and {len(lines) - N_LISTED} more, see `failed`"]
    if n_again > len(failed):
        lines.append(
            f"{n_again - len(failed)} more were not begun: the executor can't be used any more. "
            "Run `again` of this error on another, with `resume=error.population`."
        )
    return "\n  ".join([f"{len(failed)} shards failed. {rest}", *lines])


def estimate_shards(
    estimator: Estimator,
    shards: Sequence[Shard],
    executor: Executor | Callable[[], Executor],
    *,
    pooling: Pooling,
    min_coverage: int,
    min_count: MinCount,
    progress: bool,
    extra: Extra,
    resume: Population | None = None,
    retries: int = 0,
    window: int | None = None,
) -> Population:
    """Run `estimator` on each shard in a worker of `executor`, and merge what comes back."""
    _check(retries, window)
    # Which raises here, and not in every worker.
    before = estimator.begun(pooling, min_count, resume)
    digest, payload = packed(estimator)
    task = Task(digest, shards[0], pooling, min_count, extra, 0, before.n_batches, "")
    crew = Crew(executor, payload)
    dispatch = Dispatch(crew, shards, task, before, retries, window or crew.window)
    with counting_shards(len(shards), shown=progress) as tell:
        _run(dispatch, pooling, tell)
    tallies = dispatch.results.sums
    assert tallies is not None  # there are shards, and none failed
    with keeping(partial(so_far, tallies, pooling)):
        population = Population(tallies, pooling, min_coverage)
    population.caution_few()
    return population


def _check(retries: int, window: int | None) -> None:
    if retries < 0 or (window is not None and window < 1):
        raise ValueError(
            f"retries must be 0 or more, and window 1 or more, got {retries} and {window}."
        )


def _run(dispatch: Dispatch, pooling: Pooling, tell: Callable[[int], object]) -> None:
    """Run all shards; whatever ends it early, the error has what came back."""
    try:
        dispatch.run(tell)
        dispatch.stop()
    except KeyboardInterrupt as interrupt:
        dispatch.stop()
        raise _interrupted(dispatch, pooling) from interrupt
    except Exception as error:
        dispatch.stop(error)
        raise _failed(dispatch, pooling) from error
    except BaseException:
        dispatch.stop()
        raise
    if dispatch.results.failed:
        raise _failed(dispatch, pooling) from next(iter(dispatch.results.failed.values()))


def _failed(dispatch: Dispatch, pooling: Pooling) -> ShardError:
    population = _population(dispatch, pooling)
    return ShardError(dispatch.results.failed, population, dispatch.left())


def _interrupted(dispatch: Dispatch, pooling: Pooling) -> EstimateInterrupted:
    population, again = _population(dispatch, pooling), dispatch.left()
    return EstimateInterrupted(
        f"interrupted with {len(again)} shards still to be done, which `again` of this error "
        "lists; `population` has the others",
        population,
        again=again,
    )


def _population(dispatch: Dispatch, pooling: Pooling) -> Population | None:
    tallies = dispatch.results.all_sums()
    return None if tallies is None else so_far(tallies, pooling)
