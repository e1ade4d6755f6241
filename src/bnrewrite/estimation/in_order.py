"""In order: merge what shards return, in the order of the shards, whichever comes first.

The sum of floating-point numbers depends on their order. With this one, the population is the same
to the last bit however many workers there are, and however fast. What comes before its turn waits.
"""

from __future__ import annotations

from bnrewrite.population.tallies import Tallies


class InOrder:
    """The sums of shards 0, 1, ... up to the first that is still awaited.

    Attributes
    ----------
    sums : Tallies or None
        What has been merged, with what was there before; None if nothing was.
    awaited : int
        The number of the first shard that has neither come back nor failed.
    failed : dict of int to Exception
        What went wrong, by the number of the shard; these are not waited for.
    """

    def __init__(self, before: Tallies | None) -> None:
        self._merged = before, 0  # in one attribute: no interrupt comes in between
        self._waiting: dict[int, Tallies] = {}
        self.failed: dict[int, Exception] = {}

    @property
    def sums(self) -> Tallies | None:  # noqa: D102
        return self._merged[0]

    @property
    def awaited(self) -> int:  # noqa: D102
        return self._merged[1]

    def put(self, number: int, tallies: Tallies) -> None:
        """Merge what shard `number` returned, when it is its turn."""
        if number >= self.awaited:
            self._waiting[number] = tallies
        self._advance()

    def fail(self, number: int, error: BaseException) -> None:
        """Go on without shard `number`."""
        self.failed[number] = error if isinstance(error, Exception) else RuntimeError(repr(error))
        self._advance()

    def is_in(self, number: int) -> bool:
        """Whether shard `number` came back, and fits."""
        came = number < self.awaited or number in self._waiting
        return came and number not in self.failed

    def all_sums(self) -> Tallies | None:
        """The sums of all that came back, though others before them did not."""
        sums = self.sums
        for number in sorted(n for n in self._waiting if n >= self.awaited):
            sums = self._with(sums, number)
        return sums

    def _advance(self) -> None:
        while (number := self.awaited) in self._waiting or number in self.failed:
            sums = self._with(self.sums, number) if number in self._waiting else self.sums
            self._merged = sums, number + 1
            self._waiting.pop(number, None)

    def _with(self, sums: Tallies | None, number: int) -> Tallies | None:
        """`sums` with what shard `number` returned; without, if it does not fit."""
        try:
            return sums.merged(self._waiting[number]) if sums else self._waiting[number]
        except ValueError as error:
            self.failed[number] = error
            return sums
