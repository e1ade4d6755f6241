"""Values: read sums under a pooling.

What is kept of the batches is enough for all three poolings (see `tallies`), so that this may be
done at any time, and as often as wanted. A step with too few batches or elements holds the value of
the last one that has enough.

To add a pooling that these sums are enough for: name it in `tallies`, and read it here; where it
rests on held values, it also has to stand beside "edge" in `tallies` and in `readings`. One that
needs more, as a median needs all values, has to keep it in `tally` (with `merge`, `to_arrays` and
`from_arrays`), in `_forked` of `tallies`, and in a new format of `files` that `unpack` checks.
`docs/architecture.md` has all the steps.

Sharp edge: a pooling that is not named here is read like "reached".
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnrewrite.population.counts import IN_TOTAL, MinCount, least_count
from bnrewrite.population.ragged import Array, Mask, fill_forward
from bnrewrite.population.tallies import Pooling, Tallies


def values_of(
    tallies: Tallies, pooling: Pooling, min_coverage: int, min_count: MinCount
) -> dict[str, NDArray[Any]]:
    """The value of each statistic under a pooling, in its dtype."""
    tallies.check(pooling, min_count)
    if missing := [name for name in tallies.dtypes if name not in tallies.by_name]:
        raise ValueError(
            f"none of the {tallies.n_batches} batches had an element that the mask of {missing} "
            "lets through, or took the branch (`ifelse`) that it is in, which leaves it without a "
            "value. Estimate from batches that do, or leave the output out that needs them."
        )
    pooled = _pooled(tallies, pooling)
    values = {}
    for name, dtype in tallies.dtypes.items():
        steps = enough(tallies, name, pooling, min_coverage, min_count)
        values[name] = np.asarray(fill_forward(pooled[name], steps)).astype(dtype)
    return values


def _pooled(tallies: Tallies, pooling: Pooling) -> dict[str, Array]:
    if pooling == "edge":
        return {name: tally.moments.padded_mean for name, tally in tallies.by_name.items()}
    values = {name: tally.moments.mean for name, tally in tallies.by_name.items()}
    if pooling == "reached":
        return values
    assert pooling == "moments"  # a further pooling has to be read here
    for mean, variance in tallies.variances.items():
        batches = tallies.by_name[mean].moments, tallies.by_name[variance].moments
        values[mean], values[variance] = tallies.elements[mean].pooled(*batches)
    return values


def enough(
    tallies: Tallies, name: str, pooling: Pooling, min_coverage: int, min_count: MinCount
) -> Mask:
    """The steps with enough batches and elements; the others hold the last of them."""
    tally = tallies.by_name[name]
    batches = tally.batches(pooling).min(axis=-1)
    if batches.max() < max(1, min_coverage):
        how = "all its" if min_count in ("auto", 0) else f"at least {min_count}"
        raise ValueError(
            f"no step of {name!r} was reached, with {how} elements, by at least "
            f"{max(1, min_coverage)} of the batches: {batches.max():.0f} is the most. Estimate "
            "from more, or lower `min_coverage` or `min_count`."
        )
    if pooling == "edge":
        # Padded batches have a value for each step, even where a mask left nothing.
        return np.asarray((batches >= min_coverage) & tally.moments.is_there())
    found = np.asarray(batches >= max(1, min_coverage))
    if pooling == "moments" and tally.counts is not None:
        counts = tally.counts.per_step(tally.counts.total).min(axis=-1)
        found &= counts >= least_count(counts, min_count, IN_TOTAL)
        if not found.any():
            raise ValueError(
                f"no step of {name!r} has {min_count} elements in all batches together: "
                f"{counts.max():.0f} is the most. Estimate from more, or lower `min_count`."
            )
    return found
