"""Tables: figures laid out as text."""

from __future__ import annotations

from collections.abc import Sequence
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


def summary_row(
    name: str,
    n_batches: int,
    value: NDArray[Any],
    coverage: NDArray[Any],
    error: NDArray[Any],
) -> list[str]:
    """What a summary says of one statistic: its shape, and how much is behind its last step."""
    known = error[np.isfinite(error)]
    return [
        name,
        " x ".join(map(str, value.shape)) or "scalar",
        str(coverage.ndim),
        str(n_batches),
        str(coverage[(-1,) * coverage.ndim]),
        f"{value.mean(dtype=np.float64):.4g}",
        f"{known.mean():.2g}" if known.size else "unknown",
    ]
