"""Signs: a variance is not negative.

What is negative by no more than rounding makes it counts as 0, as where a user computes a variance
as the mean of squares without the square of the mean. Anything else is no variance: most likely
mean and variance were given to `mark_moments` in the wrong order.

Sharp edge: exchanged moments whose means are positive look like moments.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnrewrite.estimation.batches import BatchError
from bnrewrite.population.tally import Reading

_ROUNDINGS = 16  # of the size of the squared mean, by which a variance may be off


def clip_variances(
    readings: Mapping[str, Reading], variances: Mapping[str, str], number: int
) -> None:
    """Make 0 of what rounding made negative in batch `number`; refuse the rest.

    `variances` has the name of the variance for that of each mean. A pair that was not needed has
    no readings.
    """
    for mean, variance in variances.items():
        if mean not in readings:
            continue
        reading = readings[variance]
        if reading.value.min(initial=0) < 0:
            eps = np.finfo(reading.value.dtype).eps
            allowed = _ROUNDINGS * eps * np.square(readings[mean].value, dtype=np.float64)
            if (reading.value < -allowed).any():
                raise BatchError(
                    f"{variance!r} is negative in batch {number}: {reading.value.min():.3g}. "
                    "A variance is the mean squared distance from the mean; give `mark_moments` "
                    "the mean first, and then the variance."
                )
            reading.value = np.maximum(reading.value, 0)
