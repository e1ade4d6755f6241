"""Crew: send shards to an executor, and give back what became of them.

The estimator goes with the first shards, one for each worker as far as their number is known, and
then to workers that say they do not have it. A `concurrent.futures.Executor` promises no more than
`submit`, so no more is used.

A process pool whose worker died is of no use any more, and all shards that were with it are lost.
If it was made by a function that makes executors, another is made for the next shard; if not, that
is the end, and its error is raised.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ThreadPoolExecutor,
    wait,
)
from typing import NamedTuple

from bnrewrite.estimation.workers import Task, Unknown, run
from bnrewrite.population.tallies import Tallies

Outcome = Tallies | Unknown | BaseException
DEFAULT_WINDOW = 64


class _Sent(NamedTuple):
    """A shard that is with an executor."""

    task: Task
    executor: Executor


class Crew:
    """The workers of an executor, or of one after the other, and the shards that are with them.

    Attributes
    ----------
    window : int
        How many shards keep all workers busy: two for each, or 64 if their number is not known.
    """

    def __init__(self, executor: Executor | Callable[[], Executor], payload: bytes) -> None:
        self._payload = payload
        self._make = None if isinstance(executor, Executor) else executor
        self._in_flight: dict[Future[Tallies | Unknown], _Sent] = {}
        self._begin(executor if isinstance(executor, Executor) else executor())

    def _begin(self, executor: Executor) -> None:
        """Work with `executor` from now on."""
        self._executor, self._has_taken_any = executor, False
        if isinstance(executor, ThreadPoolExecutor):
            raise TypeError(
                "a compiled function can't be shared by threads: give estimate_shards an executor "
                "of processes, such as concurrent.futures.ProcessPoolExecutor."
            )
        n_workers = getattr(executor, "_max_workers", None)  # where an executor lets it be seen
        self._to_carry: int = n_workers or os.cpu_count() or 1
        self.window: int = 2 * n_workers if n_workers else DEFAULT_WINDOW

    def send(self, task: Task, *, with_estimator: bool = False) -> None:
        """Give a shard to a worker."""
        carry = with_estimator or self._to_carry > 0
        try:
            future = self._executor.submit(run, task, self._payload if carry else None)
        except Exception as error:
            self._replace(self._executor, error)
            return self.send(task, with_estimator=with_estimator)
        self._has_taken_any = True
        self._to_carry -= carry and not with_estimator
        self._in_flight[future] = _Sent(task, self._executor)
        return None

    def _replace(self, executor: Executor, error: Exception) -> None:
        """Make another in the place of a broken one, if that was not done yet."""
        if executor is not self._executor:
            return
        if self._make is None or not self._has_taken_any:
            raise error
        executor.shutdown(wait=False)
        self._begin(self._make())

    def returned(self) -> Iterator[tuple[Task, Outcome]]:
        """Wait until something comes back, and give all that has."""
        done, _ = wait(self._in_flight, return_when=FIRST_COMPLETED)
        for future in done:
            task, executor = self._in_flight[future]
            outcome = _outcome(future)
            if isinstance(outcome, BrokenExecutor):
                self._replace(executor, outcome)
            yield task, outcome
            del self._in_flight[future]

    def stop(self) -> Iterator[tuple[Task, Outcome]]:
        """Let nothing more begin; give what was done, and an error for what was not."""
        for future, (task, _) in self._in_flight.items():
            future.cancel()
            yield task, _outcome(future) if future.done() else CancelledError("not done")
        if self._make is not None:
            self._executor.shutdown(wait=not self._in_flight, cancel_futures=True)


def _outcome(future: Future[Tallies | Unknown]) -> Outcome:
    if future.cancelled():
        return CancelledError("cancelled")
    return future.exception() or future.result()
