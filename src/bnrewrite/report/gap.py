"""Gap: how far the outputs with population statistics are from those with batch statistics.

Both graphs are computed on one batch, the training graph with the batch's own statistics. If the
estimate is good and the batch is as large as those of the training, they differ little. Functions
are compiled when they are first asked for, and neither moves random streams, so that both draw the
same noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnrewrite.graph.engine import TensorType, Variable, function_without_updates
from bnrewrite.population.tables import align


class Comparison:
    """Compiled functions for the outputs that are numbers, with statistics of either kind.

    Neither moves random streams, so that both draw the same noise.
    """

    def __init__(
        self,
        inputs: Sequence[Variable],
        batch_outputs: Sequence[Variable],
        outputs: Sequence[Variable],
        mode: Any,
    ) -> None:
        numeric = [i for i, v in enumerate(outputs) if isinstance(v.type, TensorType)]
        self.labels = [batch_outputs[i].name or f"output {i}" for i in numeric]
        self.inputs, self._mode = list(inputs), mode
        self._batch_outputs = [batch_outputs[i] for i in numeric]
        self._outputs = [outputs[i] for i in numeric]

    @cached_property
    def batch(self) -> Any:
        """The training graph."""
        return self._compile(self._batch_outputs)

    @cached_property
    def inference(self) -> Any:
        """The inference graph."""
        return self._compile(self._outputs)

    def table(self, values: Sequence[Any]) -> str:
        """How far the outputs are apart, on the batch of these `values`."""
        batch = compute(self.batch, values, "the batch")
        return gap_table(self.labels, batch, compute(self.inference, values, "the batch"))

    def _compile(self, outputs: Sequence[Variable]) -> Any:
        return function_without_updates(self.inputs, outputs, mode=self._mode)


def compute(function: Callable[..., Any], values: Sequence[Any], what: str) -> Any:
    """The outputs of a compiled `function`; `what` is what `values` are called in errors."""
    try:
        return function(*values)
    except Exception as error:
        raise RuntimeError(f"the outputs can't be computed for {what}. {error}") from error


def root_mean_square(values: NDArray[Any]) -> float:
    """The root of the mean square; 0 for no values."""
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) if values.size else 0.0


def gap_table(
    labels: Sequence[str], batch: Sequence[NDArray[Any]], population: Sequence[NDArray[Any]]
) -> str:
    """One line for each output."""
    header = ["output", "shape", "rms with batch", "rms difference", "relative", "greatest"]
    rows = [header]
    for label, a, b in zip(labels, batch, population, strict=True):
        difference = np.subtract(a, b, dtype=np.float64)
        size, distance = root_mean_square(a), root_mean_square(difference)
        relative = f"{distance / size:.2%}" if size else "unknown"
        greatest = np.abs(difference).max(initial=0)
        shape = " x ".join(map(str, a.shape)) or "scalar"
        rows.append([label, shape, f"{size:.4g}", f"{distance:.3g}", relative, f"{greatest:.3g}"])
    return align(rows)
