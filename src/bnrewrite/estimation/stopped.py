"""Stopped: an estimate that ends before its time keeps what it has.

Hours of batches may be in the sums when a disk fails, a batch does not fit, or somebody presses
Ctrl-C. What is raised then has the population of all batches that were done, to be looked at,
saved, assigned, merged, or gone on from. Half a batch is never in it, see `Tallies.add`.

The errors are still those of Python: a `ValueError` where a batch or an argument is wrong, a
`RuntimeError` where anything else went wrong, and a `KeyboardInterrupt`, which no ``except
Exception`` catches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bnrewrite.population.population import Population
from bnrewrite.population.tallies import Pooling, Tallies
from bnrewrite.population.unread import UnreadPopulation


class EstimateError(Exception):
    """An estimate stopped before its end. What it had until then is not lost.

    It is a `ValueError` as well if a batch is wrong, or the batches do not have what was asked for,
    and otherwise a `RuntimeError`, whose cause is chained.

    Attributes
    ----------
    population : Population or None
        That of all batches that were done, read without `min_coverage`; None if there are none.
        ``estimate(batches, resume=error.population)`` goes on from it.
    batch : int or None
        The number of the batch at which it stopped, counted from 1; None if it was at none.
    """

    def __init__(
        self, message: str, population: Population | None = None, batch: int | None = None
    ) -> None:
        super().__init__(message)
        self.population, self.batch = population, batch


class InvalidEstimate(EstimateError, ValueError):
    """A batch is wrong, or the batches do not have what was asked for."""


class FailedEstimate(EstimateError, RuntimeError):
    """Something else went wrong; the cause is chained."""


class EstimateInterrupted(KeyboardInterrupt):
    """An estimate was interrupted, by Ctrl-C for instance. What it had until then is not lost.

    Attributes
    ----------
    population, batch
        As those of `EstimateError`.
    again : list of callables
        Those of the shards, if it was waiting for shards, that are not in `population`.
    """

    def __init__(
        self,
        message: str,
        population: Population | None = None,
        batch: int | None = None,
        again: Sequence[Callable[[], Any]] = (),
    ) -> None:
        super().__init__(message)
        self.population, self.batch, self.again = population, batch, list(again)


def so_far(tallies: Tallies, pooling: Pooling) -> Population | None:
    """The population of what has been added, if anything has."""
    if not tallies.n_batches:
        return None
    try:
        return Population(tallies, pooling)
    except ValueError as error:
        return UnreadPopulation(tallies, pooling, error)


def refuse_no_batches(tallies: Tallies, before: int = 0) -> None:
    """Refuse an estimate that added nothing to the batches that were there `before`."""
    if tallies.n_batches == before:
        goes_on = f" to go on with after the {before} that `resume` has" if before else ""
        raise ValueError(
            f"there are no batches to estimate from{goes_on}. An iterator that has been read "
            "before is empty; pass a list, or a new iterator."
        )


@contextmanager
def keeping(
    population: Callable[[], Population | None], *, at_batch: bool = False
) -> Iterator[None]:
    """Let whatever goes wrong inside have the population, as it is then.

    What ends a program or a task (`SystemExit`, `CancelledError`) is raised as it is, and has it as
    an attribute.

    `at_batch` says that it went wrong at the batch after those of the population.
    """
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        kept = population()
        n = kept.n_batches if kept else 0
        rest = f" `population` of this error has the {n} that were done, to be resumed." * (n > 0)
        number = n + 1 if at_batch else None
        if isinstance(error, KeyboardInterrupt):
            message = f"interrupted after {n} batches.{rest}"
            raise EstimateInterrupted(message, kept, number) from error
        if isinstance(error, ValueError):
            raise InvalidEstimate(f"{error}{rest}", kept, number) from error.__cause__
        if isinstance(error, RuntimeError):
            raise FailedEstimate(f"{error}{rest}", kept, number) from error.__cause__
        raise FailedEstimate(f"{type(error).__name__}: {error}.{rest}", kept, number) from error
    except BaseException as error:  # such as SystemExit, which has to stay what it is
        error.population = population()  # type: ignore[attr-defined]
        raise
