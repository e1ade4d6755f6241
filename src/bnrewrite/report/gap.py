"""Gap: how far the outputs with population statistics are from those with batch statistics.

Both graphs are computed on one batch, the training graph with the batch's own statistics. If the
estimate is good and the batch is as large as those of the training, they differ little. Both draw
the same noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnrewrite.population.tables import shape_text
from bnrewrite.report.comparison import Comparison
from bnrewrite.tables import align, html_table


@dataclass(frozen=True)
class OutputGap:
    """How far one output is from itself with the batch's own statistics.

    Attributes
    ----------
    label : str
        The name of the output.
    shape : tuple of int
        Its shape.
    rms : float
        The root of the mean square of the output with statistics of the batch.
    rms_difference, greatest : float
        Of the difference.
    """

    label: str
    shape: tuple[int, ...]
    rms: float
    rms_difference: float
    greatest: float

    @property
    def relative(self) -> float:
        """The difference relative to the output; NaN if that is 0."""
        return self.rms_difference / self.rms if self.rms else float("nan")


@dataclass(frozen=True, repr=False)
class Gap:
    """How far the outputs of a graph are from those with a batch's own statistics.

    It prints as a table.

    Attributes
    ----------
    outputs : tuple of OutputGap
        How far each output is.
    """

    outputs: tuple[OutputGap, ...]

    def __repr__(self) -> str:
        return align(self._rows())

    def _repr_html_(self) -> str:
        return html_table(self._rows())

    def _rows(self) -> list[list[str]]:
        header = ["output", "shape", "rms with batch", "rms difference", "relative", "greatest"]
        rows = [
            [
                gap.label,
                shape_text(gap.shape),
                f"{gap.rms:.4g}",
                f"{gap.rms_difference:.3g}",
                f"{gap.relative:.2%}" if gap.rms else "unknown",
                f"{gap.greatest:.3g}",
            ]
            for gap in self.outputs
        ]
        return [header, *rows]


def gap_of(comparison: Comparison, values: Sequence[Any]) -> Gap:
    """Compute both graphs on a batch of `values`."""
    batch = compute(comparison.batch, values, "the batch")
    population = compute(comparison.inference, values, "the batch")
    pairs = list(zip(comparison.labels, batch, population, strict=True))
    return Gap(tuple(_gap(label, a, b) for label, a, b in pairs[: comparison.n_outputs]))


def _gap(label: str, batch: NDArray[Any], population: NDArray[Any]) -> OutputGap:
    precise = np.result_type(np.float64, batch)
    difference = np.subtract(batch, population, dtype=precise)
    return OutputGap(
        label,
        batch.shape,
        root_mean_square(batch),
        root_mean_square(difference),
        float(np.abs(difference).max(initial=0)),
    )


def compute(function: Callable[..., Any], values: Sequence[Any], what: str) -> Any:
    """The outputs of a compiled `function`; `what` is what `values` are called in errors."""
    try:
        return function(*values)
    except Exception as error:
        raise RuntimeError(f"the outputs can't be computed for {what}. {error}") from error


def root_mean_square(values: NDArray[Any]) -> float:
    """The root of the mean square; 0 for no values."""
    squares = np.square(np.abs(values), dtype=np.float64)
    return float(np.sqrt(squares.mean())) if values.size else 0.0
