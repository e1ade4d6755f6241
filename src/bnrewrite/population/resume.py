"""Resume: the sums of a population, for an estimate to go on from.

They have to be sums of the same statistics under the same pooling, as for `Population.merge`; then
going on gives what one estimate of all batches would have given, to the last bit.
"""

from __future__ import annotations

from copy import copy

from bnrewrite.population.population import Population
from bnrewrite.population.tallies import Pooling, Tallies


def resumed(empty: Tallies, population: Population, pooling: Pooling) -> Tallies:
    """The sums of `population`, to be added to, for the statistics of `empty`.

    Raises
    ------
    TypeError
        If it is no `Population`.
    ValueError
        If it is of other statistics or another pooling; all of it is listed.
    """
    if not isinstance(population, Population):
        raise TypeError(
            "`resume` is a Population, such as that of an error or one that was loaded, got "
            f"{type(population).__name__}."
        )
    problems = list(empty.differences(population._tallies))
    if population.pooling != pooling:
        problems.append(
            f"it has pooling={population.pooling!r}, and this estimate {pooling!r}: say "
            f"pooling={population.pooling!r}, or resume from `population.pooled({pooling!r})`"
        )
    if problems:
        raise ValueError(
            "an estimate can't go on from this population:\n  " + "\n  ".join(problems)
        )
    tallies = copy(population._tallies)
    tallies.dtypes = empty.dtypes
    tallies.origin = empty.origin.together(population.origin)
    tallies.check(pooling, tallies.min_count)
    return tallies
