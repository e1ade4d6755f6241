"""Tables: what is known of a population, as rows of text.

What is not known is printed as "unknown", and never as a number. An average of standard errors is
over those that are known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def summary_rows(
    values: Mapping[str, NDArray[Any]],
    n_batches: int,
    coverage: Mapping[str, NDArray[Any]],
    count: Mapping[str, NDArray[Any]],
    fewest: Mapping[str, NDArray[Any]],
    error: Mapping[str, NDArray[Any]],
) -> list[list[str]]:
    """For each statistic its shape, how much its last step rests on, and its weakest."""
    header = ["name", "shape", "depth", "batches", "at last step", "elements there"]
    rows = [[*header, "fewest in a batch", "mean", "standard error"]]
    for name, value in values.items():
        last = (-1,) * coverage[name].ndim
        known = error[name][np.isfinite(error[name])]
        rows.append(
            [
                name,
                shape_text(value.shape),
                str(coverage[name].ndim),
                str(n_batches),
                str(coverage[name][last]),
                _least(count[name][last]) if name in count else "unknown",
                _least(fewest[name]) if name in fewest else "unknown",
                f"{value.mean(dtype=np.float64):.4g}" if value.size else "unknown",
                f"{known.mean():.2g}" if known.size else "unknown",
            ]
        )
    return rows


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape as it is written in tables."""
    return " x ".join(map(str, shape)) or "scalar"


def _least(values: NDArray[Any]) -> str:
    """The least of some numbers of elements, if it is known and there are any."""
    least = values.min() if values.size else np.nan
    return f"{least:.0f}" if np.isfinite(least) else "unknown"
