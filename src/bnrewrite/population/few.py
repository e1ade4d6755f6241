"""Few: say which variances rest on too little to be trusted.

With fewer than two elements a batch has a variance of 0, whatever the data. What it normalizes is
scaled by ``1 / sqrt(epsilon)``, about 300 times. A variance that is 0 for all units of a step, with
enough elements or an unknown number of them, is as bad, with one exception: the first step of any
of its loops, where all examples are in the same state, so that there is nothing to scale.

Steps that hold another one are not looked at: they do not rest on what they have themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnrewrite.cautions import FewElements, caution
from bnrewrite.population.counts import MinCount
from bnrewrite.population.ragged import Mask
from bnrewrite.population.tallies import Pooling, Tallies
from bnrewrite.population.tally import Tally
from bnrewrite.population.values import enough


def caution_few(
    tallies: Tallies,
    values: Mapping[str, NDArray[Any]],
    pooling: Pooling,
    min_coverage: int,
    min_count: MinCount,
) -> None:
    """Warn of variances among `values` that rest on fewer than two elements, or are 0."""
    found: list[str] = []
    for mean, variance in tallies.variances.items():
        used = enough(tallies, variance, pooling, min_coverage, min_count)
        few = used & _is_few(tallies.by_name[variance], pooling)
        zero = used & ~few & _is_zero(values[variance], tallies.by_name[mean])
        where = "in some batch" if pooling != "moments" else "in all batches together"
        found += _lines(f"{variance!r} rests on fewer than 2 elements {where}", few)
        found += _lines(f"{variance!r} is 0 for all units", zero)
    if found:
        caution(
            "these variances are those of too few elements, or of elements that are all the same, "
            "and what they normalize is scaled by up to 1 / sqrt(epsilon):\n  "
            + "\n  ".join(found)
            + "\nEstimate from larger batches, and leave out a last one that is small. Of steps, "
            "`min_count` of 2 or more has those without enough hold the last one with enough. And "
            "is the mask 1 where there is data, and 0 in the padding?",
            FewElements,
        )


def _is_few(tally: Tally, pooling: Pooling) -> Mask:
    """At which steps there are fewer than two elements; at none if that is unknown."""
    if (counts := tally.counts) is None:
        return np.asarray(False)
    if pooling == "moments":
        return np.asarray(counts.per_step(counts.total).min(axis=-1) < 2)
    return np.asarray(counts.least < 2)


def _is_zero(variance: NDArray[Any], mean: Tally) -> Mask:
    """At which steps a variance is 0 for all units, other than in the state that loops begin in."""
    steps = variance.shape[: mean.moments.n_time_axes]
    zero = (variance == 0).reshape(*steps, -1).all(axis=-1)
    differs = (mean.moments.spread().reshape(*steps, -1) > 0).any(axis=-1)
    begins = (np.indices(steps) == 0).any(axis=0)
    return np.asarray(zero & (differs | ~begins))


def _lines(what: str, at: Mask) -> Iterator[str]:
    steps = [tuple(map(int, step)) for step in np.argwhere(at)]
    if not steps:
        return
    shown = ", ".join(str(s[0] if len(s) == 1 else s) for s in steps[:3] if s)
    more = f" and {len(steps) - 3} more" if len(steps) > 3 else ""
    yield f"{what} at step {shown}{more} (counted from 0)" if shown else what
