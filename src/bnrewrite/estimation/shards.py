"""Estimate in several processes, each of which loads batches of its own."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future, as_completed
from functools import lru_cache, reduce

from tqdm import tqdm

from bnrewrite.estimation.batches import Batch, Extra
from bnrewrite.estimation.estimator import Estimator
from bnrewrite.population.counts import MinCount
from bnrewrite.population.population import Population
from bnrewrite.population.tallies import Pooling, Tallies

Shard = Callable[[], Iterable[Batch]]

_one_at_a_time = threading.Lock()


class ShardError(RuntimeError):
    """Some shards failed.

    Attributes
    ----------
    failed : dict of int to Exception
        What went wrong, by the place of a shard among those given.
    population : Population or None
        That of all other shards, to be merged with that of the failed ones when they work.
    """

    def __init__(self, failed: Mapping[int, Exception], population: Population | None) -> None:
        super().__init__(failed, population)
        self.failed = dict(failed)
        self.population = population

    def __str__(self) -> str:
        rest = "No shard is left"
        if self.population is not None:
            rest = f"The {self.population.n_batches} batches of the others are in `population`"
        lines = [f"shard {i}: {type(e).__name__}: {e}" for i, e in self.failed.items()]
        return "\n  ".join([f"{len(lines)} shards failed. {rest} of this error.", *lines])


def estimate_shards(
    estimator: Estimator,
    shards: Sequence[Shard],
    executor: Executor,
    *,
    pooling: Pooling,
    min_coverage: int,
    min_count: MinCount,
    progress: bool,
    extra: Extra,
) -> Population:
    """Run `estimator` on each shard in a worker of `executor`, and merge what comes back."""
    payload = pickle.dumps((estimator, os.getpid(), threading.get_ident()))
    futures: dict[Future[Tallies], int] = {
        executor.submit(_run, payload, shard, i, pooling, min_count, extra): i
        for i, shard in enumerate(shards)
    }
    try:
        bar = tqdm(
            as_completed(futures), "shards", len(futures), unit="shard", disable=not progress
        )
        for _ in bar:
            pass
    except BaseException:
        for future in futures:
            future.cancel()
        raise
    return _merged(futures, pooling, min_coverage)


def _merged(
    futures: Mapping[Future[Tallies], int], pooling: Pooling, min_coverage: int
) -> Population:
    """Merge in the order of the shards, whichever was first."""
    failed = {i: error for future, i in futures.items() if (error := future.exception())}
    done = [future.result() for future, i in futures.items() if i not in failed]
    merged = reduce(Tallies.merged, done) if done else None
    errors = {
        i: e if isinstance(e, Exception) else RuntimeError(repr(e)) for i, e in failed.items()
    }
    if errors:
        population = None if merged is None else Population(merged, pooling)
        raise ShardError(errors, population) from next(iter(errors.values()))
    assert merged is not None  # there are shards, and none failed
    population = Population(merged, pooling, min_coverage)
    population.caution_few()
    return population


def _run(
    payload: bytes,
    shard: Shard,
    number: int,
    pooling: Pooling,
    min_count: MinCount,
    extra: Extra,
) -> Tallies:
    """Estimate from one shard, in a worker."""
    with _one_at_a_time:
        estimator, process, thread = _unpickled(payload)
        if os.getpid() == process and threading.get_ident() != thread:
            raise RuntimeError(
                "this executor runs in threads of the process that called it, which can't share a "
                "compiled function. Use one of processes (for Dask, a cluster with processes=True)."
            )
        return estimator.tally(
            shard(), pooling=pooling, min_count=min_count, number=number, extra=extra
        )


@lru_cache(maxsize=1)
def _unpickled(payload: bytes) -> tuple[Estimator, int, int]:
    """Unpickle, which compiles, once for all shards of a worker."""
    estimator: tuple[Estimator, int, int] = pickle.loads(payload)
    return estimator
