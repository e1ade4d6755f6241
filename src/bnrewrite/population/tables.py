"""Tables: figures laid out as text.

What is not known is printed as "unknown", and never as a number. An average of standard errors is
over those that are known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def align(rows: Sequence[Sequence[str]]) -> str:
    """Lay out rows in columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def summary_table(
    values: Mapping[str, NDArray[Any]],
    n_batches: int,
    coverage: Mapping[str, NDArray[Any]],
    count: Mapping[str, NDArray[Any]],
    fewest: Mapping[str, NDArray[Any]],
    error: Mapping[str, NDArray[Any]],
) -> str:
    """For each statistic its shape, how much its last step rests on, and its weakest."""
    header = ["name", "shape", "depth", "batches", "at last step", "elements there"]
    rows = [[*header, "fewest in a batch", "mean", "standard error"]]
    for name, value in values.items():
        last = (-1,) * coverage[name].ndim
        known = error[name][np.isfinite(error[name])]
        rows.append(
            [
                name,
                " x ".join(map(str, value.shape)) or "scalar",
                str(coverage[name].ndim),
                str(n_batches),
                str(coverage[name][last]),
                str(count[name][last].min()) if name in count else "unknown",
                _number(fewest[name].min()) if name in fewest else "unknown",
                f"{value.mean(dtype=np.float64):.4g}",
                f"{known.mean():.2g}" if known.size else "unknown",
            ]
        )
    return align(rows)


def _number(value: float) -> str:
    return f"{value:.0f}" if np.isfinite(value) else "unknown"
