"""Dispatch: which shard goes out next, and what is done with what comes back.

Shards go out in order, as long as they are fewer than `window` ahead of the one whose turn it is to
be merged: those ahead are with workers, or came back early and wait. So no more than that many
results are alive at a time.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Sequence

from bnrewrite.estimation.crew import Crew, Outcome
from bnrewrite.estimation.in_order import InOrder
from bnrewrite.estimation.workers import Shard, Task, Unknown
from bnrewrite.population.tallies import Tallies


class Dispatch:
    """The shards on their way through the workers.

    Parameters
    ----------
    crew : Crew
        Who runs them.
    shards : sequence of callables
        All of them.
    task : Task
        What is the same for all.
    before : Tallies
        To which the sums of all shards are added.
    retries : int
        How often a shard that failed is tried again.
    window : int
        How many may be ahead.

    Attributes
    ----------
    results : InOrder
        What came back.
    """

    def __init__(
        self,
        crew: Crew,
        shards: Sequence[Shard],
        task: Task,
        before: Tallies,
        retries: int,
        window: int,
    ) -> None:
        self._crew, self._shards, self._task = crew, shards, task
        self._retries, self._window = retries, window
        self._failures: Counter[int] = Counter()
        self.results = InOrder(before if before.n_batches else None)

    def run(self, tell: Callable[[int], object]) -> None:
        """Run all shards, and `tell` how many have come to their end."""
        sent, n = 0, len(self._shards)
        while self.results.awaited < n:
            while sent < min(n, self.results.awaited + self._window):
                self._send(sent)
                sent += 1
            for task, outcome in self._crew.returned():
                self._settle(task.number, outcome)
            tell(self.results.awaited)

    def _send(self, number: int, *, with_estimator: bool = False) -> None:
        shard, attempt = self._shards[number], secrets.token_hex(8)
        task = self._task._replace(shard=shard, number=number, attempt=attempt)
        try:
            self._crew.send(task, with_estimator=with_estimator)
        except Exception as error:
            self.results.fail(number, error)
            raise

    def _settle(self, number: int, outcome: Outcome) -> None:
        if isinstance(outcome, Unknown):
            self._send(number, with_estimator=True)
        elif isinstance(outcome, Tallies):
            self.results.put(number, outcome)
        elif self._failures[number] < self._retries:
            self._failures[number] += 1
            self._send(number)
        else:
            self.results.fail(number, outcome)

    def stop(self, error: Exception | None = None) -> None:
        """Let nothing more begin, and keep what is done.

        If there is an `error`, what was with workers has failed from it.
        """
        for task, outcome in self._crew.stop():
            if isinstance(outcome, Tallies):
                self.results.put(task.number, outcome)
            elif error is not None:
                self.results.fail(task.number, error)

    def left(self) -> list[Shard]:
        """The shards that are not among the results."""
        return [s for i, s in enumerate(self._shards) if not self.results.is_in(i)]
